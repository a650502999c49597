"""The Cloud Run Admin API v2: services, their revisions, operations and policies."""

from __future__ import annotations

import copy
import secrets
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from pymacaron_ci.simulator.cloud_run import rules, schema
from pymacaron_ci.simulator.cloud_run.records import (
    Json,
    Operation,
    Revision,
    Service,
    timestamp,
    version_of,
)
from pymacaron_ci.simulator.cloud_run.rollout import Rollouts
from pymacaron_ci.simulator.cloud_run.views import (
    RECONCILING,
    condition,
    show_operation,
    show_revision,
    show_service,
)
from pymacaron_ci.simulator.google.api import Call, Route
from pymacaron_ci.simulator.google.errors import ApiError, invalid
from pymacaron_ci.simulator.google.projects import Project, Projects
from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import InstanceError

PLACE = "/v2/projects/{project}/locations/{location}"
ONE = PLACE + "/services/{service}"
REVISION = ONE + "/revisions/{revision}"
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Services:
    """`locations` are the regions that exist."""

    def __init__(
        self, rollouts: Rollouts, projects: Projects, images: Images, locations: Iterable[str]
    ) -> None:
        self._rollouts, self._projects, self._images = rollouts, projects, images
        self._records = rollouts.records
        self._locations = tuple(locations)

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/v1/projects/{project}/locations", self._list_locations)
        yield Route("GET", PLACE + "/services", self._list)
        yield Route("POST", PLACE + "/services", self._create)
        yield Route("GET", ONE, self._get)
        yield Route("PATCH", ONE, self._patch)
        yield Route("DELETE", ONE, self._delete)
        yield Route("GET", ONE + "/revisions", self._list_revisions)
        yield Route("GET", REVISION, self._get_revision)
        yield Route("DELETE", REVISION, self._delete_revision)
        yield Route("GET", PLACE + "/operations", self._list_operations)
        yield Route("GET", PLACE + "/operations/{operation}", self._get_operation)
        yield Route("POST", PLACE + "/operations/{operation}:wait", self._wait_operation)

    # what a call is about

    def allowed(self, call: Call, permission: str) -> Project:
        """The project, if it exists, its API is enabled and the deployer has the permission."""
        project = self._projects.get(call.names["project"])
        project.require_api("run.googleapis.com")
        location = call.names.get("location")
        if location not in (None, "-", *self._locations):
            raise ApiError(
                "NOT_FOUND", f"Location {location} is not found or access is unauthorized."
            )
        name = self._name(call) if "service" in call.names else f"projects/{project.id}"
        project.require(f"run.{permission}", name)
        return project

    @staticmethod
    def _name(call: Call) -> str:
        return "projects/{project}/locations/{location}/services/{service}".format(**call.names)

    def find(self, call: Call) -> Service:
        service = self._records.services.get(self._name(call))
        if service is None:
            raise _missing(call.names["service"], "SERVICE", call)
        return service

    # services

    def _list_locations(self, call: Call) -> Json:
        self.allowed(call, "locations.list")
        base = f"projects/{call.names['project']}/locations"
        return {
            "locations": [
                {"name": f"{base}/{place}", "locationId": place, "displayName": place}
                for place in self._locations
            ]
        }

    def _list(self, call: Call) -> Json:
        self.allowed(call, "services.list")
        prefix = "projects/{project}/locations/".format(**call.names)
        location = call.names["location"]
        with self._records.lock:
            found = [
                service
                for name, service in sorted(self._records.services.items())
                if name.startswith(prefix) and location in ("-", service.location)
            ]
            page, token = _page(found, call)
            return _with_token({"services": [show_service(s) for s in page]}, token)

    def _get(self, call: Call) -> Json:
        self.allowed(call, "services.get")
        with self._records.lock:
            return show_service(self.find(call))

    def _create(self, call: Call) -> Json:
        project = self.allowed(call, "services.create")
        service_id = call.query.get("serviceId", "")
        rules.check_service_id(service_id)
        name = "projects/{project}/locations/{location}/services/".format(**call.names) + service_id
        with self._records.lock:
            if name in self._records.services:
                raise ApiError("ALREADY_EXISTS", f"Resource '{service_id}' already exists.")
            return self._make(call, project, name)

    def _make(self, call: Call, project: Project, name: str) -> Json:
        service_id = name.rsplit("/", 1)[-1]
        spec = self._checked(schema.settable(call.body), service_id, project)
        now = timestamp()
        service = Service(
            name=name,
            uid=str(uuid.uuid4()),
            spec=spec,
            created=now,
            updated=now,
            creator=call.caller,
            modifier=call.caller,
            policy={"etag": secrets.token_hex(6)},
        )
        self._check_traffic(service, spec["template"].get("revision", ""))
        if call.flag("validateOnly"):
            self._check_image(spec)
            return {"done": True, "response": {"@type": _TYPE, **show_service(service)}}
        self._add_revision(service)
        self._records.services[name] = service
        self._rollouts.open(service)
        return self._begin(service, "create")

    def _patch(self, call: Call) -> Json:
        project = self.allowed(call, "services.update")
        with self._records.lock:
            service = self._records.services.get(self._name(call))
            if service is None:
                if not call.flag("allowMissing"):
                    raise _missing(call.names["service"], "SERVICE", call)
                rules.check_service_id(call.names["service"])
                return self._make(call, project, self._name(call))
            self._check_etag(service, call.body.get("etag", ""))
            sent = schema.settable(call.body)
            mask = call.query.get("updateMask", "")
            merged = schema.merge(service.spec, sent, mask) if mask else sent
            spec = self._checked(merged, service.id, project)
            explicit = spec["template"].get("revision", "")
            added = self._needs_revision(service, spec, explicit, call.flag("forceNewRevision"))
            self._check_traffic(service, explicit, spec["traffic"])
            if call.flag("validateOnly"):
                if added:
                    self._check_image(spec)
                shown = show_service(service) | spec
                return {"done": True, "response": {"@type": _TYPE, **shown}}
            service.spec = spec
            service.generation += 1
            service.modifier = call.caller
            if added:
                self._add_revision(service)
            return self._begin(service, "update")

    def _delete(self, call: Call) -> Json:
        self.allowed(call, "services.delete")
        with self._records.lock:
            service = self.find(call)
            self._check_etag(service, call.query.get("etag", ""))
            if call.flag("validateOnly"):
                return {"done": True, "response": {"@type": _TYPE, **show_service(service)}}
            return self._begin(service, "delete")

    def _begin(self, service: Service, kind: str) -> Json:
        service.reconciling = True
        service.updated = timestamp()
        waiting = condition("Ready", RECONCILING)
        service.terminal = waiting
        service.conditions = [
            condition("RoutesReady", RECONCILING),
            condition("ConfigurationsReady", RECONCILING),
        ]
        service.touch()
        operation = Operation(
            name=f"projects/{service.project}/locations/{service.location}/operations/{uuid.uuid4()}",
            service=service.name,
            generation=service.generation,
            kind=kind,
            created=timestamp(),
        )
        self._records.operations[operation.name] = operation
        self._records.save()
        shown = show_operation(operation, service)
        self._rollouts.submit(operation)
        return shown

    # checks

    def _checked(self, spec: Mapping[str, Any], service_id: str, project: Project) -> Json:
        rules.check(spec, service_id)
        full = rules.with_defaults(spec, project.default_account)
        account = full["template"]["serviceAccount"]
        if account in project.act_as_denied:
            raise ApiError(
                "PERMISSION_DENIED",
                f"Permission 'iam.serviceaccounts.actAs' denied on service account {account} (or "
                "it may not exist).",
            )
        if not project.account_exists(account):
            raise ApiError("NOT_FOUND", f"Service account {account} does not exist.")
        return full

    @staticmethod
    def _check_etag(service: Service, sent: str) -> None:
        if sent and sent != service.etag:
            raise ApiError(
                "ABORTED",
                f"Conflict for resource '{service.id}': version '{version_of(sent)}' was "
                "specified but current "
                f"version is '{service.version}'.",
            )

    def _check_traffic(
        self, service: Service, coming: str, traffic: list[Json] | None = None
    ) -> None:
        for target in service.spec["traffic"] if traffic is None else traffic:
            name = target.get("revision")
            known = f"{service.name}/revisions/{name}" in self._records.revisions
            if name and name != coming and not known:
                raise invalid(
                    f"Revision '{name}' does not exist or is deleted. Update all traffic to route "
                    "to currently "
                    "available revisions.",
                    "traffic",
                )

    def _check_image(self, spec: Json) -> None:
        for container in spec["template"]["containers"]:
            try:
                self._images.find(container["image"])
            except InstanceError as error:
                raise ApiError("NOT_FOUND", str(error)) from error

    # revisions

    def _needs_revision(self, service: Service, spec: Json, explicit: str, force: bool) -> bool:
        """Whether the declared template makes a new revision. Raises the 409 of a name used
        otherwise.
        """
        old, new = service.spec["template"], spec["template"]
        changed = _plain(old) != _plain(new)
        if explicit:
            same = self._records.revisions.get(f"{service.name}/revisions/{explicit}")
            if same is None:
                return True
            if force or _plain(same.template) != _plain(new):
                raise ApiError(
                    "ALREADY_EXISTS",
                    f"Revision named '{explicit}' with different configuration already exists.",
                )
            return False
        return changed or force

    def _add_revision(self, service: Service) -> None:
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
        self._records.revisions[revision.name] = revision
        service.latest_created = name

    def _list_revisions(self, call: Call) -> Json:
        self.allowed(call, "revisions.list")
        with self._records.lock:
            every = call.names["service"] == "-"
            if not every:
                self.find(call)
            found = [
                revision
                for service in sorted(self._records.services)
                if every or service == self._name(call)
                for revision in self._records.revisions_of(service)
            ]
            page, token = _page(found, call)
            shown = [show_revision(r, self._records.services.get(r.service)) for r in page]
            return _with_token({"revisions": shown}, token)

    def find_revision(self, call: Call) -> Revision:
        name = f"{self._name(call)}/revisions/{call.names['revision']}"
        revision = self._records.revisions.get(name)
        if revision is None:
            raise _missing(call.names["revision"], "REVISION", call)
        return revision

    def _get_revision(self, call: Call) -> Json:
        self.allowed(call, "revisions.get")
        with self._records.lock:
            revision = self.find_revision(call)
            return show_revision(revision, self._records.services.get(revision.service))

    def _delete_revision(self, call: Call) -> Json:
        self.allowed(call, "revisions.delete")
        with self._records.lock:
            revision = self.find_revision(call)
            service = self.find(call)
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

    # operations

    def _operation(self, call: Call) -> Operation:
        name = "projects/{project}/locations/{location}/operations/{operation}".format(**call.names)
        operation = self._records.operations.get(name)
        if operation is None:
            raise ApiError("NOT_FOUND", f"Operation '{name}' not found.")
        return operation

    def _shown(self, operation: Operation) -> Json:
        return show_operation(operation, self._records.services.get(operation.service))

    def _list_operations(self, call: Call) -> Json:
        self.allowed(call, "operations.list")
        place = "projects/{project}/locations/{location}/operations/".format(**call.names)
        with self._records.lock:
            found = [o for o in self._records.operations.values() if o.name.startswith(place)]
            page, token = _page(found, call)
            return _with_token({"operations": [self._shown(o) for o in page]}, token)

    def _get_operation(self, call: Call) -> Json:
        self.allowed(call, "operations.get")
        with self._records.lock:
            return self._shown(self._operation(call))

    def _wait_operation(self, call: Call) -> Json:
        self.allowed(call, "operations.get")
        seconds = min(float(str(call.body.get("timeout", "30s")).rstrip("s")), 60.0)
        with self._records.lock:
            operation = self._operation(call)
            self._records.changed.wait_for(lambda: operation.done, seconds)
            return self._shown(operation)


_TYPE = "type.googleapis.com/google.cloud.run.v2.Service"


def _plain(template: Json) -> Json:
    return {k: v for k, v in template.items() if k not in ("revision", "client", "clientVersion")}


def _missing(name: str, kind: str, call: Call) -> ApiError:
    return ApiError(
        "NOT_FOUND",
        f"Resource '{name}' of kind '{kind}' in region '{call.names['location']}' in project "
        f"'{call.names['project']}' does not exist.",
    )


def _page(found: list[Any], call: Call) -> tuple[list[Any], str]:
    size, token = call.query.get("pageSize", "0"), call.query.get("pageToken", "0")
    if not size.isdigit() or not token.isdigit():
        raise invalid("Invalid page size or token.", "page_token")
    first = int(token)
    last = first + (int(size) or 100)
    return found[first:last], str(last) if last < len(found) else ""


def _with_token(shown: Json, token: str) -> Json:
    """A page; proto3 JSON leaves an empty list out."""
    page = {key: value for key, value in shown.items() if value}
    return {**page, "nextPageToken": token} if token else page
