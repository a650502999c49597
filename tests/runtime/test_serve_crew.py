"""The threads of our own server, in this process: which one answers, and whom it parts with."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pymacaron.serve import crew as crew_module
from pymacaron.serve import pace as pace_module
from pymacaron.serve.crew import Crew
from pymacaron.serve.gateway import Gateway
from pymacaron.serve.pace import LONG, LOOKED_AT, TRIED, Pace
from tests.runtime.served import until

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="our server needs Linux")

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADERS = "Content-Length: 5\r\nX-A: b\r\n"
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    body = environ["wsgi.input"].read() or b"hello"
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def at_once(environ: WSGIEnvironment, start: Any) -> Iterable[bytes]:
    """As the runtime answers; /upper as with a middleware that has a say in the body."""
    chunks: tuple[bytes] = start.whole("200 OK", HEADERS, b"hello")
    return chunks if environ["PATH_INFO"] == "/" else [chunk.upper() for chunk in chunks]


@contextmanager
def crew(
    threads: int = 1, most: int = 100, app: WSGIApplication = app
) -> Iterator[tuple[Crew, Callable[[], socket.socket]]]:
    """And a function that connects to it."""
    listener = socket.create_server(("127.0.0.1", 0))
    gateway = Gateway(
        app, threads=threads, largest_body=1000, most_requests=10**9, used_up=lambda: None
    )
    made = Crew(listener, gateway, threads=threads, most=most)
    with ExitStack() as stack:

        def connect() -> socket.socket:
            client = socket.create_connection(listener.getsockname(), timeout=20)
            return stack.enter_context(closing(client))

        yield made, connect
        gateway.leaving = True
        made.stop_listening()
        assert made.stop(20)


def assert_answered(client: socket.socket) -> None:
    client.sendall(GET)
    assert b"hello" in client.recv(1000)


def test_an_answer_can_be_said_at_once() -> None:
    with crew(app=at_once) as (_, connect):
        client = connect()
        said = []
        for path, version in (("/", "1.1"), ("/upper", "1.1"), ("/", "1.0"), ("/upper", "1.0")):
            client.sendall(f"GET {path} HTTP/{version}\r\nHost: h\r\n\r\n".encode())
            said.append(client.recv(1000).decode().partition("Date: ")[2].partition("\r\n")[2])
            client = client if version == "1.1" else connect()
    close = f"Connection: close\r\n{HEADERS}\r\n"
    assert said[:2] == [f"{HEADERS}\r\nhello", f"{HEADERS}\r\nHELLO"]
    assert said[2:] == [f"{close}hello", f"{close}HELLO"]


def test_the_connection_that_is_silent_for_longest_makes_room() -> None:
    with crew(most=3) as (_, connect):
        first, second = connect(), connect()
        for client in (first, second, first):
            assert_answered(client)
        third, fourth = connect(), connect()
        for client in (third, fourth, first):
            assert_answered(client)
        assert second.recv(1000) == b""


def test_who_never_comes_to_an_end_is_parted_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "PATIENCE", 0.1)
    with crew() as (_, connect):
        idle, half_a_head, half_a_body = connect(), connect(), connect()
        half_a_head.sendall(GET[:20])
        half_a_body.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
        assert half_a_head.recv(1000) == b""
        assert half_a_body.recv(1000) == b""
        assert_answered(idle)


def test_who_reads_slowly_but_reads_gets_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "PATIENCE", 4.0)
    monkeypatch.setattr(crew_module, "LAST_WORDS", 10.0)
    large = b"x" * 30_000_000

    def app(_: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start("200 OK", [("Content-Length", str(len(large)))])
        return [large]

    with crew(app=app) as (made, connect):
        client = connect()
        client.sendall(GET)
        size = len(client.recv(1000))
        for _ in range(8):
            time.sleep(0.7)
            size += len(client.recv(3_000_000))
        made._gateway.leaving = True
        made.stop(0)  # which does not cut off who is still reading either
        while data := client.recv(1_000_000):
            size += len(data)
            time.sleep(0.02)
    assert size > len(large)


def test_connections_that_nobody_uses_any_more_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "KEEPALIVE", 0.1)
    with crew() as (_, connect):
        client = connect()
        assert_answered(client)
        assert client.recv(1000) == b""


def test_the_end_answers_what_was_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "LAST_WORDS", 20)
    with crew() as (made, connect):
        begun, idle = connect(), connect()
        begun.sendall(GET[:20])
        assert_answered(idle)
        until(lambda: any(c.begun for c in made._connections.values()), "it was not read")
        made._gateway.leaving = True
        assert not made.stop(0.05)  # not as long as somebody is asking
        begun.sendall(GET[20:])
        assert b"Connection: close" in begun.recv(1000)
        assert begun.recv(1000) == b""
        assert idle.recv(1000) == b""


def answers(pace: Pace, count: int, answer: Callable[[], object]) -> int:
    """How many of so many answers the leader gives."""
    given = 0
    for _ in range(count):
        if pace.next():
            given += 1
            sample = pace.begins()
            answer()
            if sample is not None:
                pace.ends(sample)
    return given


def test_who_computes_is_answered_by_the_leader_and_who_waits_by_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_up = [0]  # as the system would count it, were nobody else here
    monkeypatch.setattr(pace_module, "_switches", lambda: given_up[0])

    def compute() -> None:
        time.sleep(10 * LONG)

    def wait() -> None:
        time.sleep(10 * LONG)
        given_up[0] += 1

    pace = Pace()
    assert answers(pace, 5 * LOOKED_AT, compute) == 5 * LOOKED_AT
    assert answers(pace, 5 * LOOKED_AT, wait) < 5 * LOOKED_AT
    # As soon as waiting has an end, the leader answers again.
    answers(pace, 20 * TRIED, lambda: None)
    assert answers(pace, TRIED, lambda: None) == TRIED


def test_the_system_tells_who_waits() -> None:
    before = pace_module._switches()
    time.sleep(0.01)
    assert pace_module._switches() > before
