"""From granian's request to the application and back. What granian lets pass is refused here."""

from __future__ import annotations

import itertools
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pymacaron.manners import LONGEST_LINE
from pymacaron.serve import bodies

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    Headers = list[tuple[str, str]]

log = logging.getLogger(__name__)

CLOSE = ("Connection", "close")


class Gateway:
    """One application in one worker. `used_up` is called at the request that is one too many."""

    def __init__(
        self,
        app: WSGIApplication,
        *,
        largest_body: int,
        most_requests: int,
        used_up: Callable[[], object],
    ) -> None:
        self.leaving = False
        self._app = app
        self._largest_body = largest_body
        self._numbers = itertools.count(1)
        self._last, self._used_up = most_requests, used_up
        self._always = {
            "SCRIPT_NAME": "",
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }

    def serve(self, proto: Any, environ: WSGIEnvironment) -> None:
        """Called by granian, in one of its threads, with a dict that is ours."""
        if next(self._numbers) == self._last:
            self._used_up()
        status = refusal(environ)
        if status:
            refuse(proto, status)
            return
        environ.update(self._always)
        source = environ["wsgi.input"]
        if "CONTENT_LENGTH" in environ:
            environ["wsgi.input"] = bodies.sized(source, int(environ["CONTENT_LENGTH"]))
        elif "HTTP_TRANSFER_ENCODING" in environ and not bodies.chunked(
            source, environ, self._largest_body
        ):
            refuse(proto, 411)
            return
        self._answer(proto, environ)

    def _answer(self, proto: Any, environ: WSGIEnvironment) -> None:
        head = Head()
        try:
            chunks = self._app(environ, head)
            body = whole(head, chunks)
        except BaseException:  # whatever it was: the others are served on
            log.exception("the application failed")
            refuse(proto, 500)
            return
        headers = head.headers
        if self.leaving:
            headers = [*headers, CLOSE]
        if isinstance(body, bytes):
            proto.response_bytes(head.status, headers, body)
        else:
            proto.response_iter(head.status, headers, body)


class Head:
    """WSGI's start_response(), and what it was told."""

    __slots__ = ("headers", "status", "written")

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.written: list[bytes] = []

    def __call__(
        self,
        status: str,
        headers: Headers,
        exc_info: Any = None,  # noqa: ARG002  (nothing is sent yet that would stand)
        /,
    ) -> Callable[[bytes], object]:
        self.status, self.headers = int(status[:3]), headers
        return self.written.append


class Stream:
    """What an application goes on to send, as granian asks for it."""

    def __init__(self, first: bytes, rest: Iterator[bytes], close: Callable[[], object]) -> None:
        self._chunks = itertools.chain((first,), rest)
        self.close = close

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except BaseException:
            log.exception("the application failed in the middle of its answer")
            raise


def whole(head: Head, chunks: Iterable[bytes]) -> bytes | Stream:
    """The body, if it is there in one piece, else what remains to be sent.

    An application may start its answer as late as with its first chunk."""
    if type(chunks) is list or type(chunks) is tuple:
        return b"".join([*head.written, *chunks]) if head.written else b"".join(chunks)
    rest = iter(chunks)
    close = getattr(chunks, "close", _nothing)
    try:
        first = b"".join(head.written) + next(rest, b"")
        if not head.status:
            raise RuntimeError("the application did not call start_response()")
    except BaseException:
        with suppress(Exception):
            close()
        raise
    if not _is_all(head.headers, len(first)):
        return Stream(first, rest, close)
    close()
    return first


def _is_all(headers: Headers, size: int) -> bool:
    return any(name.lower() == "content-length" and value == str(size) for name, value in headers)


def _nothing() -> None:
    pass


def refusal(environ: WSGIEnvironment) -> int:
    """0, or the status of a request that does not get as far as the application."""
    if len(environ["PATH_INFO"]) + len(environ["QUERY_STRING"]) > LONGEST_LINE:
        return 414
    host = environ["HTTP_HOST"]
    if environ["REQUEST_METHOD"] == "CONNECT":
        return 405
    if environ["SERVER_PROTOCOL"] == "HTTP/1":  # granian's name of it
        environ["SERVER_PROTOCOL"] = "HTTP/1.0"
        if not host:
            del environ["HTTP_HOST"]
    # Two hosts arrive as one with a comma. The front of a proxy may have believed the other one.
    elif not host or "," in host:
        return 400
    # What is not undone here can't be understood; a proxy may have read it in another way.
    if environ.get("HTTP_TRANSFER_ENCODING", "chunked").lower() != "chunked":
        return 501
    return 0


def refuse(proto: Any, status: int) -> None:
    """Answers for the application, and ends the connection: who knows what comes next on it."""
    told = {"error": HTTPStatus(status).phrase.upper().replace(" ", "_"), "status": status}
    body = json.dumps(told).encode()
    proto.response_bytes(status, [("Content-Type", "application/json"), CLOSE], body)
