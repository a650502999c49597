"""A service on a simulated Elastic Beanstalk, to be hurt."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

from pymacaron_ci.model import Report
from pymacaron_ci.signals import Signals
from pymacaron_ci.simulator.beanstalk.server import AwsFault, BeanstalkServer
from tests.ci.simulator.beanstalk_world import beanstalk
from tests.ci.targets.beanstalk_deploys import LIVE, Deploys, release, version
from tests.matrix.cells import Child, OnCall, Wound

WOUNDS = (
    *(Wound(kind) for kind in ("throttled", "429", "500", "503", "timeout", "reset", "slow")),
    *(Wound(kind) for kind in ("expired", "denied", "missing", "busy", "truncated")),
    *(Wound(kind, acted=True) for kind in ("500", "503", "timeout", "reset")),
    *(Wound(kind) for kind in ("SIGKILL", "SIGINT", "SIGTERM")),
    *(Wound(kind, acted=True) for kind in ("SIGKILL", "SIGINT", "SIGTERM")),
)


class BeanstalkBed:
    """Implements cells.Bed."""

    def __init__(self, server: BeanstalkServer, folder: Path) -> None:
        self._server, self._folder = server, folder
        self._deploys = Deploys(server, folder)

    def deploy(self, number: int) -> Report:
        return self._deploys.deploy(release(number))

    def child(self, number: int) -> Child:
        return deploy_apart, (self._folder, self._server.url, number)

    def order(self, wound: Wound, at: int) -> None:
        fault = AwsFault(
            kind=wound.kind,  # type: ignore[arg-type]
            operation=wound.operation,
            at=at,
            acted=wound.acted,
            seconds=1.2,
        )
        self._server.add_faults(fault)

    def unused(self) -> bool:
        return bool(self._server.clear_faults())

    def watch(self, on_call: OnCall) -> None:
        self._server.on_call = lambda call, served: on_call(call.operation, served)

    def url(self) -> str | None:
        port = self._server.store.state.ports.get(LIVE)
        return f"http://127.0.0.1:{port}/ping" if port else None

    def serving(self) -> int | None:
        url = self.url()
        if url:
            with suppress(OSError, ValueError):
                return int(version(url.removesuffix("/ping")) or "")
        return None

    def leftovers(self, number: int) -> list[str]:
        """Besides the live environment there is the former one, ready, and nothing else."""
        live = self._deploys.target().live()
        troubles = [] if live.proven else ["live is not proven"]
        there = [e for e in self._server.store.state.there() if e.status != "Terminating"]
        for environment in there:
            if environment.status != "Ready":
                troubles.append(f"{environment.name} is {environment.status}")
        if [e.cname for e in there].count(LIVE) != 1 or len(there) > min(2, number + 1):
            troubles.append(f"there are {[(e.name, e.cname) for e in there]}")
        return troubles


def deploy_apart(folder: Path, url: str, number: int) -> int:
    """A deployment as the command makes it: a process that listens to signals."""
    signals = Signals(lambda _: None)
    with signals.installed():
        deploys = Deploys(SimpleNamespace(url=url), folder)  # type: ignore[arg-type]
        return deploys.deploy(release(number), hold_signals=signals.hold).exit_code


@contextmanager
def bed() -> Iterator[BeanstalkBed]:
    with (
        tempfile.TemporaryDirectory() as name,
        beanstalk(Path(name) / "simulator") as (server, _),
    ):
        yield BeanstalkBed(server, Path(name) / "service")
