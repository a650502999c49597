"""A runner whose instances are threads of the test: quick, and broken on request."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import NO_LIMITS, Instance, Limits, LogLine
from pymacaron_ci.simulator.web import Request, Response, Server


class ThreadInstance:
    """BROKEN in its environment: exits, deaf. GET /crash ends it, other paths tell what it has."""

    def __init__(self, name: str, environment: Mapping[str, str], limits: Limits, number: int):
        self.name, self.environment, self.limits, self.number = name, environment, limits, number
        self.lines = [LogLine(f"2026-01-01T00:00:0{number % 10}Z", f"instance {number} starts")]
        self.stopped = False
        self._status: int | None = None
        self._server = Server(self._answer)
        broken = environment.get("BROKEN")
        if broken:
            self._server.stop()
        if broken == "exits":
            self.lines.append(LogLine("2026-01-01T00:01:00Z", "ImportError: nothing"))
            self._status = 1

    @property
    def url(self) -> str:
        return self._server.url

    def _answer(self, request: Request) -> Response:
        if request.path == "/crash":
            self._status = 3
            return Response(500)
        told = {
            "release": self.environment.get("PYM_RELEASE"),
            "path": request.target,
            "method": request.method,
            "body": request.body.read().decode(),
            "headers": dict(request.headers.items()),
            "environment": dict(self.environment),
            "number": self.number,
        }
        return Response(200, json.dumps(told).encode(), (("Content-Type", "application/json"),))

    def exit_status(self) -> int | None:
        return self._status

    def logs(self, tail: int = 100) -> Sequence[LogLine]:
        return self.lines[-tail:]

    def stop(self, grace: float = 10.0) -> None:
        if not self.stopped:
            self.stopped = True
            self._status = 0 if self._status is None else self._status
            if not self.environment.get("BROKEN"):
                self._server.stop()


class ThreadRunner:
    kind = "thread"

    def __init__(self, _folder: Path, images: Images, _environ: Mapping[str, str]) -> None:
        self._images = images
        self._numbers = itertools.count(1)
        self.instances: list[ThreadInstance] = []

    def start(
        self,
        image: str,
        environment: Mapping[str, str],
        *,
        name: str,
        limits: Limits = NO_LIMITS,
        command: Sequence[str] = (),
    ) -> Instance:
        self._images.find(image)
        instance = ThreadInstance(name, environment, limits, next(self._numbers))
        self.instances.append(instance)
        return instance

    def logs(self, name: str, tail: int = 100) -> Sequence[LogLine]:
        return [line for i in self.instances if i.name == name for line in i.lines][-tail:]

    @property
    def running(self) -> list[str]:
        return [i.name.rpartition(".")[2] for i in self.instances if i.exit_status() is None]

    def clean(self) -> None:
        """Threads end with their process."""

    def close(self) -> None:
        for instance in self.instances:
            instance.stop()
