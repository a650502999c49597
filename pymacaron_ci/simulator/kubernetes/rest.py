"""The API of one cluster: requests in, objects, lists, tables, watches and Status errors out."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import yaml

from pymacaron_ci.simulator.kubernetes import access, discovery, paths, protobuf
from pymacaron_ci.simulator.kubernetes.objects import Json, at
from pymacaron_ci.simulator.kubernetes.patches import APPLY_PATCH, json_patched, merged
from pymacaron_ci.simulator.kubernetes.paths import Place
from pymacaron_ci.simulator.kubernetes.resources import ACCESS_REVIEWS, RESOURCES, Resource
from pymacaron_ci.simulator.kubernetes.selectors import Matches, by_fields, by_labels
from pymacaron_ci.simulator.kubernetes.statuses import (
    KubeError,
    bad_request,
    unknown_path,
    wrong_type,
)
from pymacaron_ci.simulator.kubernetes.store import Store
from pymacaron_ci.simulator.kubernetes.strict import STRICT, WARN
from pymacaron_ci.simulator.kubernetes.tables import table
from pymacaron_ci.simulator.kubernetes.watching import Watch, events
from pymacaron_ci.simulator.kubernetes.writing import (
    Options,
    Writer,
    Written,
    must_name_manager,
)
from pymacaron_ci.simulator.web import Request, Response, json_response

BODIES = ("application/json", "application/yaml")
WATCH_LASTS = 600.0


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
        answer = self._discovered(request, path)
        if answer is not None:
            return answer
        place = paths.place(self.resources, path)
        verb = paths.verb(request.method, place, request.query)
        attempt = place.attempt(verb)
        if place.resource is not ACCESS_REVIEWS and not access.allowed(
            self._rights.denied, attempt
        ):
            raise access.refusal(place.resource, attempt, caller)
        if place.subresource == "proxy":
            return self._running.proxy(place, request)
        if place.subresource == "log":
            pod = self._writer.get(place.resource, place.namespace, place.name)
            return self._running.logs(pod, dict(request.query))
        act: Callable[[Request, Place], Response] = getattr(self, f"_{verb}")
        return act(request, place)

    def _discovered(self, request: Request, path: str) -> Response | None:
        parts = path.strip("/").split("/")
        if parts[0] in ("healthz", "livez", "readyz"):
            return Response(200, b"ok", (("Content-Type", "text/plain; charset=utf-8"),))
        found: Json | None = None
        compact = discovery.AGGREGATED in request.headers.get("Accept", "")
        resources = self.resources
        if path == "/version":
            found = discovery.version(self._rights.version)
        elif parts in (["api"], ["apis"]) and compact:
            found = discovery.aggregated(resources, core=parts == ["api"])
            kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            return Response(200, json.dumps(found).encode(), (("Content-Type", kind),))
        elif parts == ["api"]:
            found = {"kind": "APIVersions", "apiVersion": "v1", "versions": ["v1"]}
        elif parts == ["apis"]:
            found = discovery.group_list(resources)
        elif parts[0] == "apis" and len(parts) == 2:
            if parts[1] in discovery.groups(resources):
                group = discovery.group(resources, parts[1])
                found = {"kind": "APIGroup", "apiVersion": "v1", **group}
        elif parts == ["api", "v1"] or (parts[0] == "apis" and len(parts) == 3):
            found = discovery.resource_list(resources, "/".join(parts[1:]))
            found = found if found["resources"] else None
        elif parts == ["openapi", "v3"]:
            found = discovery.openapi_index(resources)
        elif parts[:2] == ["openapi", "v3"]:
            found = discovery.openapi(resources, "/".join(parts[2:]), self._rights.version)
        else:
            return None
        if found is None:
            raise unknown_path()
        return json_response(found)

    # --- reading

    def _get(self, request: Request, place: Place) -> Response:
        thing = self._writer.get(place.resource, place.namespace, place.name)
        if place.subresource == "scale":
            return json_response(_scale(thing))
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
        limit, start = _number(query, "limit"), _continued(query.get("continue", ""))
        found = [t for t in found if start is None or _key(t) > start]
        rest = len(found) - limit if limit and limit < len(found) else 0
        found = found[:limit] if rest else found
        metadata: Json = {"resourceVersion": str(version)}
        if rest:
            token = json.dumps(_key(found[-1])).encode()
            metadata["continue"] = base64.urlsafe_b64encode(token).decode()
            metadata["remainingItemCount"] = rest
        if _wants_table(request):
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
            timeout=float(query.get("timeoutSeconds") or WATCH_LASTS),
            bookmarks=query.get("allowWatchBookmarks", "") == "true",
            mark_initial_end=initial,
            **({"shown": row} if _wants_table(request) else {}),
        )
        if watch.since is not None:
            self._store.since(watch.since)  # one that is too old is refused at once
        return Response(
            200, _Stream(events(self._store, watch)), (("Content-Type", "application/json"),)
        )

    # --- writing

    def _create(self, request: Request, place: Place) -> Response:
        body = _body(request)
        if place.resource is ACCESS_REVIEWS:
            return json_response(access.review(self._rights.denied, body), 201)
        written = self._writer.create(place.resource, place.namespace, body, _options(request))
        return self._answered(request, place, written)

    def _update(self, request: Request, place: Place) -> Response:
        body, options = _body(request), _options(request)
        if place.subresource == "scale":
            return self._scaled(place, body, options)
        written = self._writer.update(
            place.resource, place.namespace, place.name, body, options, place.subresource
        )
        return self._answered(request, place, written)

    def _patch(self, request: Request, place: Place) -> Response:
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip()
        body = _body(request, any_type=True)
        options = _options(request)
        if kind == APPLY_PATCH:
            must_name_manager(request.query.get("fieldManager", ""))
        if place.subresource == "scale":
            former = _scale(self._writer.get(place.resource, place.namespace, place.name))
            scale = json_patched(former, body) if isinstance(body, list) else merged(former, body)
            return self._scaled(place, scale, options)
        written = self._writer.patch(
            place.resource, place.namespace, place.name, kind, body, options, place.subresource
        )
        return self._answered(request, place, written)

    def _scaled(self, place: Place, scale: Json, options: Options) -> Response:
        with self._store.lock:
            thing = self._writer.get(place.resource, place.namespace, place.name)
            replicas = int(at(scale, "spec", "replicas", default=0))
            body = {**thing, "spec": {**thing["spec"], "replicas": replicas}}
            metadata = {**thing["metadata"]}
            metadata["resourceVersion"] = at(scale, "metadata", "resourceVersion", default="")
            body["metadata"] = metadata
            written = self._writer.update(
                place.resource, place.namespace, place.name, body, options, "scale"
            )
        return json_response(_scale(written.thing))

    def _delete(self, request: Request, place: Place) -> Response:
        options = _body(request, any_type=True) or {}
        for name in ("propagationPolicy", "gracePeriodSeconds", "dryRun"):
            if name in request.query:
                value = request.query[name]
                options[name] = int(value) if name == "gracePeriodSeconds" else value
        return json_response(
            self._writer.delete(place.resource, place.namespace, place.name, options)
        )

    def _deletecollection(self, request: Request, place: Place) -> Response:
        matches = self._matches(request)
        options = _body(request, any_type=True) or {}
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


class _Stream:
    """A watch's lines; ended when the client is gone."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[bytes]:
        return self._lines

    def close(self) -> None:
        self._lines.close()  # type: ignore[attr-defined]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _shown(
    request: Request,
    resource: Resource,
    thing: Json,
    code: int = 200,
    headers: Sequence[tuple[str, str]] = (),
) -> Response:
    if _wants_table(request):
        thing = table(resource, [thing], request.query.get("includeObject", "Metadata"))
    return json_response(thing, code, *headers)


def _wants_table(request: Request) -> bool:
    return "as=Table" in request.headers.get("Accept", "").partition(",")[0]


def _key(thing: Json) -> list[str]:
    return [thing["metadata"].get("namespace", ""), thing["metadata"]["name"]]


def _continued(token: str) -> list[str] | None:
    if not token:
        return None
    try:
        found: list[str] = json.loads(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    return found


def _number(query: Any, name: str) -> int:
    text = query.get(name, "")
    if text and not re.fullmatch(r"\d+", text):
        raise bad_request(f"invalid {name} {text!r}")
    return int(text or 0)


def _body(request: Request, *, any_type: bool = False) -> Any:
    """What a request sends: JSON, or YAML where it says so. Raises 400, 415."""
    kind = request.headers.get("Content-Type", "application/json").partition(";")[0].strip()
    data = request.body.read()
    if not any_type and kind not in (*BODIES, protobuf.TYPE, ""):
        raise wrong_type(BODIES)
    if data.startswith(protobuf.MAGIC):
        return protobuf.decoded(data)
    if not data.strip():
        return None
    try:
        return yaml.safe_load(data) if "yaml" in kind and data[:1] != b"{" else json.loads(data)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise bad_request(f"the body of the request can't be read: {error}") from error


def _options(request: Request) -> Options:
    query = request.query
    agent = request.headers.get("User-Agent", "").partition("/")[0].partition(" ")[0]
    validation = query.get("fieldValidation") or WARN
    if validation not in (STRICT, WARN, "Ignore"):
        raise KubeError(
            422,
            "Invalid",
            f'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: '
            f'"{validation}": supported values: "", "Ignore", "Strict", "Warn"',
        )
    return Options(
        manager=query.get("fieldManager") or agent or "unknown",
        dry_run=query.get("dryRun") == "All",
        validation=validation,
        force=query.get("force", "") == "true",
    )


def _scale(thing: Json) -> Json:
    """A workload's Scale."""
    metadata = thing["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels = at(thing, "spec", "selector", "matchLabels", default={})
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"replicas": at(thing, "spec", "replicas", default=1)},
        "status": {
            "replicas": at(thing, "status", "replicas", default=0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }
