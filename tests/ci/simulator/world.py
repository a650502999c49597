"""A simulated Google, called as a deployment would call it; all calls are judged."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from pymacaron_ci.simulator.cloud_run.rollout import Timing
from pymacaron_ci.simulator.simulation import Simulation
from tests.ci.simulator.images import push
from tests.ci.simulator.runners import ThreadRunner
from tests.contracts.discovery_check import Recorder

Json = dict[str, Any]
PLACE = "projects/p/locations/europe-west1"
LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
PINNED = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"


class World:
    """`judge` fails a test whose calls, or whose answers, Google's descriptions do not know."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.google = simulation.google
        self.run = simulation.endpoints.run
        self.image = push(simulation.endpoints.registry)
        self.recorder = Recorder()
        self.session = requests.Session()
        self.session.hooks["response"].append(self.recorder.hook)

    @property
    def runner(self) -> ThreadRunner:
        assert isinstance(self.simulation.runner, ThreadRunner)
        return self.simulation.runner

    def call(self, method: str, path: str, body: Json | None = None, **query: str) -> Json:
        """An answer that must be a success."""
        answer = self.try_call(method, path, body, **query)
        assert answer.ok, answer.text
        found: Json = answer.json()
        return found

    def try_call(
        self, method: str, path: str, body: Json | None = None, **query: str
    ) -> requests.Response:
        return self.session.request(
            method, f"{self.run}{path}", json=body, params=query, timeout=20
        )

    def error(self, method: str, path: str, body: Json | None = None, **query: str) -> Json:
        answer = self.try_call(method, path, body, **query)
        assert not answer.ok, answer.text
        found: Json = answer.json()["error"]
        return found

    def finished(self, operation: Json) -> Json:
        """An operation once it is done."""
        end = time.monotonic() + 60
        while not operation.get("done"):
            assert time.monotonic() < end, operation
            operation = self.call("POST", f"/v2/{operation['name']}:wait", {"timeout": "5s"})
        return operation

    def create(self, name: str = "hello", body: Json | None = None) -> Json:
        started = self.call("POST", f"/v2/{PLACE}/services", body or self.body(), serviceId=name)
        return self.finished(started)

    def patch(self, body: Json, name: str = "hello", **query: str) -> Json:
        return self.finished(self.call("PATCH", f"/v2/{PLACE}/services/{name}", body, **query))

    def service(self, name: str = "hello") -> Json:
        return self.call("GET", f"/v2/{PLACE}/services/{name}")

    def revision(self, revision: str, name: str = "hello") -> Json:
        return self.call("GET", f"/v2/{PLACE}/services/{name}/revisions/{revision}")

    def publish(self, name: str = "hello") -> None:
        binding = {"role": "roles/run.invoker", "members": ["allUsers"]}
        body = {"policy": {"bindings": [binding]}}
        self.call("POST", f"/v2/{PLACE}/services/{name}:setIamPolicy", body)

    def body(self, release: str = "r1", **environment: str) -> Json:
        values = {"PYM_RELEASE": release, **environment}
        env = [{"name": key, "value": value} for key, value in values.items()]
        return {"template": {"containers": [{"image": self.image, "env": env}]}}

    def candidate(
        self, release: str, traffic: list[Json] | None = None, **environment: str
    ) -> Json:
        """A request for a revision named after its release."""
        body = self.body(release, **environment)
        body["template"]["revision"] = f"hello-{release}"
        if traffic is not None:
            body["traffic"] = traffic
        return body

    def judge(self) -> None:
        assert not self.recorder.errors, "\n".join(self.recorder.errors)


def pinned(revision: str, percent: int = 0, tag: str = "") -> Json:
    target: Json = {"type": PINNED, "revision": revision}
    if percent:
        target["percent"] = percent
    if tag:
        target["tag"] = tag
    return target


def changed(body: Json, **container: Any) -> Json:
    """A copy with other fields in its container."""
    body = copy.deepcopy(body)
    body["template"]["containers"][0].update(container)
    return body


@contextmanager
def world(
    folder: Path,
    *,
    latency: float = 0,
    startup: float = 2,
    environ: Mapping[str, str] | None = None,
    **options: Any,
) -> Iterator[World]:
    options.setdefault("make_runner", ThreadRunner)
    timing = Timing(latency=latency, startup=startup)
    with Simulation(folder, environ=environ or {}, timing=timing, **options) as simulation:
        yield World(simulation)
