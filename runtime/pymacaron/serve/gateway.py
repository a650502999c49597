"""From a request to the application, and back to the client."""

from __future__ import annotations

import itertools
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from pymacaron.serve import bodies
from pymacaron.serve.heads import Form, Head, form
from pymacaron.serve.request import Request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from pymacaron.serve.connection import Connection

log = logging.getLogger(__name__)

Close = Callable[[], object]


class Gateway:
    """One application in one worker. `used_up` is called at the request that is one too many."""

    def __init__(
        self,
        app: WSGIApplication,
        *,
        threads: int,
        largest_body: int,
        most_requests: int,
        used_up: Callable[[], object],
    ) -> None:
        self.leaving = False
        self.environ: WSGIEnvironment = {
            "SCRIPT_NAME": "",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": threads > 1,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        self._app = app
        self._largest_body = largest_body
        self._numbers = itertools.count(1)
        self._last, self._used_up = most_requests, used_up

    def serve(self, connection: Connection, *, hold: bool = False) -> None:
        """Answers what was asked, one after the other, as long as the client takes it. `hold`: the
        last answer may remain unsent."""
        requests = connection.requests
        try:
            while requests and not connection.unsent:
                request = requests.popleft()
                if request.refused:
                    refuse(connection, request.refused)
                elif request.complete or bodies.begin(connection, request, self._largest_body):
                    self._answer(connection, request, hold)
                if not (request.complete or connection.aborted):
                    connection.ends = connection.talks_on = True
                if connection.ends:
                    requests.clear()
        except BaseException:  # a mistake of ours, which must not end the thread
            log.exception("the server failed")
            connection.abort()

    def _answer(self, connection: Connection, request: Request, hold: bool) -> None:
        if next(self._numbers) == self._last:
            self._used_up()
        head = Head()
        body: bytes | Stream = b""
        try:
            chunks = self._app(request.environ, head)
            # A body that nobody read is in the way of the next request.
            stays = request.keep and request.complete and not self.leaving
            if chunks is head.chunks:
                answer = head.prepared(request, stays)
                connection.ends = not stays
                connection.answer(answer, hold)
                return
            head.unfold()
            body = whole(head, chunks)
            size = len(body) if isinstance(body, bytes) else None
            made = form(head, request, size, stays)
        except BaseException:  # whatever it was: the others are served on
            log.exception("the application failed")
            if isinstance(body, Stream):
                body.close()
            refuse(connection, 500)
            return
        connection.ends = not made.stays
        if isinstance(body, bytes):
            if size != made.left:
                body = _fitted(body, made.left or 0, connection)
            connection.answer(made.text + body, hold)
        else:
            # From now on the answer is in the way of a word before the body.
            request.environ.pop("HTTP_EXPECT", None)
            if not _sent(connection, made, head, body):
                connection.abort()


class Stream:
    """What an application goes on to send."""

    def __init__(self, first: bytes, rest: Iterator[bytes], close: Close) -> None:
        self.chunks = itertools.chain((first,), rest)
        self._close = close

    def close(self) -> None:
        try:
            self._close()
        except Exception:  # the answer is sent, or lost already
            log.exception("the application failed behind its answer")


def _sent(connection: Connection, made: Form, head: Head, stream: Stream) -> bool:
    """Sends as the application goes on; False if the client can't have all of it."""
    start, left = made.text, made.left
    try:
        for chunk in itertools.chain(stream.chunks, (b"",)):
            chunk = head.take_written() + chunk
            if left is not None:
                chunk = chunk[:left]
                left -= len(chunk)
            elif made.chunked:
                chunk = b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunk else b""
            if not connection.send_all(start + chunk):
                return False
            start, head.sent = b"", True
            if left == 0:
                break
    except BaseException:  # whatever it was: the client must not take it for the end
        log.exception("the application failed in the middle of its answer")
        return False
    finally:
        stream.close()
    return not left and connection.send_all(start + (b"0\r\n\r\n" if made.chunked else b""))


def _fitted(body: bytes, size: int, connection: Connection) -> bytes:
    """Cut to the length that was promised; what is shorter ends with its connection."""
    if len(body) < size:
        log.error("the application's answer is shorter than its Content-Length")
        connection.ends = True
    return body[:size]


def whole(head: Head, chunks: Iterable[bytes]) -> bytes | Stream:
    """The body, if it is there in one piece, else what remains to be sent.

    An application may start its answer as late as with its first chunk."""
    if (type(chunks) is list or type(chunks) is tuple) and head.line:
        return b"".join([*head.written, *chunks]) if head.written else b"".join(chunks)
    rest = iter(chunks)
    close: Close = getattr(chunks, "close", _nothing)
    try:
        first = next(rest, b"")
        first = head.take_written() + first
        if not head.line:
            raise RuntimeError("the application did not call start_response()")
    except BaseException:  # whatever it was: what is open is closed
        with suppress(Exception):
            close()
        raise
    if not _is_all(head, len(first)):
        return Stream(first, rest, close)
    close()
    return first


def _is_all(head: Head, size: int) -> bool:
    return any(n.lower() == "content-length" and v == str(size) for n, v in head.headers)


def _nothing() -> None:
    pass


def refuse(connection: Connection, status: int) -> None:
    """Answers for the application, and ends the connection: who knows what comes next on it."""
    phrase = HTTPStatus(status).phrase
    told = {"error": phrase.upper().replace(" ", "_"), "status": status}
    head = Head()
    head(f"{status} {phrase}", [("Content-Type", "application/json")])
    body = json.dumps(told).encode()
    connection.ends = True
    connection.send(form(head, Request({}), len(body), stays=False).text + body)
