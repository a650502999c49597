"""A loopback address that leads to a Service, through the API server's proxy.

Checks and acceptance tests know hosts and ports; the proxy has a path and wants the deployer's
token. Nothing but this one Service can be reached here.
https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/
"""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from pymacaron_ci.errors import Failure
from pymacaron_ci.targets.calls import repeated
from pymacaron_ci.targets.gke.client import Kubernetes
from pymacaron_ci.targets.gke.refusals import Answer

LARGEST = 32 * 2**20  # bytes of a request's body
HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A test that has hung up already is told nothing, and nobody else is."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Forwarder:
    """Serves from when it is made until `close`, or the process' end."""

    def __init__(self, kube: Kubernetes, service: str) -> None:
        """`service`: the path of a Service's proxy below the API server."""
        self._server = Server(("127.0.0.1", 0), _handler(kube, service))
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(kube: Kubernetes, service: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            path = inner_path(self.path)
            length = self.headers.get("Content-Length", "0")
            if path is None or not length.isdigit() or int(length) > LARGEST:
                self._answer(400, {}, b"not forwarded")
                return
            body = self.rfile.read(int(length))
            headers = inner_headers(self.headers.items())
            try:
                answer = self._asked(f"{service}{path}", headers, body)
            except Failure as error:
                text = f"the API server's proxy gave no answer ({type(error).__name__})"
                self._answer(502, {}, text.encode())
                return
            self._answer(answer.status_code, dict(answer.headers), answer.content)

        def _asked(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
            """A test is no judge of the API server: where nothing is changed by it, a request that
            got lost between here and the Service is made again."""
            repeatable = self.command in ("GET", "HEAD", "OPTIONS")
            return repeated(
                "asking the API server's proxy",
                lambda: kube.pass_on(self.command, path, headers, body),
                clock=kube.clock,
                progress=lambda _: None,
                again=lambda error: repeatable and error.transient,
            )

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = forward

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                # the content was decompressed on its way
                if name.lower() not in {*HOP_BY_HOP, "content-encoding"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return Handler


def inner_path(target: str) -> str | None:
    """Path and query as they go behind the proxy's path; None for what would leave it."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or not parts.path.startswith("/"):
        return None
    plain = unquote(unquote(parts.path)).replace("\\", "/")
    if any(segment in (".", "..") for segment in plain.split("/")):
        return None
    return parts.path + (f"?{parts.query}" if parts.query else "")


def inner_headers(items: list[tuple[str, str]]) -> dict[str, str]:
    """The API server takes the header Authorization for itself: the service's own token goes into
    the cookie in which the runtime looks for it, too."""
    kept = {name: value for name, value in items if name.lower() not in HOP_BY_HOP}
    token = next((kept.pop(n) for n in list(kept) if n.lower() == "authorization"), None)
    if token:
        cookies = next((kept.pop(n) for n in list(kept) if n.lower() == "cookie"), "")
        kept["Cookie"] = "; ".join(filter(None, [cookies, f"token={quote(token, safe='')}"]))
    return kept
