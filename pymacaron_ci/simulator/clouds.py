"""The simulated clouds besides Google's, each started when a run first asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pymacaron_ci.simulator.files import read_json, write_json
from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import Runner


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A cloud that runs: where it answers, and how to end it."""

    url: str
    close: Callable[[], None]


# state folder, runner of instances, images that were pushed, the port it had the last time or 0
Start = Callable[[Path, Runner, Images, int], Cloud]


def _aws(folder: Path, runner: Runner, _images: Images, port: int) -> Cloud:
    from pymacaron_ci.simulator.beanstalk.server import BeanstalkServer

    server = BeanstalkServer(folder, runner, port=port)
    return Cloud(url=server.url, close=server.stop)


CLOUDS: Mapping[str, Start] = {"aws": _aws}


class Clouds:
    """Those that were ever asked for on this state folder run, each at the port it had before."""

    def __init__(self, state: Path, runner: Runner, images: Images) -> None:
        self._state, self._runner, self._images = state, runner, images
        self._running: dict[str, Cloud] = {}
        for name in CLOUDS:
            if self._port_file(name).exists():
                self.open(name)

    def _port_file(self, name: str) -> Path:
        return self._state / name / "port.json"

    def open(self, name: str) -> None:
        """Raises KeyError for a cloud that is not simulated."""
        if name in self._running:
            return
        file = self._port_file(name)
        port = read_json(file) or 0
        cloud = CLOUDS[name](file.parent, self._runner, self._images, port)
        self._running[name] = cloud
        write_json(file, int(cloud.url.rpartition(":")[2]))

    @property
    def urls(self) -> dict[str, str]:
        return {name: cloud.url for name, cloud in self._running.items()}

    def close(self) -> None:
        for cloud in self._running.values():
            cloud.close()
