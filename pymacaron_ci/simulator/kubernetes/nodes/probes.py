"""Probes: is a container's port what its probe wants to see. One attempt, and counting them."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pymacaron_ci.simulator.instances import listens
from pymacaron_ci.simulator.kubernetes.objects import Json

# how often one that waits to pass is tried: its failures count once in a period
EAGER = 0.2
STARTUP, LIVENESS, READINESS = "Startup", "Liveness", "Readiness"


@dataclass
class Probe:
    """`target` gives the URL of a port of the container, None where nothing listens on it;
    `number` what a port's name stands for.

    `passed` is None until there is a verdict.
    """

    kind: str
    spec: Json
    target: Callable[[int | str], str | None]
    number: Callable[[int | str], int | str]
    address: str
    settling: float
    passed: bool | None = None
    failures: int = 0
    successes: int = 0
    message: str = ""
    started: float = field(default_factory=time.monotonic)
    next_try: float = 0.0
    next_count: float = 0.0

    def __post_init__(self) -> None:
        self.next_try = self.started + float(self.spec.get("initialDelaySeconds", 0))
        self.next_count = self.next_try + float(self.spec.get("periodSeconds", 10))

    def due(self, now: float) -> bool:
        return now >= self.next_try

    def attempt(self) -> bool:
        """Tries once. True where that is news: a failure that counts."""
        now = time.monotonic()
        problem = self._problem()
        period = float(self.spec.get("periodSeconds", 10))
        counts = now >= self.next_count
        if problem is None:
            self.failures = 0
            self.successes += 1
            if self.successes >= self.spec.get("successThreshold", 1):
                self.passed = True
            self.next_try = now + (period if self.passed else min(period, EAGER))
            self.next_count = now + period
            return False
        self.successes = 0
        self.message = problem
        waits = self.passed is not True and self.kind != LIVENESS
        self.next_try = now + (min(period, EAGER) if waits else period)
        if not counts:
            return False
        self.next_count = now + period
        self.failures += 1
        if self.failures >= self.spec.get("failureThreshold", 3):
            self.passed = False
        return True

    def _problem(self) -> str | None:
        timeout = float(self.spec.get("timeoutSeconds", 1))
        if "httpGet" in self.spec:
            return self._get(self.spec["httpGet"], timeout)
        if "tcpSocket" in self.spec or "grpc" in self.spec:
            port = self.number((self.spec.get("tcpSocket") or self.spec["grpc"])["port"])
            url = self.target(port)
            if url is None or not listens(url, min(self.settling, timeout)):
                return f"dial tcp {self.address}:{port}: connect: connection refused"
        return None  # a command can't be run in an instance: it's taken to succeed

    def _get(self, action: Json, timeout: float) -> str | None:
        port, path = self.number(action["port"]), action.get("path") or "/"
        shown = f'Get "http://{self.address}:{port}{path}": '
        url = self.target(port)
        if url is None:
            return f"{shown}dial tcp {self.address}:{port}: connect: connection refused"
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
        headers = {h["name"]: h["value"] for h in action.get("httpHeaders") or ()}
        try:
            connection.request("GET", path, headers={"User-Agent": "kube-probe/1.36", **headers})
            answer = connection.getresponse()
            answer.read()
        except TimeoutError:
            text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            return shown + text
        except ConnectionRefusedError:
            return f"{shown}dial tcp {self.address}:{port}: connect: connection refused"
        except (OSError, http.client.HTTPException):
            return f"{shown}EOF"
        finally:
            connection.close()
        if 200 <= answer.status < 400:
            return None
        return f"HTTP probe failed with statuscode: {answer.status}"


class Probes:
    """A container's three, the others after the startup probe has passed."""

    def __init__(
        self,
        spec: Json,
        target: Callable[[int | str], str | None],
        number: Callable[[int | str], int | str],
        address: str,
        settling: float,
    ) -> None:
        self._all = {
            kind: Probe(kind, spec[f"{kind.lower()}Probe"], target, number, address, settling)
            for kind in (STARTUP, LIVENESS, READINESS)
            if spec.get(f"{kind.lower()}Probe")
        }

    def _passed(self, kind: str) -> bool:
        return kind not in self._all or self._all[kind].passed is True

    @property
    def started(self) -> bool:
        return self._passed(STARTUP)

    @property
    def ready(self) -> bool:
        return self.started and self._passed(READINESS)

    @property
    def fatal(self) -> str:
        """The kind of a probe for whose failure the container is to be started again; or ""."""
        failed = (kind for kind in (STARTUP, LIVENESS) if kind in self._all)
        return next((kind for kind in failed if self._all[kind].passed is False), "")

    def failed_now(self, now: float) -> Iterator[Probe]:
        """Tries those that are due; gives those whose failure counts."""
        for kind, probe in self._all.items():
            waits = self.started if kind == STARTUP else not self.started
            if not waits and probe.due(now) and probe.attempt():
                yield probe
