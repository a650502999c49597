"""orgpolicy v2: what the organisation forbids in a project, as far as deployments ask."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymacaron_ci.simulator.google.api import Call, Route
from pymacaron_ci.simulator.google.projects import Projects

SHARING = "iam.allowedPolicyMemberDomains"


class OrganisationPolicies:
    """Domain restricted sharing, where a project is not `public_allowed`."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects

    def routes(self) -> Iterable[Route]:
        path = "/v2/projects/{project}/policies/{policy}:getEffectivePolicy"
        yield Route("GET", path, self._get)

    def _get(self, call: Call) -> dict[str, Any]:
        project = self._projects.get(call.names["project"])
        project.require_api("orgpolicy.googleapis.com")
        project.require("orgpolicy.policy.get", f"projects/{project.id}")
        restricts = call.names["policy"] == SHARING and not project.public_allowed
        rule = {"values": {"allowedValues": ["C0abcdefg"]}} if restricts else {"allowAll": True}
        return {
            "name": f"projects/{project.number}/policies/{call.names['policy']}",
            "spec": {"rules": [rule]},
        }
