"""What a client says again and again is not parsed anew; what is understood is the same."""

from __future__ import annotations

import socket
from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymacaron.serve.connection import Connection
from pymacaron.serve.request import Repeated, Request

SHARED = {"SERVER_NAME": "here"}
PLAIN = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
HEADS = [
    PLAIN,
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%C3%A4 HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\nCookie: c=d\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
]
AFTER = [b"", b"hello", b"\r\n\r\nx", b"hell", b"hello\r\n", b"helloGET"]
MESSAGES = st.sampled_from([head + after for head in HEADS for after in AFTER])


class Client:
    """A socket's other end: gives what it was told to say, keeps what it hears."""

    def __init__(self) -> None:
        self.says = b""
        self.heard = b""

    def fileno(self) -> int:
        return -1

    def recv(self, size: int) -> bytes:
        data, self.says = self.says[:size], self.says[size:]
        return data

    def send(self, data: bytes) -> int:
        self.heard += data
        return len(data)


class NeverRepeated(Repeated):
    """Remembers nothing."""

    def request(self, data: bytes) -> Request | None:
        return None


def connection(repeated: Repeated | None = None) -> tuple[Connection, Client]:
    client: Any = Client()
    made = Connection(client, dict(SHARED))
    if repeated is not None:
        made._repeated = repeated
    return made, client


def understood(made: Connection, client: Client, pieces: list[bytes]) -> list[Any]:
    """What comes of pieces that arrive one after the other."""
    found: list[Any] = []
    for piece in pieces:
        client.says = piece
        if not (made.ends or made.talks_on):
            made.receive()
        while made.requests:
            request = made.requests.popleft()
            environ = {k: v for k, v in request.environ.items() if k != "wsgi.input"}
            body = request.environ["wsgi.input"].read() if "wsgi.input" in request.environ else None
            state = (request.refused, request.size, request.complete, request.keep)
            found.append((environ, body, state))
            # As the gateway does.
            made.ends = made.ends or bool(request.refused) or not request.keep
            request.environ.clear()
    return [*found, client.heard, made.begun, made.talks_on, made.ends]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(MESSAGES, st.integers(1, 4)), min_size=1, max_size=4), st.data())
def test_what_is_understood_does_not_depend_on_what_came_before(
    said: list[tuple[bytes, int]], data: Any
) -> None:
    pieces = [message for message, times in said for _ in range(times)]
    if data.draw(st.booleans()):
        stream = b"".join(pieces)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        pieces = [piece for piece in pieces if piece]
    assert understood(*connection(), pieces) == understood(*connection(NeverRepeated()), pieces)


def asked_parser(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What a parser is asked from now on."""
    parser = httptools.HttpRequestParser
    asked: list[bytes] = []

    class Parser:
        def __init__(self, protocol: Any) -> None:
            self._parser = parser(protocol)

        def feed_data(self, data: bytes) -> None:
            asked.append(data)
            self._parser.feed_data(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._parser, name)

    monkeypatch.setattr("pymacaron.serve.connection.httptools.HttpRequestParser", Parser)
    return asked


def test_a_head_that_came_twice_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_parser(monkeypatch)
    made, client = connection()
    bodies = [b"hello", b"12345", b"\r\n\r\nx", b"other"]
    found = understood(made, client, [PLAIN + body for body in bodies])
    assert [body for _, body, _ in found[:4]] == bodies
    assert len(asked) == 2
    # Anything else is.
    understood(made, client, [PLAIN + b"hel", b"lo", PLAIN + b"helloGET", b" / HTTP/1.1\r\n"])
    assert len(asked) == 6


def test_what_an_application_leaves_in_one_request_is_not_in_the_next() -> None:
    made, client = connection()
    for number in range(4):
        client.says = PLAIN + b"hello"
        made.receive()
        environ = made.requests.popleft().environ
        assert "left" not in environ
        assert environ["wsgi.input"].read() == b"hello"
        environ["left"] = number
        environ["PATH_INFO"] = "/elsewhere"
    assert environ["QUERY_STRING"] == "b=c"


def test_long_heads_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_parser(monkeypatch)
    made, client = connection()
    head = b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"c" * 5000 + b"\r\n\r\n"
    understood(made, client, [head] * 4)
    assert len(asked) == 4


def test_it_is_the_same_over_a_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        made = Connection(ours, dict(SHARED))
        for _ in range(3):
            theirs.sendall(PLAIN + b"hello")
            assert made.receive()
            request = made.requests.popleft()
            assert request.environ["wsgi.input"].read() == b"hello"
            assert request.environ["PATH_INFO"] == "/a"
