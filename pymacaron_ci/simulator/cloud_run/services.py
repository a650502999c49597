"""The services of the Cloud Run Admin API v2: created, read, changed, deleted."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from pymacaron_ci.simulator.cloud_run import rules, schema
from pymacaron_ci.simulator.cloud_run.access import ONE, PLACE, Access, missing, page, paged
from pymacaron_ci.simulator.cloud_run.records import (
    Json,
    Operation,
    Service,
    timestamp,
    version_of,
)
from pymacaron_ci.simulator.cloud_run.revisions import add_revision, needs_revision
from pymacaron_ci.simulator.cloud_run.rollout import Rollouts
from pymacaron_ci.simulator.cloud_run.views import (
    RECONCILING,
    condition,
    show_operation,
    show_service,
)
from pymacaron_ci.simulator.google.api import Call, Route
from pymacaron_ci.simulator.google.errors import ApiError, invalid
from pymacaron_ci.simulator.google.projects import Project, Projects
from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import InstanceError


class Services:
    """Every change is checked in full before anything is changed."""

    def __init__(
        self, access: Access, rollouts: Rollouts, projects: Projects, images: Images
    ) -> None:
        self._access, self._records = access, access.records
        self._rollouts, self._projects, self._images = rollouts, projects, images

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/v1/projects/{project}/locations", self._list_locations)
        yield Route("GET", PLACE + "/services", self._list)
        yield Route("POST", PLACE + "/services", self._create)
        yield Route("GET", ONE, self._get)
        yield Route("PATCH", ONE, self._patch)
        yield Route("DELETE", ONE, self._delete)

    def _list_locations(self, call: Call) -> Json:
        self._access.allowed(call, "locations.list")
        base = f"projects/{call.names['project']}/locations"
        return {
            "locations": [
                {"name": f"{base}/{place}", "locationId": place, "displayName": place}
                for place in self._access.locations
            ]
        }

    def _list(self, call: Call) -> Json:
        self._access.allowed(call, "services.list")
        prefix = "projects/{project}/locations/".format(**call.names)
        location = call.names["location"]
        with self._records.lock:
            found = [
                service
                for name, service in sorted(self._records.services.items())
                if name.startswith(prefix) and location in ("-", service.location)
            ]
            services, token = paged(found, call)
            return page({"services": [show_service(s) for s in services]}, token)

    def _get(self, call: Call) -> Json:
        self._access.allowed(call, "services.get")
        with self._records.lock:
            return show_service(self._access.find(call))

    def _create(self, call: Call) -> Json:
        project = self._access.allowed(call, "services.create")
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
        add_revision(self._records, service)
        self._records.services[name] = service
        self._rollouts.urls.open(service)
        return self._begin(service, "create")

    def _patch(self, call: Call) -> Json:
        project = self._access.allowed(call, "services.update")
        with self._records.lock:
            service = self._records.services.get(self._access.name(call))
            if service is None:
                if not call.flag("allowMissing"):
                    raise missing(call.names["service"], "SERVICE", call)
                rules.check_service_id(call.names["service"])
                return self._make(call, project, self._access.name(call))
            self._check_etag(service, call.body.get("etag", ""))
            sent = schema.settable(call.body)
            mask = call.query.get("updateMask", "")
            merged = schema.merge(service.spec, sent, mask) if mask else sent
            spec = self._checked(merged, service.id, project)
            explicit = spec["template"].get("revision", "")
            added = needs_revision(self._records, service, spec, call.flag("forceNewRevision"))
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
                add_revision(self._records, service)
            return self._begin(service, "update")

    def _delete(self, call: Call) -> Json:
        self._access.allowed(call, "services.delete")
        with self._records.lock:
            service = self._access.find(call)
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


_TYPE = "type.googleapis.com/google.cloud.run.v2.Service"
