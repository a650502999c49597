"""Load balancers on loopback: each a port whose requests go to an instance that answers."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from pymacaron_ci.simulator.web import Request, Response, Server

_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
}
UNAVAILABLE = Response(
    503,
    b"<html><head><title>503 Service Temporarily Unavailable</title></head></html>\n",
    (("Content-Type", "text/html"), ("Server", "awselb/2.0")),
)


class Balancer:
    """`backends` is asked at each request, so that a swap of names breaks no connection."""

    def __init__(self, backends: Callable[[], Sequence[str]], *, port: int = 0) -> None:
        self._backends = backends
        self._turn = 0
        self._server = Server(self._forward, port=port)

    @property
    def port(self) -> int:
        return self._server.port

    def stop(self) -> None:
        self._server.stop()

    def _forward(self, request: Request) -> Response:
        urls = self._backends()
        body = request.body.read()
        self._turn += 1
        for number in range(len(urls)):
            url = urls[(self._turn + number) % len(urls)]
            try:
                return _ask(url, request, body)
            except ConnectionRefusedError:
                continue  # an instance that isn't there any more has seen nothing of the request
            except (OSError, http.client.HTTPException):
                return Response(502, b"", (("Server", "awselb/2.0"),))
        return UNAVAILABLE


def _ask(url: str, request: Request, body: bytes) -> Response:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    try:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        headers["X-Forwarded-For"] = request.client
        headers["X-Forwarded-Proto"] = "http"
        if body or "Content-Length" in request.headers:
            headers["Content-Length"] = str(len(body))
        connection.putrequest(
            request.method, request.target, skip_host=True, skip_accept_encoding=True
        )
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("Connection", "close")
        connection.endheaders(body or None)
        answer = connection.getresponse()
        data = answer.read()
        kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in _HOP_BY_HOP]
        return Response(answer.status, data, tuple(kept))
    finally:
        connection.close()


def healthy(url: str, path: str, matcher: str, timeout: float = 2.0) -> bool:
    """A health check as a target group makes it. `matcher`: codes and ranges, "200,301-302"."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"User-Agent": "ELB-HealthChecker/2.0"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    for part in matcher.split(","):
        low, _, high = part.strip().partition("-")
        if low.isdigit() and int(low) <= status <= int(high or low):
            return True
    return False
