"""What was asked; and what a client asks again and again with the same words."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LONGEST_REPEATED = 4 * 1024
"""Bytes of a head that is remembered, for each connection."""
END_OF_HEAD = b"\r\n\r\n"
# Whoever says one of these has to be listened to.
SPECIAL = (b"transfer-encoding", b"expect", b"upgrade")


class Request:
    """What was asked."""

    # What is so at the beginning stands here, and costs no request anything.
    refused = 0
    """Or the status with which it ends before the application."""
    size = 0
    """Of its body, as far as that has come."""
    complete = False
    given = False
    """Among its connection's requests, if only with the beginning of its body."""
    keep = False
    """The client may ask again after it."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.environ = environ
        self.body: list[bytes] = []


class Repeated:
    """The head of one connection's last request. When it comes again, byte by byte, with all of its
    body and nothing else, the parser need not be asked what it means."""

    __slots__ = ("_environ", "_head", "_size")

    def __init__(self) -> None:
        self._head = b""
        self._size = 0
        # What it means, once it has come twice.
        self._environ: WSGIEnvironment | None = None

    def request(self, data: bytes) -> Request | None:
        """The request in `data`, where that is known. To be asked between requests."""
        head, environ = self._head, self._environ
        if environ is None or not data.startswith(head) or len(data) != len(head) + self._size:
            return None
        request = Request(environ.copy())
        request.environ["wsgi.input"] = io.BytesIO(data[len(head) :])
        request.size = self._size
        request.complete = request.keep = True
        return request

    def heard(self, data: bytes, request: Request) -> None:
        """`data`, which began with it, held this request to its end, and perhaps more."""
        head = data[: len(data) - request.size]
        if head != self._head:
            self._head, self._environ = head if len(head) <= LONGEST_REPEATED else b"", None
        elif self._environ is None and head and _is_plain(head, data, request):
            self._environ, self._size = request.environ.copy(), request.size
            del self._environ["wsgi.input"]


def _is_plain(head: bytes, data: bytes, request: Request) -> bool:
    return (
        head.find(END_OF_HEAD) + len(END_OF_HEAD) == len(head)
        and data[len(head) :] == b"".join(request.body)
        and request.keep
        and not request.refused
        and not any(word in head.lower() for word in SPECIAL)
    )


def length_of(environ: WSGIEnvironment) -> int:
    """The length of a body, as far as the client says it."""
    return int(environ.get("CONTENT_LENGTH", 0))


def settle_length(environ: WSGIEnvironment, length: int) -> None:
    """A body that came in chunks is one of known length for the application."""
    del environ["HTTP_TRANSFER_ENCODING"]
    environ["CONTENT_LENGTH"] = str(length)
