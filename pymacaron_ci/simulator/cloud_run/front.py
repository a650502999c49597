"""The URLs of services and tags: loopback ports that split requests over revisions by their
weights.
"""

from __future__ import annotations

import http.client
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pymacaron_ci.simulator.cloud_run.request_log import RequestLog
from pymacaron_ci.simulator.instances import Instance
from pymacaron_ci.simulator.web import CHUNK, Request, Response, Server

HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "content-length",
}


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


Lease = Callable[[], None]


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
            return _plain(404, "Page not found: no revision serves this URL.")
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
            return _plain(503, f"Service Unavailable: {error}")
        return forward(request, instance.url, backend.timeout, release)


def forward(request: Request, url: str, timeout: float, release: Lease) -> Response:
    """Hands a request on, and its answer back as it arrives; `release` is called when the answer
    has ended.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    done = threading.Event()

    def end() -> None:
        if not done.is_set():
            done.set()
            connection.close()
            release()

    try:
        connection.putrequest(
            request.method, request.target, skip_host=True, skip_accept_encoding=True
        )
        for name, value in _forwarded(request):
            connection.putheader(name, value)
        connection.endheaders()
        for piece in request.body:
            data = b"%x\r\n%s\r\n" % (len(piece), piece) if request.body.length is None else piece
            connection.send(data)
        if request.body.length is None:
            connection.send(b"0\r\n\r\n")
        answer = connection.getresponse()
    except TimeoutError:
        end()
        return _plain(504, "upstream request timeout")
    except (OSError, http.client.HTTPException):
        end()
        return _plain(503, "The request failed because the instance could not be reached.")
    headers = [(n, v) for n, v in answer.getheaders() if n.lower() not in HOP]
    length = answer.getheader("Content-Length")
    if length is not None:
        headers.append(("Content-Length", length))
    return Response(answer.status, _Answer(answer, end), headers)


class _Answer:
    """The pieces of an answer; an answer nobody reads is ended as well."""

    def __init__(self, answer: http.client.HTTPResponse, end: Lease) -> None:
        self._answer, self._end = answer, end

    def __iter__(self) -> Iterator[bytes]:
        try:
            while piece := self._answer.read1(CHUNK):
                yield piece
        finally:
            self._end()

    def close(self) -> None:
        self._end()


def _forwarded(request: Request) -> Iterable[tuple[str, str]]:
    listed = request.headers.get("Connection", "").lower().split(",")
    dropped = HOP | {name.strip() for name in listed}
    for name, value in request.headers.items():
        if name.lower() not in dropped:
            yield name, value
    yield "X-Forwarded-For", request.client
    yield "X-Forwarded-Proto", "http"
    yield "Connection", "close"
    if request.body.length is None:
        yield "Transfer-Encoding", "chunked"
    elif request.body.length or request.method in ("POST", "PUT", "PATCH"):
        yield "Content-Length", str(request.body.length)


def _plain(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    kind = ("Content-Type", "text/plain; charset=UTF-8")
    return Response(status, f"{text}\n".encode(), (kind, *(headers or {}).items()))
