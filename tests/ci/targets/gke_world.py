"""A simulated Kubernetes Engine whose pods are threads, so that a deployment takes seconds."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import requests

from pymacaron_ci import pipeline
from pymacaron_ci.model import Plan, Release, Report
from pymacaron_ci.simulator.faults import Fault
from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import NO_LIMITS, Limits
from pymacaron_ci.simulator.kubernetes.nodes.containers import Patience
from pymacaron_ci.simulator.kubernetes.server import KubernetesServer
from pymacaron_ci.simulator.simulation import MakeRunner, Simulation
from pymacaron_ci.targets.gcp import Endpoints, GoogleSession
from pymacaron_ci.targets.gke import Gke
from pymacaron_ci.targets.gke.access import GoogleClusters
from pymacaron_ci.targets.gke.resources import path
from pymacaron_ci.targets.gke.wanted import Place, Spot, Wanted
from pymacaron_ci.waiting import SystemClock
from pymacaron_ci.worlds.gke import on_loopback
from tests.ci.fakes import FakeReporter
from tests.ci.targets import cloud_run_world
from tests.ci.targets.cloud_run_world import (
    PROJECT,
    SECRET,
    Builder,
    Checks,
    FastClock,
    get,
    release,
)
from tests.contracts.discovery_check import Recorder

__all__ = ["SECRET", "SERVICE", "World", "release", "world"]

SERVICE = Wanted(
    name="hello",
    live=Spot("main", "hello"),
    staging=Spot("main", "hello-staging"),
    project=PROJECT,
    location="europe-west1",
    live_url="https://hello.example.com",
    memory="100Mi",
    startup_seconds=4,
    progress_seconds=8,
    min_replicas=2,
)
QUICK = Patience(backoff=0.2, longest=0.4, look=0.02, hooks=0.01)
KUBECTL = {"Content-Type": "application/merge-patch+json"}


class ThreadRunner(cloud_run_world.ThreadRunner):
    """Knows which images were pushed."""

    def __init__(self, _folder: Path, images: Images, _environ: Mapping[str, str]) -> None:
        super().__init__()
        self._images = images

    def start(
        self,
        image: str,
        environment: Mapping[str, str],
        *,
        name: str,
        limits: Limits = NO_LIMITS,
        command: Sequence[str] = (),
    ) -> cloud_run_world.ThreadInstance:
        self._images.find(image)
        return super().start(image, environment, name=name, limits=limits, command=command)


@dataclass
class World:
    """A simulated cluster, and what deploys to it."""

    url: str
    registry: str
    server: KubernetesServer | None = None
    wanted: Wanted = SERVICE
    clock: FastClock = field(default_factory=lambda: FastClock(4))
    said: list[str] = field(default_factory=list)
    make_http: Callable[[], Any] = requests.Session
    recorder: Recorder = field(default_factory=Recorder)

    def target(self, **changes: Any) -> Gke:
        wanted = replace(self.wanted, **changes)
        http = self.make_http()
        http.hooks["response"].append(self.recorder.hook)
        session = GoogleSession(
            http,
            endpoints=replace(Endpoints.all_at(self.url), artifactregistry="http://127.0.0.1:9"),
            clock=self.clock,
            progress=self.said.append,
        )
        connect = on_loopback(self.url, wanted, self.make_http)
        return Gke(
            wanted,
            GoogleClusters(session, wanted, connect, self.said.append),
            session=session,
            progress=self.said.append,
            patience=0.2,
        )

    def deploy(
        self,
        release: Release,
        target: Gke | None = None,
        hold_signals: Callable[[], AbstractContextManager[object]] = nullcontext,
        builder: Any = None,
        **changes: Any,
    ) -> Report:
        """As a user would: a new process, that knows nothing but what the cluster holds."""
        own = target or self.target(**changes)
        try:
            return pipeline.run(
                pipeline.Job(
                    release=release,
                    target=own,
                    builder=builder or Builder(self.registry),
                    checks=Checks(self.clock),
                    reporter=FakeReporter(self.said),
                    hold_signals=hold_signals,
                )
            )
        finally:
            if own is not target:
                own.close()

    def plan(self, release: Release, **changes: Any) -> Plan:
        return self.target(**changes).plan(release)

    def fail(self, *faults: Fault) -> None:
        assert self.server is not None
        self.server.faults.add(*faults)

    def cluster(self, name: str = "main", **settings: Any) -> None:
        """Takes something away from a cluster."""
        assert self.server is not None
        self.server.settings.change(f"{PROJECT}/europe-west1/{name}", **settings)

    # --- what is there

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        url = f"{self.url}/clusters/{PROJECT}/europe-west1/main/{path}"
        data = None if body is None else json.dumps(body)
        return requests.request(method, url, data=data, timeout=20, **options)

    def find(self, kind: str, place: Place = "live", name: str = "hello") -> dict[str, Any]:
        """An object; empty if it isn't there."""
        answer = self.call("GET", path(kind, self.wanted.spot(place).namespace, name))
        body: dict[str, Any] = answer.json()
        return body if answer.status_code == 200 else {}

    def every(self, kind: str, place: Place = "live") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call(
            "GET", path(kind, self.wanted.spot(place).namespace)
        ).json()["items"]
        return found

    def template(self, place: Place = "live") -> dict[str, Any]:
        found: dict[str, Any] = self.find("Deployment", place)["spec"]["template"]
        return found

    def running(self, place: Place = "live") -> str:
        """The release that the Deployment's pods are of."""
        return str(self.template(place)["metadata"]["annotations"]["pymacaron-ci/release"])

    def marks(self) -> dict[str, str]:
        told = self.find("Deployment")["metadata"]["annotations"]
        return {
            key: told[f"pymacaron-ci/{key}"]
            for key in ("proven", "previous")
            if f"pymacaron-ci/{key}" in told
        }

    def secrets(self, place: Place = "live") -> dict[str, dict[str, str]]:
        """Their values, by name."""
        return {
            s["metadata"]["name"]: {k: base64.b64decode(v).decode() for k, v in s["data"].items()}
            for s in self.every("Secret", place)
        }

    def public_url(self) -> str:
        entry = self.find("Ingress")["status"]["loadBalancer"]["ingress"][0]
        return f"http://{entry['ip']}:{entry['ports'][0]['port']}"

    def answers(self) -> str:
        """The release that the load balancer leads to."""
        status, body = get(f"{self.public_url()}/version", {})
        return str(json.loads(body)["release"]) if status == 200 else str(status)

    def environment(self) -> dict[str, str]:
        _, body = get(f"{self.public_url()}/version", {})
        found: dict[str, str] = json.loads(body)["environment"]
        return found


@contextmanager
def world(
    folder: Path,
    make_runner: MakeRunner = ThreadRunner,
    environ: Mapping[str, str] | None = None,
    **options: Any,
) -> Iterator[World]:
    with Simulation(folder, environ=environ or {}, make_runner=make_runner) as simulation:
        server = KubernetesServer(
            folder / "kubernetes",
            simulation.runner,
            simulation.images,
            projects=simulation.google.projects,
            tokens=simulation.google.tokens,
            clock=SystemClock(),
            patience=QUICK,
        )
        made = World(server.url, simulation.endpoints.registry, server, **options)
        try:
            yield made
        finally:
            server.stop()
        errors = made.recorder.errors  # Google's own descriptions judge every call
        assert not errors, errors


@contextmanager
def serving(folder: Path) -> Iterator[World]:
    """A world in which release 1 is live."""
    with world(folder) as made:
        assert made.deploy(release("1")).status == "deployed"
        yield made
