"""The simulated Kubernetes Engine: its API, and behind each cluster's path that cluster's own.

`<url>/v1/projects/{p}/locations/{l}/clusters/{c}` and `<url>/clusters/{p}/{l}/{c}/api/v1/…`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from pymacaron_ci.simulator.faults import Fault, Faults
from pymacaron_ci.simulator.google.api import GoogleApi, google_fault
from pymacaron_ci.simulator.google.errors import ApiError
from pymacaron_ci.simulator.google.projects import Projects
from pymacaron_ci.simulator.google.tokens import TokenDesk
from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import Runner
from pymacaron_ci.simulator.kubernetes.cluster import Cluster
from pymacaron_ci.simulator.kubernetes.compute_api import ComputeApi
from pymacaron_ci.simulator.kubernetes.container_api import ContainerApi
from pymacaron_ci.simulator.kubernetes.nodes.containers import Patience
from pymacaron_ci.simulator.kubernetes.settings import AllSettings
from pymacaron_ci.simulator.kubernetes.statuses import (
    KubeError,
    bad_request,
    unauthorized,
    unknown_path,
)
from pymacaron_ci.simulator.web import Request, Reset, Response, Server, json_response
from pymacaron_ci.waiting import Clock

CLUSTER = re.compile(r"/clusters/([^/]+)/([^/]+)/([^/]+)(/.*)?")
# how long a connection to a private cluster hangs
UNREACHABLE = 120.0
REASONS = {
    "401": ("Unauthorized", "Unauthorized"),
    "403": ("Forbidden", "the caller does not have permission"),
    "404": ("NotFound", "the server could not find the requested resource"),
    "409": ("Conflict", "the object has been modified; please apply your changes to the latest "
            "version and try again"),
    "429": ("TooManyRequests", "the server has received too many requests and has asked us to try "
            "again later"),
    "500": ("InternalError", "Internal error occurred: etcdserver: request timed out"),
    "503": ("ServiceUnavailable", "the server is currently unable to handle the request"),
}  # fmt: skip


class KubernetesServer:
    """`faults`, `settings`, `cluster` and `on_call` are for tests; the last is told of each call
    before and after it is served. Raises it Reset before, the call never arrived. What tests
    of another process do with them: POST /_simulator/faults, PUT /_simulator/clusters/{p}/{l}/{c}.
    """

    def __init__(
        self,
        folder: Path,
        runner: Runner,
        images: Images,
        *,
        projects: Projects,
        tokens: TokenDesk,
        clock: Clock,
        port: int = 0,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        self._folder, self._runner, self._images = folder, runner, images
        self.tokens, self._patience = tokens, patience
        self.settings = AllSettings(folder / "settings.json")
        self.faults = Faults(_fault, clock.sleep)
        self.on_call: Callable[[Request, bool], None] = lambda *_: None
        apis = (ContainerApi(projects, self.settings), ComputeApi(projects))
        self.google = GoogleApi([route for a in apis for route in a.routes()], tokens, clock)
        self.projects = projects
        self._clusters: dict[str, Cluster] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        for place in sorted((folder / "clusters").glob("*/*/*")):
            self.cluster(*place.relative_to(folder / "clusters").parts)
        self._server = Server(self._serve, port=port)
        self.google.base = self._server.url

    @property
    def url(self) -> str:
        return self._server.url

    def cluster(self, project: str, location: str, name: str) -> Cluster:
        """Made when it's first asked for."""
        key = f"{project}/{location}/{name}"
        with self._lock:
            if key not in self._clusters:
                folder = self._folder / "clusters" / project / location / name
                self._clusters[key] = Cluster(
                    folder, self.settings.get(key), self._runner, self._images, self._patience
                )
            return self._clusters[key]

    def services(self) -> list[dict[str, object]]:
        """Each deployment: its name, the URL of its namespace's ingress, image, ready pods."""
        return [
            {
                "name": f"{key.rpartition('/')[2]}/{found.namespace}/{found.name}",
                "url": found.url,
                "revision": found.image.rpartition("/")[2] if found.ready else None,
                "instances": found.ready,
            }
            for key, cluster in sorted(self._clusters.items())
            for found in cluster.workloads()
        ]

    def stop(self) -> None:
        self._closing.set()
        for cluster in self._clusters.values():
            cluster.close()
        self._server.stop()

    # --- serving

    def _serve(self, request: Request) -> Response:
        if request.raw_path.startswith("/_simulator/"):
            return self._ours(request)
        self.on_call(request, False)
        if request.raw_path.startswith("/clusters/"):
            response = self.faults.serve(request, self._answer)
        else:
            response = self.faults.serve(request, self.google.handle, google_fault)
        self.on_call(request, True)
        return response

    def _answer(self, request: Request) -> Response:
        try:
            return self._call(request)
        except KubeError as error:
            return error.response()

    def _call(self, request: Request) -> Response:
        match = CLUSTER.fullmatch(request.raw_path)
        if match is None:
            raise unknown_path()
        project, location, name = (unquote(part) for part in match.groups()[:3])
        settings = self.settings.get(f"{project}/{location}/{name}")
        if not (settings.public or settings.dns) or not settings.exists:
            self._closing.wait(UNREACHABLE)
            raise Reset
        try:
            caller = self.tokens.caller(request.bearer)
            self.projects.get(project)
        except ApiError as error:
            if error.code == "UNAUTHENTICATED":
                raise unauthorized() from error
            raise KubeError(403, "Forbidden", error.message, details={}) from error
        cluster = self.cluster(project, location, name)
        return cluster.api.handle(request, match[4] or "/", caller)

    def _ours(self, request: Request) -> Response:
        """Orders of tests that run in another process."""
        try:
            orders = json.loads(request.body.read() or b"null")
            if request.raw_path == "/_simulator/faults" and request.method == "POST":
                self.faults.add(*(Fault(**fault) for fault in orders))
                return json_response({})
            match = CLUSTER.fullmatch(request.raw_path.removeprefix("/_simulator"))
            if match and request.method == "PUT":
                self.settings.change("/".join(match.groups()[:3]), **orders)
                return json_response({})
        except (AttributeError, TypeError, ValueError) as error:
            return bad_request(str(error)).response()
        return unknown_path().response()


def _fault(kind: str, fault: Fault) -> Response:
    reason, message = REASONS[kind]
    headers = [("Retry-After", f"{fault.retry_after:g}")] if kind == "429" else []
    return KubeError(int(kind), reason, message, details={}, headers=headers).response()
