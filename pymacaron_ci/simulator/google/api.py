"""One loopback server for all of Google's simulated APIs: finds the method for a request, answers
in Google's form.

A path may start with the real host (`/run.googleapis.com/v2/…`) or not: the APIs' paths do not
overlap.
"""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

from pymacaron_ci.simulator.faults import STATUSES, Fault, Faults
from pymacaron_ci.simulator.google.errors import ApiError, invalid
from pymacaron_ci.simulator.web import Request, Response, Server, json_response
from pymacaron_ci.waiting import Clock

HOST = re.compile(r"^/[a-z0-9-]+\.googleapis\.com(?=/)")


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request that a method was found for. `caller` is the account behind the access token."""

    names: Mapping[str, str]
    query: Mapping[str, str]
    queries: Mapping[str, list[str]]
    body: dict[str, Any]
    caller: str
    base: str

    def flag(self, name: str) -> bool:
        return self.query.get(name, "false").lower() == "true"


Action = Callable[[Call], Mapping[str, Any]]


class Route:
    """`path` as the API's reference writes it:
    `/v2/projects/{project}/…/services/{service}:getIamPolicy`.
    """

    def __init__(self, method: str, path: str, action: Action) -> None:
        self.method, self.action = method, action
        # a name ends where a custom verb begins, but a digest has a colon of its own
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>(?:sha256:)?[^/:]+)", re.escape(path))
        self.pattern = re.compile(pattern)


class Tokens(Protocol):
    def caller(self, token: str | None) -> str:
        """Who an access token speaks for. Raises ApiError UNAUTHENTICATED."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One call as it was answered, for tests that count calls or judge answers."""

    number: int
    method: str
    target: str
    status: int
    body: bytes = field(repr=False, default=b"")
    answer: bytes = field(repr=False, default=b"")


class GoogleApi:
    """Serves routes. `faults`, `exchanges` and `on_call` are for tests; the last is told of each
    call before and after it is served. Raises it Reset before, the call never arrived.
    """

    def __init__(self, routes: Iterable[Route], tokens: Tokens, clock: Clock) -> None:
        # the most literal path first
        self._routes = sorted(routes, key=lambda r: -len(r.pattern.pattern))
        self._tokens = tokens
        self.faults = Faults(google_fault, clock.sleep)
        self.exchanges: deque[Exchange] = deque(maxlen=2000)
        self.on_call: Callable[[Request, bool], None] = lambda *_: None
        self._number = 0
        self._lock = threading.Lock()
        self.base = ""

    def serve(self, port: int = 0) -> Server:
        server = Server(self.handle, port=port)
        self.base = server.url
        return server

    def handle(self, request: Request) -> Response:
        body = request.body.read()
        self.on_call(request, False)
        response = self.faults.serve(request, lambda request: self._answer(request, body))
        with self._lock:
            self._number += 1
            answer = response.body if isinstance(response.body, bytes) else b""
            self.exchanges.append(
                Exchange(
                    number=self._number,
                    method=request.method,
                    target=request.target,
                    status=response.status,
                    body=body,
                    answer=answer,
                )
            )
        self.on_call(request, True)
        return response

    def _answer(self, request: Request, body: bytes) -> Response:
        try:
            return json_response(self._call(request, body))
        except ApiError as error:
            return error.response()

    def _call(self, request: Request, body: bytes) -> Mapping[str, Any]:
        path = HOST.sub("", request.raw_path)
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match and route.method == request.method:
                call = Call(
                    names={name: unquote(value) for name, value in match.groupdict().items()},
                    query=request.query,
                    queries=request.queries,
                    body=_parsed(request, body),
                    caller="" if path == "/v1/token" else self._tokens.caller(request.bearer),
                    base=self.base,
                )
                return route.action(call)
        raise ApiError("NOT_FOUND", f"The requested URL {path} was not found on this server.")


def _parsed(request: Request, body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    if "urlencoded" in request.headers.get("Content-Type", ""):
        return dict(parse_qsl(body.decode("utf-8", "replace")))
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"Invalid JSON payload received. {error}") from error
    if not isinstance(value, dict):
        raise invalid("Invalid JSON payload received. Root element must be a message.")
    return value


def google_fault(kind: str, fault: Fault) -> Response:
    """An ordered fault in Google's form."""
    code, message = STATUSES[kind]
    headers = [("Retry-After", f"{fault.retry_after:g}")] if kind == "429" else []
    return ApiError(code, message, headers=headers).response()
