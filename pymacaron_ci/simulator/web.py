"""A small HTTP/1.1 server on loopback: requests in, responses out, bodies streamed both ways."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs, unquote, urlsplit

CHUNK = 1 << 16


class BadRequest(Exception):
    """The request's framing can't be understood."""


class Reset(Exception):
    """Raised by a handler to end the connection without an answer, as a broken network would."""


class Body:
    """A request's body, read from the connection piece by piece."""

    def __init__(self, source: BinaryIO, headers: Message, on_read: Callable[[], None]) -> None:
        self._source = source
        self._chunked = headers.get("Transfer-Encoding", "").lower().endswith("chunked")
        length = headers.get("Content-Length", "0")
        if not length.isdigit():
            raise BadRequest("Content-Length is not a number")
        self.length = None if self._chunked else int(length)
        self._left = self.length or 0
        self._on_read = on_read
        self.finished = not self._chunked and self._left == 0

    def __iter__(self) -> Iterator[bytes]:
        if self.finished:
            return
        self._on_read()
        if self._chunked:
            yield from self._chunks()
        else:
            while self._left:
                data = self._take(min(self._left, CHUNK))
                self._left -= len(data)
                yield data
        self.finished = True

    def _chunks(self) -> Iterator[bytes]:
        while True:
            try:
                left = int(self._source.readline(1026).split(b";")[0].strip(), 16)
            except ValueError as error:
                raise BadRequest("broken chunk") from error
            if left == 0:
                while self._source.readline(65537).strip():
                    pass
                return
            while left:
                data = self._take(min(left, CHUNK))
                left -= len(data)
                yield data
            self._source.readline(4)

    def _take(self, size: int) -> bytes:
        data = self._source.read(size)
        if not data:
            raise BadRequest("the connection ended inside the body")
        return data

    def read(self) -> bytes:
        return b"".join(self)


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    target: str
    headers: Message
    body: Body
    client: str = "127.0.0.1"

    @property
    def path(self) -> str:
        return unquote(self.raw_path)

    @property
    def raw_path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> Mapping[str, str]:
        """Each parameter's last value."""
        return {name: values[-1] for name, values in self.queries.items()}

    @property
    def queries(self) -> Mapping[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def bearer(self) -> str | None:
        return self.bearer_of("Authorization")

    def bearer_of(self, header: str) -> str | None:
        kind, _, token = self.headers.get(header, "").partition(" ")
        return token.strip() if kind.lower() == "bearer" and token.strip() else None


@dataclass(frozen=True)
class Response:
    """`body` may be bytes, a file, or pieces; pieces without a Content-Length header are sent
    chunked.
    """

    status: int = 200
    body: bytes | Path | Iterable[bytes] = b""
    headers: Iterable[tuple[str, str]] = field(default=())
    # the connection ends in the middle of the body: a fault for tests
    cut: bool = False


def json_response(value: Any, status: int = 200, *headers: tuple[str, str]) -> Response:
    return Response(
        status,
        json.dumps(value).encode(),
        (("Content-Type", "application/json; charset=UTF-8"), *headers),
    )


Handler = Callable[[Request], Response]


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120
    disable_nagle_algorithm = True
    server: _Sockets

    def _serve(self) -> None:
        self._continued = False
        try:
            body = Body(cast(BinaryIO, self.rfile), self.headers, self._send_continue)
            request = Request(
                method=self.command,
                target=self.path,
                headers=self.headers,
                body=body,
                client=str(self.client_address[0]),
            )
            response = self.server.handler(request)
            self._skip_rest(body)
            try:
                self._answer(response)
            finally:
                close = getattr(response.body, "close", None)
                if close is not None:
                    close()
        except Reset:
            self._reset()
        except BadRequest as error:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self._answer(Response(400, str(error).encode(), (("Connection", "close"),)))
        except OSError:
            self.close_connection = True  # the other side went away

    def _skip_rest(self, body: Body) -> None:
        """A body nobody read lies before the next request: a short one is read, else this ends."""
        short = body.length is not None and body.length <= CHUNK
        if body.finished:
            return
        if short and not self._expects():
            body.read()
        else:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = _serve

    def handle_expect_100(self) -> bool:
        return True  # sent when the body is wanted, see Body

    def _expects(self) -> bool:
        return self.headers.get("Expect", "").lower() == "100-continue" and not self._continued

    def _send_continue(self) -> None:
        if self._expects():
            self._continued = True
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _answer(self, response: Response) -> None:
        names = {name.lower() for name, _ in response.headers}
        size = _size(response.body)
        bodiless = response.status in (204, 304) or response.status < 200
        chunked = size is None and "content-length" not in names and not bodiless
        self.send_response_only(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif size is not None and "content-length" not in names and not bodiless:
            self.send_header("Content-Length", str(size))
        if self.close_connection and "connection" not in names:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD" or bodiless:
            return
        if response.cut and isinstance(response.body, bytes):
            self.wfile.write(response.body[: len(response.body) // 2])
            self.close_connection = True
            return
        for piece in _pieces(response.body):
            if piece:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass  # a simulated cloud's answers are told by the tool that asked


def _size(body: bytes | Path | Iterable[bytes]) -> int | None:
    if isinstance(body, bytes):
        return len(body)
    return body.stat().st_size if isinstance(body, Path) else None


def _pieces(body: bytes | Path | Iterable[bytes]) -> Iterator[bytes]:
    if isinstance(body, bytes):
        yield body
    elif isinstance(body, Path):
        with body.open("rb") as file:
            yield from iter(lambda: file.read(CHUNK), b"")
    else:
        yield from body


class _Sockets(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, handler: Handler) -> None:
        self.handler = handler
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Connection)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(
            self
        )  # HTTPServer's own asks the name service who we are
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        import sys

        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def close_all(self) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class Server:
    """Serves a handler on 127.0.0.1 in threads of its own; a wanted port that is taken gives way to
    a free one.
    """

    def __init__(self, handler: Handler, *, port: int = 0) -> None:
        try:
            self._sockets = _Sockets(port, handler)
        except OSError:
            self._sockets = _Sockets(0, handler)
        self.port: int = self._sockets.server_port
        self._thread = threading.Thread(
            target=self._sockets.serve_forever, args=(0.05,), daemon=True, name=f"http-{self.port}"
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._sockets.shutdown()
        self._sockets.server_close()
        self._sockets.close_all()
        self._thread.join(5)
