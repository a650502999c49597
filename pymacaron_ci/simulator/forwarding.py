"""Hands a request on to an instance, and its answer back as it arrives."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from pymacaron_ci.simulator.web import CHUNK, Request, Response

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


Lease = Callable[[], None]


class Refused(Exception):
    """Nobody listens there: the instance has seen nothing of the request."""


def forward(request: Request, url: str, timeout: float, release: Lease) -> Response:
    """`release` is called when the answer has ended. Raises Refused."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    done = threading.Event()

    def end() -> None:
        if not done.is_set():
            done.set()
            connection.close()
            release()

    try:
        connection.connect()
    except OSError as error:
        end()
        raise Refused(str(error)) from error
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
        return plain(504, "upstream request timeout")
    except (OSError, http.client.HTTPException):
        end()
        return plain(503, "The request failed because the instance could not be reached.")
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


def plain(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    kind = ("Content-Type", "text/plain; charset=UTF-8")
    return Response(status, f"{text}\n".encode(), (kind, *(headers or {}).items()))
