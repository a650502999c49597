"""A service on a simulated Cloud Run, to be hurt."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

from pymacaron_ci.model import Report
from pymacaron_ci.signals import Signals
from pymacaron_ci.simulator.faults import Fault
from tests.ci.targets.cloud_run_world import World, release, world
from tests.matrix.cells import Child, OnCall, Wound

WOUNDS = (
    *(Wound(kind) for kind in ("401", "403", "404", "409", "429", "500", "503")),
    *(Wound(kind) for kind in ("reset", "slow", "truncated")),
    *(Wound(kind, acted=True) for kind in ("500", "503", "reset")),
    *(Wound(kind) for kind in ("SIGKILL", "SIGINT", "SIGTERM")),
    *(Wound(kind, acted=True) for kind in ("SIGKILL", "SIGINT", "SIGTERM")),
)
SERVICES = ("hello-live", "hello-staging")


class CloudRunBed:
    """Implements cells.Bed."""

    def __init__(self, cloud: World) -> None:
        self._cloud, self._uri = cloud, ""

    def deploy(self, number: int) -> Report:
        return self._cloud.deploy(release(f"{number}"))

    def child(self, number: int) -> Child:
        endpoints = self._cloud.simulation.endpoints
        return deploy_apart, (self._cloud.simulation.google.url, endpoints.registry, number)

    def order(self, wound: Wound, at: int) -> None:
        fault = Fault(
            kind=wound.kind,  # type: ignore[arg-type]
            path=wound.operation,
            at=at,
            acted=wound.acted,
            retry_after=2,
        )
        self._cloud.fail(fault)

    def unused(self) -> bool:
        faults = self._cloud.simulation.google.api.faults
        unmet = bool(faults.left)
        faults.clear()
        return unmet

    def watch(self, on_call: OnCall) -> None:
        self._cloud.simulation.google.api.on_call = lambda request, served: on_call(
            request.path, served
        )

    def url(self) -> str | None:
        for service in self._cloud.simulation.services():
            if str(service["name"]).endswith(SERVICES[0]):
                return f"{service['url']}/ping"
        return None

    def serving(self) -> int | None:
        if not self._cloud.service():
            return None
        with suppress(OSError, ValueError):
            return int(self._cloud.answers())
        return None

    def leftovers(self, number: int) -> list[str]:
        """No tag, no mark of a deployment under way, all requests at one revision."""
        troubles = [] if self._cloud.target().live().proven else ["live is not proven"]
        for name in SERVICES:
            if self._cloud.tags(name):
                troubles.append(f"{name} has the tags {self._cloud.tags(name)}")
            if "pymacaron-ci/candidate" in self._cloud.service(name)["annotations"]:
                troubles.append(f"{name} has a candidate")
            if list(self._cloud.traffic(name).values()) != [100]:
                troubles.append(f"{name} has the traffic {self._cloud.traffic(name)}")
        return troubles


def deploy_apart(url: str, registry: str, number: int) -> int:
    """A deployment as the command makes it: a process that listens to signals."""
    simulation = SimpleNamespace(
        google=SimpleNamespace(url=url), endpoints=SimpleNamespace(registry=registry)
    )
    signals = Signals(lambda _: None)
    with signals.installed():
        cloud = World(simulation)  # type: ignore[arg-type]
        return cloud.deploy(release(f"{number}"), hold_signals=signals.hold).exit_code


@contextmanager
def bed() -> Iterator[CloudRunBed]:
    with tempfile.TemporaryDirectory() as name, world(Path(name)) as cloud:
        yield CloudRunBed(cloud)
