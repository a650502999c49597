"""The head of an answer: what the application says with WSGI's start_response(), as bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pymacaron.serve.request import Request

    Headers = list[tuple[str, str]]

SERVER = "Server: pymacaron\r\n"
# Between neighbours: the application has no say in it, but that it may ask for the end.
CONNECTION = "connection"
HOP_BY_HOP = (CONNECTION, "transfer-encoding", "keep-alive", "proxy-connection", "te", "upgrade")
BODILESS = ("204", "304")


class Head:
    """WSGI's start_response(), and what it was told. Who knows us may say all at once (`whole`)."""

    __slots__ = ("chunks", "headers", "line", "sent", "text", "written")

    def __init__(self) -> None:
        self.line = self.text = ""
        self.sent = False
        self.chunks = (b"",)
        self.headers: Headers = []
        self.written: list[bytes] = []

    def __call__(
        self,
        line: str,
        headers: Headers,
        exc_info: Any = None,
        /,
    ) -> Callable[[bytes], object]:
        if self.sent and exc_info:
            raise exc_info[1].with_traceback(exc_info[2])
        if self.line and not exc_info:
            raise RuntimeError("the application called start_response() twice")
        self.line, self.headers, self.text = line, headers, ""
        return self.written.append

    def take_written(self) -> bytes:
        """What was said with write() since the last time."""
        written, self.written[:] = b"".join(self.written), ()
        return written

    def whole(self, line: str, text: str, body: bytes) -> tuple[bytes]:
        """An answer with a body. `text`: all its headers, Content-Length among them and none that a
        server decides on, as HTTP writes them. Gives what the application has to return."""
        self.line, self.text = line, text
        self.chunks = (body,)
        return self.chunks

    def prepared(self, request: Request, stays: bool) -> bytes:
        """The answer that was said all at once."""
        own = f"{SERVER}{_date(int(time.time()))}{_staying(request, stays)}"
        head = f"HTTP/1.1 {self.line}\r\n{own}{self.text}\r\n"
        return head.encode("latin-1") + self.chunks[0]

    def unfold(self) -> None:
        """What was said all at once as what anybody would say: somebody had a say in the body."""
        if self.text:
            pairs = [line.partition(": ") for line in self.text.splitlines()]
            self.headers = [(name, value) for name, _, value in pairs]


def _staying(request: Request, stays: bool) -> str:
    """What an answer says of its connection, where that does not go without saying."""
    if not stays:
        return "Connection: close\r\n"
    newer = request.environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    return "" if newer else "Connection: keep-alive\r\n"


class Form(NamedTuple):
    """How an answer is sent. `left`: the bytes that its body must have, None: it tells its end by
    itself. `chunked`: in pieces that say their lengths. `stays`: the connection, after it."""

    text: bytes
    left: int | None
    chunked: bool
    stays: bool


def form(head: Head, request: Request, size: int | None, stays: bool) -> Form:
    """`size` of the body, if it is known. Raises ValueError for what no client could read."""
    line, headers, environ = head.line, head.headers, request.environ
    places = _places(tuple([name for name, _ in headers]))
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    for place in places.ours:
        name, value = headers[place]
        stays = stays and not (name.lower() == CONNECTION and "close" in value.lower())
        lines[place] = ""
    newer = environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
    chunked = False
    if environ.get("REQUEST_METHOD") == "HEAD" or line[:3] in BODILESS:
        left: int | None = 0
    elif places.length is not None:
        left = int(headers[places.length][1])
    elif size is not None:
        left = size
        lines.append(f"Content-Length: {size}\r\n")
    else:
        left, chunked = None, newer
        stays = stays and newer  # else only the end of the connection tells that of the body
    if chunked:
        lines.append("Transfer-Encoding: chunked\r\n")
    server = "" if places.server else SERVER
    own = f"{server}{'' if places.date else _date(int(time.time()))}{_staying(request, stays)}"
    text = f"HTTP/1.1 {line}\r\n{own}{''.join(lines)}\r\n"
    breaks = 2 + own.count("\n") + len(lines) - len(places.ours)
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
        raise ValueError("a line break in the status or a header of the application's answer")
    return Form(text.encode("latin-1"), left, chunked, stays)


class Places(NamedTuple):
    """Where among an answer's headers those stand that a server looks at."""

    length: int | None
    server: bool
    date: bool
    ours: tuple[int, ...]


@lru_cache(maxsize=512)
def _places(names: tuple[str, ...]) -> Places:
    lower = [name.lower() for name in names]
    return Places(
        lower.index("content-length") if "content-length" in lower else None,
        "server" in lower,
        "date" in lower,
        tuple(place for place, name in enumerate(lower) if name in HOP_BY_HOP),
    )


@lru_cache(maxsize=2)
def _date(seconds: int) -> str:
    return f"Date: {formatdate(seconds, usegmt=True)}\r\n"
