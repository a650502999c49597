"""One client's connection: requests are read out of its bytes, answers sent as it takes them."""

from __future__ import annotations

import io
import select
import socket
import struct
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import httptools

from pymacaron.manners import LONGEST_LINE, PATIENCE
from pymacaron.serve.request import Repeated, Request, length_of, settle_length

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PIECE, LARGE_PIECE = 16 * 1024, 64 * 1024
"""Bytes that are read at a time, the latter in the middle of a request."""
LONGEST_HEAD = 64 * 1024
MOST_FIELDS = 100
SMALL = 256 * 1024
"""Bytes of a body up to which it is read before the application is called."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# What WSGI calls header fields. Grows with those that come: most come again.
NAMES: dict[bytes, str] = {}
MOST_NAMES = 1000
LONGEST_NAME = 64
METHODS = {name.encode(): name for name in ("GET", "POST", "PUT", "PATCH", "DELETE")}
PROTOCOLS = {"1.1": "HTTP/1.1", "1.0": "HTTP/1.0"}
OF_THEIR_OWN = ("CONTENT_LENGTH", "CONTENT_TYPE")


class Connection:
    """At any time one thread at most has to do with it. `environ`: what all its requests share."""

    def __init__(self, client: socket.socket, environ: WSGIEnvironment) -> None:
        self.client = client
        self.handle = client.fileno()
        self.requests: deque[Request] = deque()
        self.unsent: bytes | memoryview = b""
        # A thread is answering; what the loop is told of meanwhile waits.
        self.busy = False
        # What the loop is told of: select.EPOLL…
        self.events = 0
        # It is closed when everything is sent; nothing more is read.
        self.ends = False
        # What comes yet is not wanted.
        self.talks_on = False
        self.lingers = False
        # Its answer must not be taken for a whole one.
        self.aborted = False
        self.since = time.monotonic()
        self._environ = environ
        self._parser: Any = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        self._repeated = Repeated()
        self._url = b""
        self._in_head = False
        self._heard = self._fields = 0

    def receive(self) -> bool:
        """Reads what is there; False when the client has gone."""
        size = PIECE
        if self._request is not None and not self.talks_on:
            size = LONGEST_HEAD + 1 - self._heard if self._in_head else LARGE_PIECE
        try:
            data = self.client.recv(size)
        except BlockingIOError:
            return True
        except OSError:
            return False
        reads_on = self._request is not None and self._request.given
        if data and not self.talks_on and (reads_on or not self.ends):
            self._hear(data)
        return bool(data)

    def wait_for_more(self) -> bool:
        """The same, but waits for it, in the middle of a request; False, too, when it makes no
        sense."""
        return _ready(self.client, select.POLLIN) and self.receive() and not self.talks_on

    @property
    def begun(self) -> bool:
        """In the middle of a request or an answer."""
        return self._request is not None or bool(self.unsent)

    def refuse(self, status: int) -> None:
        """What is being said, or would come next, is not read to its end."""
        request = self._request or Request({})
        self.talks_on = True
        if not request.given:
            request.refused = status
            self._give(request)

    def send(self, data: bytes | memoryview) -> bool:
        """Sends what the client takes at once; what it does not is `unsent`. False when the client
        has gone."""
        try:
            sent = self.client.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.ends, self.unsent = True, b""
            return False
        self.unsent = memoryview(data)[sent:] if sent < len(data) else b""
        return True

    def answer(self, data: bytes, hold: bool) -> None:
        """Sends it; where `hold` and nothing was asked behind it, it stays `unsent` for the
        moment."""
        if hold and not self.requests:
            self.unsent = data
        else:
            self.send(data)

    def send_all(self, data: bytes) -> bool:
        """The same, but waits for the client to take it all."""
        there = self.send(data)
        while there and self.unsent:
            there = _ready(self.client, select.POLLOUT) and self.send(self.unsent)
        return there

    def abort(self) -> None:
        """Ends in a way that no client takes for the end of an answer."""
        self.ends, self.aborted, self.unsent = True, True, b""
        with suppress(OSError):
            at_once = struct.pack("ii", 1, 0)
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)

    def linger(self) -> None:
        """A client that is still talking would lose the answer if nobody took what it says."""
        self.lingers, self.since = True, time.monotonic()
        with suppress(OSError):
            self.client.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._parser = None  # which holds this, and is held by it
        self.client.close()

    def _hear(self, data: bytes) -> None:
        if not self._in_head:
            self.since = time.monotonic()
        before, size, heard = self._request, self._request and self._request.size, len(data)
        if before is None:
            request = self._repeated.request(data)
            if request is not None:
                self._give(request)
                return
        whole, given = data, len(self.requests)
        while data and not self.talks_on:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                # Whoever would rather speak another protocol is answered in this one.
                data = data[upgrade.args[0] :]
            except httptools.HttpParserError:
                self.refuse(400)
                return
        request = self._request
        if request is None and before is None and len(self.requests) == given + 1:
            self._repeated.heard(whole, self.requests[-1])
        if request is None or self.talks_on:
            return
        if request is not before or request.size != size:
            self._heard = 0
        else:  # nothing but more of a head, or of what may come between and behind chunks
            self._heard += heard
            if self._heard > LONGEST_HEAD:
                self.refuse(431)
        if self._in_head or request.given:
            return
        if request.size > SMALL or length_of(request.environ) > SMALL:
            self._give(request)

    def _give(self, request: Request) -> None:
        request.given = True
        self.requests.append(request)

    # Called by the parser.

    def on_message_begin(self) -> None:
        self._request = Request(self._environ.copy())
        self._url = b""
        self._in_head = True
        self._heard = self._fields = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        request = self._request
        if request is None or not self._in_head:
            return  # after the chunks of a body
        self._fields += 1
        if self._fields > MOST_FIELDS:
            request.refused = 431
            return
        environ = request.environ
        known = NAMES.get(name) or _named(name)
        if known not in environ:
            if known:
                environ[known] = value.decode("latin-1")
        elif known == "HTTP_HOST":
            request.refused = 400
        else:
            between = "; " if known == "HTTP_COOKIE" else ","
            environ[known] += between + value.decode("latin-1")

    def on_headers_complete(self) -> None:
        request, parser = self._request, self._parser
        if request is None:
            return
        self._in_head = False
        environ = request.environ
        method, version = parser.get_method(), parser.get_http_version()
        environ["REQUEST_METHOD"] = METHODS.get(method) or method.decode()
        environ["SERVER_PROTOCOL"] = PROTOCOLS.get(version) or f"HTTP/{version}"
        path, _, query = self._url.partition(b"?")
        if path[:1] != b"/":
            host, path = _parts(path)
            # Proxies are asked for whole URLs; the host in them is the one that is meant.
            environ["HTTP_HOST"] = host.decode("latin-1") or environ.get("HTTP_HOST", "")
        if b"%" in path:
            path = unquote_to_bytes(path)
        environ["PATH_INFO"] = path.decode("latin-1")
        environ["QUERY_STRING"] = query.decode("latin-1")
        request.keep = parser.should_keep_alive()
        request.refused = self._refusal(request)
        if request.refused:
            self.refuse(request.refused)
        elif "HTTP_EXPECT" in environ and length_of(environ) <= SMALL:
            self.invite(request)

    def _refusal(self, request: Request) -> int:
        """0, or the status of a request that does not get as far as the application."""
        environ, version = request.environ, request.environ["SERVER_PROTOCOL"]
        coding = environ.get("HTTP_TRANSFER_ENCODING")
        if self._parser.should_upgrade() and (coding is not None or length_of(environ)):
            return 501  # the parser takes what follows for the other protocol, others for the body
        if len(self._url) > LONGEST_LINE:
            return 414
        if request.refused:
            return request.refused
        if environ["REQUEST_METHOD"] == "CONNECT":
            return 405
        if version == "HTTP/1.0":
            return 0 if coding is None else 400
        # What is not undone here can't be understood; a proxy may have read it in another way.
        if version == "HTTP/1.1" and coding is not None and coding.lower() != "chunked":
            return 501
        return 0 if version == "HTTP/1.1" and environ.get("HTTP_HOST") else 400

    def invite(self, request: Request) -> None:
        """Lets a client go on that waits for a word before it sends its body."""
        environ = request.environ
        if environ.get("HTTP_EXPECT", "").lower() != "100-continue":
            return
        first = not self.requests or self.requests[0] is request
        if first and not self.ends and environ["SERVER_PROTOCOL"] == "HTTP/1.1":
            del environ["HTTP_EXPECT"]
            with suppress(OSError):
                self.client.send(CONTINUE)

    def on_body(self, data: bytes) -> None:
        request = self._request
        if request is not None:
            request.body.append(data)
            request.size += len(data)

    def on_message_complete(self) -> None:
        request = self._request
        if request is None:
            return
        self._request = None
        request.complete = True
        if not request.given:
            if "HTTP_TRANSFER_ENCODING" in request.environ:
                settle_length(request.environ, request.size)
            request.environ["wsgi.input"] = io.BytesIO(b"".join(request.body))
            self._give(request)


def _named(name: bytes) -> str:
    """A field's name as WSGI has it; empty where it could be taken for another one's."""
    if b"_" in name:
        return ""
    known = name.decode("latin-1").upper().replace("-", "_")
    if known not in OF_THEIR_OWN:
        known = f"HTTP_{known}"
    if len(NAMES) < MOST_NAMES and len(name) <= LONGEST_NAME:
        NAMES[name] = known
    return known


def _parts(target: bytes) -> tuple[bytes, bytes]:
    """Host and path of a URL; of an asterisk only the latter."""
    _, separator, rest = target.partition(b"://")
    if not separator:
        return b"", target
    host, _, path = rest.partition(b"/")
    return host, b"/" + path


def _ready(client: socket.socket, what: int) -> bool:
    """Waits until something can be read or written; False after a long silence."""
    poll = select.poll()
    poll.register(client, what)
    return bool(poll.poll(PATIENCE * 1000))
