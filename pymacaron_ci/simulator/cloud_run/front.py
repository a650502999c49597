"""The URLs of services and tags: loopback ports that split requests over revisions by their
weights.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from pymacaron_ci.simulator.cloud_run.request_log import RequestLog
from pymacaron_ci.simulator.forwarding import Lease, Refused, forward, plain
from pymacaron_ci.simulator.instances import Instance
from pymacaron_ci.simulator.web import Request, Response, Server


class NoInstance(Exception):
    """No instance can be had for a revision."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A revision that gets `weight` of the requests."""

    revision: str
    weight: int
    timeout: float = 300.0


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a front does with a request now; replaced as a whole, so that no request sees half a
    change.
    """

    backends: tuple[Backend, ...] = ()
    admit: Callable[[Request], Response | None] = field(default=lambda _: None)


class Front:
    """One URL. `acquire` gives an instance of a revision, and what to call when the request is
    over.
    """

    def __init__(
        self,
        port: int,
        acquire: Callable[[str], tuple[Instance, Lease]],
        requests: RequestLog,
    ) -> None:
        self._acquire = acquire
        self._requests = requests
        self._rules = Rules()
        self._random = random.Random()  # noqa: S311 - a share of traffic, not a secret
        self._server = Server(self.handle, port=port)
        self.port = self._server.port

    def set(self, rules: Rules) -> None:
        self._rules = rules

    def stop(self) -> None:
        self._server.stop()

    def handle(self, request: Request) -> Response:
        rules = self._rules
        refusal = rules.admit(request)
        if refusal is not None:
            return refusal
        if not any(backend.weight for backend in rules.backends):
            return plain(404, "Page not found: no revision serves this URL.")
        backend = self._random.choices(
            rules.backends, weights=[backend.weight for backend in rules.backends]
        )[0]
        answer = self._answer(request, backend)
        self._requests.add(backend.revision, request.method, request.target, answer.status)
        return answer

    def _answer(self, request: Request, backend: Backend) -> Response:
        try:
            instance, release = self._acquire(backend.revision)
        except NoInstance as error:
            return plain(503, f"Service Unavailable: {error}")
        try:
            return forward(request, instance.url, backend.timeout, release)
        except Refused:
            return plain(503, "The request failed because the instance could not be reached.")
