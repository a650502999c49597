"""The API of one cluster: requests in, objects, lists, tables, watches and Status errors out."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Protocol

from pymacaron_ci.simulator.kubernetes import access, discovery, paths
from pymacaron_ci.simulator.kubernetes.asked import (
    body_of,
    deletion_of,
    must_name_manager,
    number,
    options_of,
    start_of,
    wants_table,
)
from pymacaron_ci.simulator.kubernetes.objects import Json, at
from pymacaron_ci.simulator.kubernetes.patches import APPLY_PATCH, json_patched, merged
from pymacaron_ci.simulator.kubernetes.paths import Place
from pymacaron_ci.simulator.kubernetes.resources import (
    ACCESS_REVIEWS,
    RESOURCES,
    RULES_REVIEWS,
    Resource,
)
from pymacaron_ci.simulator.kubernetes.scales import scale_of
from pymacaron_ci.simulator.kubernetes.selectors import Matches, by_fields, by_labels
from pymacaron_ci.simulator.kubernetes.statuses import bad_request
from pymacaron_ci.simulator.kubernetes.store import Store
from pymacaron_ci.simulator.kubernetes.tables import table
from pymacaron_ci.simulator.kubernetes.watching import Watch, events
from pymacaron_ci.simulator.kubernetes.writing import Options, Writer, Written
from pymacaron_ci.simulator.web import Request, Response, json_response

WATCH_LASTS = 600.0
REVIEWS = {ACCESS_REVIEWS: access.review, RULES_REVIEWS: access.rules}


class Running(Protocol):
    """What of pods is no object: their logs, and the ports they listen on."""

    def logs(self, pod: Json, query: dict[str, str]) -> Response: ...

    def proxy(self, place: Place, request: Request) -> Response: ...


class Rights(Protocol):
    """What a cluster was told to be like, now."""

    @property
    def version(self) -> str: ...

    @property
    def missing(self) -> Sequence[str]:
        """Custom resources that it has no definition of: `backendconfigs.cloud.google.com`."""

    @property
    def denied(self) -> Sequence[str]:
        """See access."""


class Api:
    """Serves one cluster's store. Raises KubeError; the answer of one is its Status."""

    def __init__(self, store: Store, writer: Writer, rights: Rights, running: Running) -> None:
        self._store, self._writer = store, writer
        self._rights, self._running = rights, running

    @property
    def resources(self) -> list[Resource]:
        """Those that the cluster serves."""
        missing = self._rights.missing
        return [r for r in RESOURCES if not (r.custom and r.qualified in missing)]

    def handle(self, request: Request, path: str, caller: str) -> Response:
        """`path` is what follows the cluster's URL."""
        resources = self.resources
        answer = discovery.answer(request, path, resources, self._rights.version)
        if answer is not None:
            return answer
        place = paths.place(resources, path)
        verb = paths.verb(request.method, place, request.query)
        attempt = place.attempt(verb)
        if place.resource not in REVIEWS and not access.allowed(self._rights.denied, attempt):
            raise access.refusal(place.resource, attempt, caller)
        if place.subresource == "proxy":
            return self._running.proxy(place, request)
        if place.subresource == "log":
            pod = self._writer.get(place.resource, place.namespace, place.name)
            return self._running.logs(pod, dict(request.query))
        act: Callable[[Request, Place], Response] = getattr(self, f"_{verb}")
        return act(request, place)

    # --- reading

    def _get(self, request: Request, place: Place) -> Response:
        thing = self._writer.get(place.resource, place.namespace, place.name)
        if place.subresource == "scale":
            return json_response(scale_of(thing))
        return _shown(request, place.resource, thing)

    def _matches(self, request: Request) -> Matches:
        query = request.query
        label = by_labels(query.get("labelSelector", ""))
        field = by_fields(query.get("fieldSelector", ""))
        return lambda thing: label(thing) and field(thing)

    def _list(self, request: Request, place: Place) -> Response:
        matches, query = self._matches(request), request.query
        with self._store.lock:
            version = self._store.version
            found = [t for t in self._store.list(place.resource, place.namespace) if matches(t)]
        limit, start = number(query, "limit"), start_of(query.get("continue", ""))
        found = [t for t in found if start is None or _key(t) > start]
        rest = len(found) - limit if limit and limit < len(found) else 0
        found = found[:limit] if rest else found
        metadata: Json = {"resourceVersion": str(version)}
        if rest:
            token = json.dumps(_key(found[-1])).encode()
            metadata["continue"] = base64.urlsafe_b64encode(token).decode()
            metadata["remainingItemCount"] = rest
        if wants_table(request):
            shown = table(place.resource, found, query.get("includeObject", "Metadata"))
            return json_response({**shown, "metadata": metadata})
        items = [{k: v for k, v in t.items() if k not in ("apiVersion", "kind")} for t in found]
        return json_response(
            {
                "kind": f"{place.resource.kind}List",
                "apiVersion": place.resource.api_version,
                "metadata": metadata,
                "items": items,
            }
        )

    def _watch(self, request: Request, place: Place) -> Response:
        query = request.query
        version = query.get("resourceVersion", "")
        if version and not version.isdigit():
            raise bad_request(f"invalid resource version {version!r}")
        initial = query.get("sendInitialEvents", "") == "true"
        whole = query.get("includeObject", "Metadata")

        def row(thing: Json) -> Json:
            return table(place.resource, [thing], whole)

        watch = Watch(
            resource=place.resource,
            namespace=place.namespace,
            matches=self._matches(request),
            since=None if initial or version in ("", "0") else int(version),
            timeout=number(query, "timeoutSeconds") or WATCH_LASTS,
            bookmarks=query.get("allowWatchBookmarks", "") == "true",
            mark_initial_end=initial,
            **({"shown": row} if wants_table(request) else {}),
        )
        if watch.since is not None:
            self._store.since(watch.since)  # one that is too old is refused at once
        lines = events(self._store, watch)
        return Response(200, lines, (("Content-Type", "application/json"),))

    # --- writing

    def _create(self, request: Request, place: Place) -> Response:
        body = body_of(request)
        if place.resource in REVIEWS:
            return json_response(REVIEWS[place.resource](self._rights.denied, body), 201)
        written = self._writer.create(place.resource, place.namespace, body, options_of(request))
        return self._answered(request, place, written)

    def _update(self, request: Request, place: Place) -> Response:
        body, options = body_of(request), options_of(request)
        if place.subresource == "scale":
            return self._scaled(place, body, options)
        written = self._writer.update(
            place.resource, place.namespace, place.name, body, options, place.subresource
        )
        return self._answered(request, place, written)

    def _patch(self, request: Request, place: Place) -> Response:
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip()
        body = body_of(request, any_type=True)
        options = options_of(request)
        if kind == APPLY_PATCH:
            must_name_manager(request.query.get("fieldManager", ""))
        if place.subresource == "scale":
            former = scale_of(self._writer.get(place.resource, place.namespace, place.name))
            scale = json_patched(former, body) if isinstance(body, list) else merged(former, body)
            return self._scaled(place, scale, options)
        written = self._writer.patch(
            place.resource, place.namespace, place.name, kind, body, options, place.subresource
        )
        return self._answered(request, place, written)

    def _scaled(self, place: Place, scale: Json, options: Options) -> Response:
        with self._store.lock:
            thing = self._writer.get(place.resource, place.namespace, place.name)
            replicas = at(scale, "spec", "replicas", default=0)
            if not isinstance(replicas, int):
                raise bad_request("spec.replicas must be a number")
            body = {**thing, "spec": {**thing["spec"], "replicas": replicas}}
            metadata = {**thing["metadata"]}
            metadata["resourceVersion"] = at(scale, "metadata", "resourceVersion", default="")
            body["metadata"] = metadata
            written = self._writer.update(
                place.resource, place.namespace, place.name, body, options, "scale"
            )
        return json_response(scale_of(written.thing))

    def _delete(self, request: Request, place: Place) -> Response:
        options = deletion_of(request)
        return json_response(
            self._writer.delete(place.resource, place.namespace, place.name, options)
        )

    def _deletecollection(self, request: Request, place: Place) -> Response:
        matches = self._matches(request)
        options = deletion_of(request)
        for thing in self._store.list(place.resource, place.namespace):
            if matches(thing):
                metadata = thing["metadata"]
                self._writer.delete(
                    place.resource, metadata.get("namespace", ""), metadata["name"], options
                )
        return json_response(
            {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        )

    def _answered(self, request: Request, place: Place, written: Written) -> Response:
        headers = [
            ("Warning", f'299 - "{_quoted(warning)}"')
            for warning in dict.fromkeys(written.warnings)
        ]
        code = 201 if written.created else 200
        return _shown(request, place.resource, written.thing, code, headers)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _shown(
    request: Request,
    resource: Resource,
    thing: Json,
    code: int = 200,
    headers: Sequence[tuple[str, str]] = (),
) -> Response:
    if wants_table(request):
        thing = table(resource, [thing], request.query.get("includeObject", "Metadata"))
    return json_response(thing, code, *headers)


def _key(thing: Json) -> list[str]:
    return [thing["metadata"].get("namespace", ""), thing["metadata"]["name"]]
