"""What of Compute Engine (v1) a cluster's nodes hang on: the region's quotas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymacaron_ci.simulator.google.api import Call, Route
from pymacaron_ci.simulator.google.projects import Projects

API = "compute.googleapis.com"


class ComputeApi:
    """regions: get."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/compute/v1/projects/{project}/regions/{region}", self._region)

    def _region(self, call: Call) -> dict[str, Any]:
        project = self._projects.get(call.names["project"])
        project.require_api(API)
        region = call.names["region"]
        project.require("compute.regions.get", f"projects/{project.id}/regions/{region}")
        used, most = project.cpu_quota
        quotas = [{"metric": "CPUS", "limit": most, "usage": used}]
        return {"kind": "compute#region", "name": region, "status": "UP", "quotas": quotas}
