"""Kubernetes Engine's own API (container v1): which clusters there are, and in what state."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pymacaron_ci.simulator.google.api import Call, Route
from pymacaron_ci.simulator.google.errors import ApiError
from pymacaron_ci.simulator.google.projects import Projects
from pymacaron_ci.simulator.kubernetes.settings import AllSettings, Settings

Json = dict[str, Any]
CLUSTERS = "/v1/projects/{project}/locations/{location}/clusters"
CREATED = "2026-01-01T00:00:00+00:00"
CA = Path(__file__).parent / "ca.pem"
API = "container.googleapis.com"


class ContainerApi:
    """clusters: get, list."""

    def __init__(self, projects: Projects, settings: AllSettings) -> None:
        self._projects, self._settings = projects, settings

    def routes(self) -> Iterable[Route]:
        yield Route("GET", CLUSTERS, self._list)
        yield Route("GET", CLUSTERS + "/{cluster}", self._get)

    def _check(self, call: Call, right: str) -> str:
        project = self._projects.get(call.names["project"])
        project.require_api(API)
        place = "projects/{project}/locations/{location}".format(**call.names)
        project.require(f"container.clusters.{right}", place)
        return project.id

    def _get(self, call: Call) -> Json:
        project = self._check(call, "get")
        location, name = call.names["location"], call.names["cluster"]
        settings = self._settings.get(f"{project}/{location}/{name}")
        if not settings.exists:
            raise ApiError(
                "NOT_FOUND",
                f"Not found: projects/{project}/locations/{location}/clusters/{name}.\n"
                f"No cluster named '{name}' in {project}.",
            )
        return _shown(call.base, project, location, name, settings)

    def _list(self, call: Call) -> Json:
        project = self._check(call, "list")
        found = []
        for full, settings in self._settings.known():
            owner, location, name = full.split("/")
            if owner == project and call.names["location"] in ("-", location) and settings.exists:
                found.append(_shown(call.base, project, location, name, settings))
        return {"clusters": found} if found else {}


def _shown(base: str, project: str, location: str, name: str, settings: Settings) -> Json:
    place = f"projects/{project}/locations/{location}/clusters/{name}"
    number = zlib.crc32(place.encode())
    public = f"34.{number >> 16 & 127}.{number >> 8 & 255}.{number & 255}"
    private = "10.132.0.2"
    addresses: Json = {"enabled": True, "privateEndpoint": private}
    if settings.public:
        addresses |= {"enablePublicEndpoint": True, "publicEndpoint": public}
    names: Json = {"endpoint": f"gke-{number:08x}-{number % 10**12:012d}.{location}.gke.goog"}
    if settings.dns:
        names["allowExternalTraffic"] = True
    found: Json = {
        "id": f"{number:032x}",
        "name": name,
        "location": location,
        "selfLink": f"{base}/v1/{place}",
        "status": settings.status,
        "createTime": CREATED,
        "initialClusterVersion": settings.version,
        "currentMasterVersion": settings.version,
        "endpoint": public if settings.public else private,
        "masterAuth": {"clusterCaCertificate": base64.b64encode(CA.read_bytes()).decode()},
        "controlPlaneEndpointsConfig": {
            "dnsEndpointConfig": names,
            "ipEndpointsConfig": addresses,
        },
        "releaseChannel": {"channel": "REGULAR"},
        "workloadIdentityConfig": {"workloadPool": f"{project}.svc.id.goog"},
        "currentNodeCount": len(settings.nodes),
        "etag": f"{number:08x}",
    }
    if settings.autopilot:
        found["autopilot"] = {"enabled": True}
    return found
