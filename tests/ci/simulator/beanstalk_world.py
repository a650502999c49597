"""A simulated AWS whose instances are small servers of this process, for quick tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config as BotoConfig

from pymacaron_ci.simulator.beanstalk.server import BeanstalkServer
from pymacaron_ci.simulator.beanstalk.state import Timings
from pymacaron_ci.simulator.instances import ImageNotFound, Instance, Limits, LogLine
from pymacaron_ci.simulator.web import Request, Response, Server

QUICK = Timings(
    process=0.02,
    launch=0.05,
    update=0.05,
    swap=0.05,
    terminate=0.05,
    event=0.0,
    dns=0.05,
    start=1.0,
    monitor=0.05,
)


class FakeInstance:
    """Answers /ping and /version as a service does; an image named `sick` is never well."""

    def __init__(self, image: str, environment: Mapping[str, str], name: str) -> None:
        self.image, self.environment, self._name = image, dict(environment), name
        self.well = "sick" not in image
        self._status: int | None = None
        self._server = Server(self._answer)

    def _answer(self, request: Request) -> Response:
        if request.path == "/ping":
            return Response(200 if self.well else 500, b"{}")
        release = self.environment.get("PYM_RELEASE")
        body = {"release": release, "pym_env": self.environment.get("PYM_ENV")}
        return Response(200, json.dumps(body).encode(), (("Content-Type", "application/json"),))

    @property
    def name(self) -> str:
        return self._name

    @property
    def url(self) -> str:
        return self._server.url

    def exit_status(self) -> int | None:
        return self._status

    def logs(self, tail: int = 100) -> Sequence[LogLine]:
        return [LogLine("2026-01-01T00:00:00Z", f"serving {self.image}")]

    def stop(self, grace: float = 10.0) -> None:
        if self._status is None:
            self._status = 0
            self._server.stop()


class FakeRunner:
    kind = "fake"

    def __init__(self) -> None:
        self.instances: list[FakeInstance] = []

    def start(
        self,
        image: str,
        environment: Mapping[str, str],
        *,
        name: str,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        command: Sequence[str] = (),
    ) -> Instance:
        if "missing" in image:
            raise ImageNotFound(f"{image}: not found")
        instance = FakeInstance(image, environment, name)
        self.instances.append(instance)
        return instance

    def logs(self, name: str, tail: int = 100) -> Sequence[LogLine]:
        return [line for i in self.instances if i.name == name for line in i.logs(tail)]

    def clean(self) -> None:
        pass

    def close(self) -> None:
        for instance in self.instances:
            instance.stop()


@contextmanager
def beanstalk(folder: Path, **options: Any) -> Iterator[tuple[BeanstalkServer, FakeRunner]]:
    runner = FakeRunner()
    server = BeanstalkServer(folder, runner, **{"timings": QUICK, **options})
    try:
        yield server, runner
    finally:
        server.stop()


def client(server: BeanstalkServer, service: str = "elasticbeanstalk", **more: Any) -> Any:
    session = boto3.Session("AKIDSIMULATED", "secret", region_name="eu-west-1")
    config = BotoConfig(
        retries={"mode": "standard", "max_attempts": 1},
        parameter_validation=False,  # the server is to refuse, not the client
        **more,
    )
    return session.client(service, endpoint_url=server.url, config=config)
