"""A service on a simulated Kubernetes cluster, to be hurt."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pymacaron_ci.model import Report
from pymacaron_ci.signals import Signals
from pymacaron_ci.simulator.faults import Fault
from tests.ci.targets.gke_world import World, release, world
from tests.matrix.cells import Child, OnCall, Wound
from tests.matrix.cloud_run import WOUNDS

__all__ = ["WOUNDS", "GkeBed", "bed"]


class GkeBed:
    """Implements cells.Bed."""

    def __init__(self, cloud: World) -> None:
        assert cloud.server is not None
        self._cloud, self._server = cloud, cloud.server
        self._url: str | None = None

    def deploy(self, number: int) -> Report:
        return self._cloud.deploy(release(f"{number}"))

    def child(self, number: int) -> Child:
        return deploy_apart, (self._cloud.url, self._cloud.registry, number)

    def order(self, wound: Wound, at: int) -> None:
        fault = Fault(
            kind=wound.kind,  # type: ignore[arg-type]
            path=wound.operation,
            at=at,
            acted=wound.acted,
            retry_after=2,
        )
        self._server.faults.add(fault)

    def unused(self) -> bool:
        unmet = bool(self._server.faults.left)
        self._server.faults.clear()
        return unmet

    def watch(self, on_call: OnCall) -> None:
        self._server.on_call = lambda request, served: on_call(request.path, served)

    def url(self) -> str | None:
        found = [s["url"] for s in self._server.services() if s["name"] == "main/hello/hello"]
        return f"{found[0]}/ping" if found and found[0] else None

    def serving(self) -> int | None:
        url = self.url()
        if url is None:
            return None
        with suppress(OSError, ValueError):
            return int(self._cloud.answers())
        return None

    def leftovers(self, number: int) -> list[str]:
        """Both places run the release, it is proven, and nothing of another one is kept in vain."""
        wanted = release(f"{number}").id
        troubles = []
        if self._cloud.marks().get("proven") != wanted:
            troubles.append(f"{self._cloud.marks()} is proven")
        for place in ("staging", "live"):
            if self._cloud.running(place) != wanted:
                troubles.append(f"{self._cloud.running(place)} runs on {place}")
            if len(self._cloud.secrets(place)) != 1:
                troubles.append(f"{place} has {len(self._cloud.secrets(place))} secrets")
        return troubles


def deploy_apart(url: str, registry: str, number: int) -> int:
    """A deployment as the command makes it: a process that listens to signals."""
    signals = Signals(lambda _: None)
    with signals.installed():
        return (
            World(url, registry).deploy(release(f"{number}"), hold_signals=signals.hold).exit_code
        )


@contextmanager
def bed() -> Iterator[GkeBed]:
    with tempfile.TemporaryDirectory() as name, world(Path(name)) as cloud:
        yield GkeBed(cloud)
