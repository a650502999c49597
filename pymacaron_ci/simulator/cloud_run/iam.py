"""The policies of services: who may call them. Kept with the service, guarded by an etag of their
own.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence

from pymacaron_ci.simulator.cloud_run.access import ONE, Access
from pymacaron_ci.simulator.cloud_run.records import Json, Service
from pymacaron_ci.simulator.cloud_run.rollout import Rollouts
from pymacaron_ci.simulator.google.api import Call, Route
from pymacaron_ci.simulator.google.errors import ApiError, invalid
from pymacaron_ci.simulator.google.projects import Projects

PUBLIC = ("allUsers", "allAuthenticatedUsers")
NOT_PERMITTED = (
    "One or more users named in the policy do not belong to a permitted customer, perhaps due to "
    "an organization "
    "policy."
)


class Policies:
    """getIamPolicy, setIamPolicy, testIamPermissions of services."""

    def __init__(self, access: Access, rollouts: Rollouts, projects: Projects) -> None:
        self._access, self._rollouts, self._projects = access, rollouts, projects

    def routes(self) -> Iterable[Route]:
        yield Route("GET", ONE + ":getIamPolicy", self._get)
        yield Route("POST", ONE + ":setIamPolicy", self._set)
        yield Route("POST", ONE + ":testIamPermissions", self._test)

    def _get(self, call: Call) -> Json:
        self._access.allowed(call, "services.getIamPolicy")
        with self._rollouts.records.lock:
            return dict(self._access.find(call).policy)

    def _set(self, call: Call) -> Json:
        project = self._access.allowed(call, "services.setIamPolicy")
        policy = call.body.get("policy")
        if not isinstance(policy, dict):
            raise invalid("policy is required.", "policy")
        bindings = _checked(policy.get("bindings", []))
        public = any(m in PUBLIC for binding in bindings for m in binding["members"])
        if public and not project.public_allowed:
            raise ApiError("FAILED_PRECONDITION", NOT_PERMITTED)
        with self._rollouts.records.lock:
            service: Service = self._access.find(call)
            if policy.get("etag") and policy["etag"] != service.policy["etag"]:
                raise ApiError(
                    "ABORTED",
                    "There were concurrent policy changes. Please retry the whole "
                    "read-modify-write with exponential "
                    "backoff.",
                )
            service.policy = {"version": 1, "etag": secrets.token_hex(6)}
            if bindings:
                service.policy["bindings"] = bindings
            self._rollouts.urls.apply(service)
            self._rollouts.records.save()
            return dict(service.policy)

    def _test(self, call: Call) -> Json:
        asked = call.body.get("permissions", [])
        project = self._projects.get(call.names["project"])
        granted = [p for p in asked if p not in project.denied_permissions]
        return {"permissions": granted} if granted else {}


def _checked(bindings: object) -> list[Json]:
    if not isinstance(bindings, list):
        raise invalid("bindings must be a list.", "policy.bindings")
    for binding in bindings:
        members: Sequence[str] = binding.get("members", [])
        if not str(binding.get("role", "")).startswith(("roles/", "projects/", "organizations/")):
            raise invalid(f"Role {binding.get('role')} is not supported for this resource.")
        for member in members:
            if member not in PUBLIC and ":" not in member:
                raise invalid(f"Invalid member: {member!r}")
    return [b for b in bindings if b.get("members")]
