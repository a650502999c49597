"""The simulated clouds besides Google's, each started when a run first asks for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pymacaron_ci.simulator.files import read_json, write_json
from pymacaron_ci.simulator.google.projects import Projects
from pymacaron_ci.simulator.google.tokens import TokenDesk
from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import Runner
from pymacaron_ci.waiting import Clock


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A cloud that runs: where it answers, what runs in it (for people), and how to end it."""

    url: str
    close: Callable[[], None]
    services: Callable[[], Sequence[dict[str, object]]]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What all clouds stand on: the runner of instances, images that were pushed, and what a
    simulated Google says about projects and tokens.
    """

    runner: Runner
    images: Images
    projects: Projects
    tokens: TokenDesk
    clock: Clock


# state folder, ground, the port it had the last time or 0
Start = Callable[[Path, Ground, int], Cloud]


def _aws(folder: Path, ground: Ground, port: int) -> Cloud:
    from pymacaron_ci.simulator.beanstalk.server import BeanstalkServer

    server = BeanstalkServer(folder, ground.runner, port=port)
    return Cloud(url=server.url, close=server.stop, services=server.services)


def _kubernetes(folder: Path, ground: Ground, port: int) -> Cloud:
    from pymacaron_ci.simulator.kubernetes.server import KubernetesServer

    server = KubernetesServer(
        folder,
        ground.runner,
        ground.images,
        projects=ground.projects,
        tokens=ground.tokens,
        clock=ground.clock,
        port=port,
    )
    return Cloud(url=server.url, close=server.stop, services=server.services)


CLOUDS: Mapping[str, Start] = {"aws": _aws, "kubernetes": _kubernetes}


class Clouds:
    """Those that were ever asked for on this state folder run, each at the port it had before.

    One that needs a package that is not installed here rests: on a runner, each target's
    deployment has only its own.
    """

    def __init__(self, state: Path, ground: Ground) -> None:
        self._state, self._ground = state, ground
        self._running: dict[str, Cloud] = {}
        for name in CLOUDS:
            if self._port_file(name).exists():
                try:
                    self.open(name)
                except ModuleNotFoundError as error:
                    print(f"the simulated {name} rests: {error}", file=sys.stderr)

    def _port_file(self, name: str) -> Path:
        return self._state / name / "port.json"

    def open(self, name: str) -> None:
        """Raises KeyError for a cloud that is not simulated."""
        if name in self._running:
            return
        file = self._port_file(name)
        port = read_json(file) or 0
        cloud = CLOUDS[name](file.parent, self._ground, port)
        self._running[name] = cloud
        write_json(file, int(cloud.url.rpartition(":")[2]))

    @property
    def urls(self) -> dict[str, str]:
        return {name: cloud.url for name, cloud in self._running.items()}

    def services(self) -> list[dict[str, object]]:
        """What runs in them, for people."""
        return [service for cloud in self._running.values() for service in cloud.services()]

    def close(self) -> None:
        for cloud in self._running.values():
            cloud.close()
