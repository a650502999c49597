"""Bodies that are too large to be read before the application is called: it waits for them itself,
or where their length is not known, we do."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pymacaron.serve.connection import SMALL
from pymacaron.serve.request import settle_length

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from pymacaron.serve.connection import Connection
    from pymacaron.serve.request import Request


def begin(connection: Connection, request: Request, largest: int) -> bool:
    """Gives a request its `wsgi.input`. False if the client went away, or talks nonsense."""
    environ = request.environ
    rest = Rest(connection, request)
    if "HTTP_TRANSFER_ENCODING" not in environ:
        environ["wsgi.input"] = io.BufferedReader(rest, SMALL)
        return True
    # One byte more than is allowed: the application finds it too large by its own rules.
    while request.size <= largest and not request.complete:
        if not (rest.more() or request.complete):
            return False
    body = b"".join(request.body)[: largest + 1]
    settle_length(environ, len(body))
    environ["wsgi.input"] = io.BytesIO(body)
    return True


class Rest(io.RawIOBase):
    """What has come of a body, and what comes yet. Ends early where the client goes away."""

    def __init__(self, connection: Connection, request: Request) -> None:
        self._connection, self._request = connection, request
        self._at = 0

    def more(self) -> bool:
        """Waits for more of the body; False when the client has gone."""
        self._connection.invite(self._request)
        return self._connection.wait_for_more()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        pieces = self._request.body
        while not pieces:
            if self._request.complete or not (self.more() or pieces):
                return 0
        piece = pieces[0][self._at : self._at + len(view)]
        view[: len(piece)] = piece
        self._at += len(piece)
        if self._at == len(pieces[0]):
            del pieces[0]
            self._at = 0
        return len(piece)
