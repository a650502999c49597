"""The revisions of services: when a new one is made, its name, and what may be read of it."""

from __future__ import annotations

import copy
import secrets
import uuid
from collections.abc import Iterable

from pymacaron_ci.simulator.cloud_run.access import ONE, REVISION, Access, missing, page, paged
from pymacaron_ci.simulator.cloud_run.records import Json, Records, Revision, Service, timestamp
from pymacaron_ci.simulator.cloud_run.views import show_revision
from pymacaron_ci.simulator.google.api import Call, Route
from pymacaron_ci.simulator.google.errors import ApiError

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def needs_revision(records: Records, service: Service, spec: Json, force: bool) -> bool:
    """Whether the declared template makes a new revision. Raises the 409 of a name used
    otherwise.
    """
    old, new = service.spec["template"], spec["template"]
    explicit = new.get("revision", "")
    changed = _plain(old) != _plain(new)
    if explicit:
        same = records.revisions.get(f"{service.name}/revisions/{explicit}")
        if same is None:
            return True
        if force or _plain(same.template) != _plain(new):
            raise ApiError(
                "ALREADY_EXISTS",
                f"Revision named '{explicit}' with different configuration already exists.",
            )
        return False
    return changed or force


def add_revision(records: Records, service: Service) -> None:
    service.revisions_made += 1
    template = copy.deepcopy(service.spec["template"])
    name = template.get("revision") or "{}-{:05d}-{}".format(
        service.id, service.revisions_made, "".join(secrets.choice(ALPHABET) for _ in range(3))
    )
    revision = Revision(
        service=service.name,
        id=name,
        uid=str(uuid.uuid4()),
        template=template,
        generation=service.generation,
        created=timestamp(),
        labels=dict(template.get("labels", {})),
    )
    records.revisions[revision.name] = revision
    service.latest_created = name


def _plain(template: Json) -> Json:
    return {k: v for k, v in template.items() if k not in ("revision", "client", "clientVersion")}


class Revisions:
    """list, get, delete."""

    def __init__(self, access: Access) -> None:
        self._access, self._records = access, access.records

    def routes(self) -> Iterable[Route]:
        yield Route("GET", ONE + "/revisions", self._list)
        yield Route("GET", REVISION, self._get)
        yield Route("DELETE", REVISION, self._delete)

    def _list(self, call: Call) -> Json:
        self._access.allowed(call, "revisions.list")
        with self._records.lock:
            every = call.names["service"] == "-"
            if not every:
                self._access.find(call)
            found = [
                revision
                for service in sorted(self._records.services)
                if every or service == self._access.name(call)
                for revision in self._records.revisions_of(service)
            ]
            revisions, token = paged(found, call)
            shown = [show_revision(r, self._records.services.get(r.service)) for r in revisions]
            return page({"revisions": shown}, token)

    def _find(self, call: Call) -> Revision:
        name = f"{self._access.name(call)}/revisions/{call.names['revision']}"
        revision = self._records.revisions.get(name)
        if revision is None:
            raise missing(call.names["revision"], "REVISION", call)
        return revision

    def _get(self, call: Call) -> Json:
        self._access.allowed(call, "revisions.get")
        with self._records.lock:
            revision = self._find(call)
            return show_revision(revision, self._records.services.get(revision.service))

    def _delete(self, call: Call) -> Json:
        self._access.allowed(call, "revisions.delete")
        with self._records.lock:
            revision = self._find(call)
            service = self._access.find(call)
            used = {target["revision"] for target in service.serving}
            used |= {t["revision"] for t in service.spec["traffic"] if t.get("revision")}
            if revision.id in used:
                raise ApiError(
                    "FAILED_PRECONDITION",
                    f"Revision '{revision.id}' is actively serving traffic and cannot be deleted. "
                    "Remove traffic from "
                    "it first.",
                )
            if revision.id == service.latest_created:
                raise ApiError(
                    "FAILED_PRECONDITION",
                    f"Revision '{revision.id}' is the latest created revision and cannot be "
                    "deleted.",
                )
            shown = show_revision(revision, service)
            if not call.flag("validateOnly"):
                del self._records.revisions[revision.name]
                self._records.save()
            place = "projects/{project}/locations/{location}".format(**call.names)
            return {
                "name": f"{place}/operations/{uuid.uuid4()}",
                "done": True,
                "response": {"@type": "type.googleapis.com/google.cloud.run.v2.Revision", **shown},
            }
