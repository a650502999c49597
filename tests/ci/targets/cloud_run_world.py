"""A simulated Cloud Run whose instances are threads, so that a deployment takes a second."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from pymacaron_ci import pipeline
from pymacaron_ci.checks import HttpChecks, TestBed
from pymacaron_ci.model import CheckResult, Image, Plan, Release, Report, Secret
from pymacaron_ci.simulator.cloud_run.rollout import Timing
from pymacaron_ci.simulator.faults import Fault
from pymacaron_ci.simulator.instances import Limits, LogLine
from pymacaron_ci.simulator.simulation import Simulation
from pymacaron_ci.targets.cloud_run import CloudRun
from pymacaron_ci.targets.cloud_run.wanted import Wanted
from pymacaron_ci.targets.gcp import Endpoints, GoogleSession
from tests.ci.fakes import FakeReporter
from tests.ci.simulator.images import push
from tests.contracts.discovery_check import Recorder

PROJECT = "demo-project"
SECRET = "a-planted-secret-value"
SERVICE = Wanted(
    name="hello",
    project=PROJECT,
    region="europe-west1",
    staging="hello-staging",
    live="hello-live",
    startup_seconds=2,
)


class FastClock:
    """Time that runs `factor` times as fast: waits are real, and short."""

    def __init__(self, factor: float = 8) -> None:
        self._factor = factor

    def now(self) -> float:
        return time.monotonic() * self._factor

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self._factor)


class ThreadInstance:
    """A service in a thread. Its variable BROKEN: exits, deaf, tests, callers, down."""

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self._log: list[LogLine] = []
        self._status: int | None = None
        self.environment = dict(environment)
        self.broken = environment.get("BROKEN", "")
        self._server = _QuietServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        if self.broken == "exits":
            self._say("ImportError: no module named nothing")
            self._status = 1
        if self.broken in ("exits", "deaf"):
            self._server.server_close()
            return
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        self._say("listening")

    def _say(self, text: str) -> None:
        self._log.append(LogLine("2026-01-01T00:00:00Z", text))

    def exit_status(self) -> int | None:
        return self._status

    def logs(self, tail: int = 100) -> Sequence[LogLine]:
        return self._log[-tail:]

    def stop(self, grace: float = 10.0) -> None:
        if self._status is None:
            self._status = 0
            if self.broken != "deaf":
                self._server.shutdown()
                self._server.server_close()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Whoever asked has hung up."""


def _handler(instance: ThreadInstance) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status = 200
            if instance.broken == "tests" and self.path == "/check":
                status = 500
            if instance.broken == "callers" and self.path == "/sometimes":
                status = 500
            if instance.broken == "down":
                status = 503
            answer = {
                "release": instance.environment.get("PYM_RELEASE"),
                "environment": instance.environment,
            }
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    return Handler


class ThreadRunner:
    kind = "thread"

    def __init__(self, *_: Any) -> None:
        self.started: list[ThreadInstance] = []

    def start(
        self,
        image: str,
        environment: Mapping[str, str],
        *,
        name: str,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        command: Sequence[str] = (),
    ) -> ThreadInstance:
        instance = ThreadInstance(name, environment)
        self.started.append(instance)
        return instance

    def logs(self, name: str, tail: int = 100) -> Sequence[LogLine]:
        return [line for i in self.started if i.name == name for line in i.logs(tail)][-tail:]

    def clean(self) -> None:
        """Threads end with their process."""

    def close(self) -> None:
        for instance in self.started:
            instance.stop()


class Checks:
    """The real check of /version; the acceptance tests are one request that must succeed."""

    def __init__(self, clock: FastClock) -> None:
        bed = TestBed(files=Path, python=Path)
        self._http = HttpChecks(bed, clock=clock, timeout=30)

    def unit_tests(self) -> CheckResult:
        return CheckResult(ok=True)

    def version(self, url: str, release: Release, headers: Mapping[str, str]) -> CheckResult:
        return self._http.version(url, release, headers)

    def acceptance(self, url: str, headers: Mapping[str, str]) -> CheckResult:
        status = get(f"{url}/check", headers)[0]
        return CheckResult(ok=status == 200, reason=f"/check answers {status}")


@dataclass
class Builder:
    """Pushes the same small image for every release."""

    registry: str
    calls: int = 0

    def build(self, release: Release) -> Image:
        self.calls += 1
        return release.image

    def push(self, image: Image) -> Image:
        name = push(self.registry, "demo-project/pymacaron/hello", tag=image.tag)
        repository, _, digest = name.partition("@")
        return replace(image, repository=repository, digest=digest)


@dataclass
class World:
    """A simulated cloud, and what deploys to it."""

    simulation: Simulation
    wanted: Wanted = SERVICE
    clock: FastClock = field(default_factory=FastClock)
    said: list[str] = field(default_factory=list)
    make_http: Callable[[], Any] = requests.Session
    recorder: Recorder = field(default_factory=Recorder)

    def session(self, account: str | None = None) -> GoogleSession:
        http = self.make_http()
        http.hooks["response"].append(self.recorder.hook)
        return GoogleSession(
            http,
            endpoints=Endpoints.all_at(self.simulation.google.url),
            account=account,
            clock=self.clock,
            progress=self.said.append,
        )

    def target(self, **changes: Any) -> CloudRun:
        return CloudRun(
            replace(self.wanted, **changes),
            self.session("deployer@demo-project.iam.gserviceaccount.com"),
            progress=self.said.append,
        )

    def deploy(
        self,
        release: Release,
        target: CloudRun | None = None,
        hold_signals: Callable[[], AbstractContextManager[object]] = nullcontext,
        **changes: Any,
    ) -> Report:
        """As a user would: a new process, that knows nothing but what the cloud holds."""
        return pipeline.run(
            pipeline.Job(
                release=release,
                target=target or self.target(**changes),
                builder=Builder(self.simulation.endpoints.registry),
                checks=Checks(self.clock),
                reporter=FakeReporter(self.said),
                hold_signals=hold_signals,
            )
        )

    def plan(self, release: Release, **changes: Any) -> Plan:
        return self.target(**changes).plan(release)

    def project(self, **changes: Any) -> None:
        """Takes something away from the project."""
        self.simulation.google.projects.change(PROJECT, **changes)

    def fail(self, *faults: Fault) -> None:
        self.simulation.google.api.faults.add(*faults)

    def service(self, name: str = "hello-live") -> dict[str, Any]:
        """As Cloud Run tells it; empty if there is none."""
        path = f"v2/projects/{PROJECT}/locations/europe-west1/services/{name}"
        answer = requests.get(f"{self.simulation.google.url}/{path}", timeout=10)
        body: dict[str, Any] = answer.json()
        return body if answer.status_code == 200 else {}

    def revisions(self, name: str = "hello-live") -> dict[str, dict[str, Any]]:
        path = f"v2/projects/{PROJECT}/locations/europe-west1/services/{name}/revisions"
        body = requests.get(f"{self.simulation.google.url}/{path}", timeout=10).json()
        return {r["name"].rpartition("/")[2]: r for r in body.get("revisions", [])}

    def traffic(self, name: str = "hello-live") -> dict[str, int]:
        return {
            t["revision"]: t["percent"] for t in self.service(name)["traffic"] if "percent" in t
        }

    def tags(self, name: str = "hello-live") -> set[str]:
        return {t["tag"] for t in self.service(name)["traffic"] if "tag" in t}

    def answers(self, name: str = "hello-live", headers: Mapping[str, str] | None = None) -> str:
        """The release that the service's URL tells."""
        status, body = get(self.service(name)["uri"] + "/version", headers or {})
        return str(json.loads(body)["release"]) if status == 200 else str(status)

    def environment(self, name: str = "hello-live") -> dict[str, str]:
        _, body = get(self.service(name)["uri"] + "/version", {})
        found: dict[str, str] = json.loads(body)["environment"]
        return found


def release(name: str = "1", **environment: str) -> Release:
    secret: dict[str, str | Secret] = {"A_SECRET": Secret("A_SECRET", SECRET)}
    return Release(
        id=f"{name:0>12}",
        version=f"260101-000{name[-1]}-abc",
        revision="abc",
        image=Image(repository="127.0.0.1:1/demo-project/pymacaron/hello", tag="v1"),
        environment=secret | environment,
        run_url="https://ci.test/1",
    )


def get(url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers={"Connection": "close", **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@contextmanager
def world(folder: Path, **options: Any) -> Iterator[World]:
    timing = Timing(latency=0.01, startup=0.5)
    with Simulation(folder, environ={}, make_runner=ThreadRunner, timing=timing) as simulation:
        made = World(simulation, **options)
        yield made
        errors = made.recorder.errors  # Google's own descriptions judge every call
        assert not errors, errors
