"""The threads of our own server, in this process: which one answers, and whom it parts with."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from pymacaron.serve import crew as crew_module
from pymacaron.serve import pace as pace_module
from pymacaron.serve import room as room_module
from pymacaron.serve import vigil as vigil_module
from pymacaron.serve.connection import Connection
from pymacaron.serve.crew import Crew
from pymacaron.serve.gateway import Gateway
from pymacaron.serve.pace import LONG, LOOKED_AT, TRIED, Pace
from pymacaron.serve.vigil import SHORT, WINDOW, Vigil
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
    made = Crew(listener, gateway, threads=threads, most=most, tidy=lambda: None)
    with ExitStack() as stack:

        def connect() -> socket.socket:
            client = socket.create_connection(listener.getsockname(), timeout=20)
            return stack.enter_context(closing(client))

        yield made, connect
        gateway.leaving = True
        made.room.stop_listening()
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
    monkeypatch.setattr(room_module, "PATIENCE", 0.1)
    with crew() as (_, connect):
        idle, half_a_head, half_a_body = connect(), connect(), connect()
        half_a_head.sendall(GET[:20])
        half_a_body.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
        assert half_a_head.recv(1000) == b""
        assert half_a_body.recv(1000) == b""
        assert_answered(idle)


def test_who_reads_slowly_but_reads_gets_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "PATIENCE", 4.0)
    monkeypatch.setattr(room_module, "LAST_WORDS", 10.0)
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
    monkeypatch.setattr(room_module, "KEEPALIVE", 0.1)
    with crew() as (_, connect):
        client = connect()
        assert_answered(client)
        assert client.recv(1000) == b""


def test_the_end_answers_what_was_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "LAST_WORDS", 20)
    with crew() as (made, connect):
        begun, idle = connect(), connect()
        begun.sendall(GET[:20])
        assert_answered(idle)
        until(lambda: any(c.begun for c in made.room.connections.values()), "it was not read")
        made._gateway.leaving = True
        assert not made.stop(0.05)  # not as long as somebody is asking
        begun.sendall(GET[20:])
        assert b"Connection: close" in begun.recv(1000)
        assert begun.recv(1000) == b""
        assert idle.recv(1000) == b""


class Together:
    """An application. At /gate it sends what `asks` says, so that the leader finds it all at once;
    its later answers are given in turns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, held: float | None = None) -> None:
        if held is not None:  # so many seconds
            monkeypatch.setattr(crew_module, "HELD", held)
            monkeypatch.setattr(crew_module, "LONG", held)
        # Long enough that nobody takes the lead away at the gate.
        monkeypatch.setattr(crew_module, "TICK", 0.5)
        self.asks: list[tuple[socket.socket, bytes]] = []
        self.later: list[Callable[[], object]] = []
        self.given = 0
        self.connections: Iterable[Connection] = ()

    def meet(self, made: Crew, connect: Callable[[], socket.socket], count: int) -> Any:
        """The gate and the clients, when the server knows them."""
        clients = [connect() for _ in range(count + 1)]
        until(lambda: len(made.room.connections) > count, "they were not accepted")
        self.connections = made.room.connections.values()
        return clients

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/gate":
            for client, said in self.asks:
                client.sendall(said)
            for connection in self.connections:
                assert connection.busy or readable([connection.client], 20)
        elif self.later:
            self.later.pop(0)()
            self.given += 1
        start("200 OK", [("Content-Length", str(len(path)))])
        return [path.encode()]


def readable(clients: Iterable[socket.socket], seconds: float = 0.05) -> bool:
    return bool(select.select(list(clients), [], [], seconds)[0])


def get(path: str) -> bytes:
    return GET.replace(b"/", path.encode(), 1)


def test_answers_that_are_asked_for_together_are_sent_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Together(monkeypatch, held=20)
    with crew(app=app) as (made, connect):
        gate, *clients = app.meet(made, connect, 3)
        app.asks = [(client, get("/x")) for client in clients]
        seen: list[bool] = []
        app.later = [lambda: seen.append(readable(clients))] * 3
        gate.sendall(get("/gate"))
        until(lambda: app.given == 3, "it was not answered")
        for client in (gate, *clients):
            assert b"200 OK" in client.recv(1000)
    assert seen == [False, False, False]


def test_only_the_last_answer_of_several_on_a_connection_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Together(monkeypatch, held=20)
    with crew(app=app) as (made, connect):
        gate, *clients = app.meet(made, connect, 3)
        app.asks = [(client, get("/first") + get("/second")) for client in clients]
        gate.sendall(get("/gate"))
        assert gate.recv(1000).endswith(b"/gate")
        for client in clients:
            said = b""
            while b"/second" not in said:
                said += client.recv(1000)
            assert said.index(b"/first") < said.index(b"/second")
            assert said.count(b"200 OK") == 2


def test_an_answer_is_not_held_while_another_one_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Together(monkeypatch)
    with crew(threads=2, app=app) as (made, connect):
        gate, *clients = app.meet(made, connect, 3)
        app.asks = [(client, get("/x")) for client in clients]
        sent: list[bool] = []
        app.later = [lambda: None, lambda: sent.append(readable(clients, 20))]
        gate.sendall(get("/gate"))
        until(lambda: app.given == 2, "it was not answered")
        for client in (gate, *clients):
            assert b"200 OK" in client.recv(1000)
        assert made._hurried
    assert sent == [True]


def test_who_takes_the_lead_over_answers_those_that_were_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Together(monkeypatch)
    with crew(threads=2, app=app) as (made, connect):
        gate, *clients = app.meet(made, connect, 3)
        app.asks = [(client, get("/x")) for client in clients]
        others_answered = Event()
        app.later = [lambda: others_answered.wait(20)]
        gate.sendall(get("/gate"))
        assert b"200 OK" in gate.recv(1000)
        answered = [client for client in clients if readable([client], 5)]
        assert len(answered) == 2
        others_answered.set()
        for client in clients:
            assert b"200 OK" in client.recv(1000)


def test_what_comes_behind_an_answer_that_is_taken_slowly_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = b"x" * 6_000_000

    class Large(Together):
        def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            chunks = super().__call__(environ, start)
            if environ["PATH_INFO"] != "/large":
                return chunks
            start("200 OK", [("Content-Length", str(len(large)))], (None, None, None))
            return [large]

    def take() -> None:
        while not said.endswith(b"/behind") and (data := clients[0].recv(1_000_000)):
            said.extend(data)

    def take_meanwhile() -> None:
        taking.start()
        time.sleep(0.3)

    app = Large(monkeypatch, held=20)
    with crew(app=app) as (made, connect):
        gate, *clients = app.meet(made, connect, 2)
        app.asks = [(clients[0], get("/large") + get("/behind")), (clients[1], get("/x"))]
        said = bytearray()
        taking = Thread(target=take)
        # What comes meanwhile is taken: nobody is told any more that there is room.
        app.later = [lambda: None, take_meanwhile]
        gate.sendall(get("/gate"))
        until(lambda: app.given == 2, "it was not answered")
        taking.join(20)
    assert said.endswith(b"/behind")


def test_a_failure_to_send_is_not_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    send = Connection.send

    def fails(connection: Connection, data: bytes | memoryview) -> bool:
        if b"/client0" in bytes(data):
            raise MemoryError
        return send(connection, data)

    monkeypatch.setattr(Connection, "send", fails)
    app = Together(monkeypatch, held=20)
    with crew(app=app) as (made, connect):
        gate, *clients = app.meet(made, connect, 3)
        app.asks = [(client, get(f"/client{n}")) for n, client in enumerate(clients)]
        gate.sendall(get("/gate"))
        for client in (gate, *clients[1:]):
            assert b"200 OK" in client.recv(1000)
        assert not readable(clients[:1])
        # The test's end waits for it.
        made.room.close(next(c for c in made.room.connections.values() if c.busy))


def test_after_a_long_answer_none_are_held_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "MOST_HURRIED", 3)
    app = Together(monkeypatch, held=0.2)
    with crew(app=app) as (made, connect):
        gate, *clients = app.meet(made, connect, 2)
        app.asks = [(client, get("/x")) for client in clients]
        seen: list[bool] = []
        for seconds in (0.25, 0, 0):
            app.given = 0
            wait = partial(time.sleep, seconds)
            app.later = [wait, lambda: seen.append(readable(clients))]
            gate.sendall(get("/gate"))
            until(lambda: app.given == 2, "it was not answered")
            for client in (gate, *clients):
                assert b"200 OK" in client.recv(1000)
    # The long one itself, the next, and no further one: the gate's and the others' count, too.
    assert seen == [True, True, False]


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


class Costs:
    """Processor time as it would be spent: so much for each answer, awake or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, vigil: Vigil) -> None:
        self.awake, self.asleep = 1.0, 1.0
        self.answers = 0
        self._vigil, self._spent = vigil, 0.0
        monkeypatch.setattr(time, "thread_time", lambda: self._spent)
        vigil.begins(0)

    def awake_in(self, windows: int) -> int:
        """In how many of these windows of short waits nobody slept, but for the first wait of a new
        leader."""
        found = 0
        for _ in range(windows):
            self._wait()
            awake = self._vigil.awake
            found += awake
            for _ in range(WINDOW - 1):
                assert self._vigil.awake == awake
                self._wait()
        return found

    def _wait(self) -> None:
        self.answers += 2
        self._spent += 2 * (self.awake if self._vigil.awake else self.asleep)
        self._vigil.waited(0.0, self.answers)


def test_a_leader_waits_awake_where_that_costs_less(monkeypatch: pytest.MonkeyPatch) -> None:
    vigil = Vigil()
    costs = Costs(monkeypatch, vigil)
    costs.awake, costs.asleep = 0.5, 1.0
    costs.awake_in(10)
    assert costs.awake_in(vigil_module.TRIED) == vigil_module.TRIED - 1
    # Now it costs more: noticed soon, and looked at again from time to time.
    costs.awake = 3.0
    costs.awake_in(4 * vigil_module.TRIED)
    assert costs.awake_in(vigil_module.TRIED) == 1
    costs.awake = 0.5
    assert costs.awake_in(10 * vigil_module.TRIED) > 6 * vigil_module.TRIED


def test_one_disturbed_comparison_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vigil = Vigil()
    costs = Costs(monkeypatch, vigil)
    costs.awake_in(4 * vigil_module.TRIED)
    costs.awake = 10.0  # in the window that the next one is compared with
    assert costs.awake_in(1) == 1
    costs.awake = 1.0
    assert costs.awake_in(4 * vigil_module.TRIED) == 4 * (vigil_module.TRIED - 1)


def test_after_a_long_wait_the_leader_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    vigil = Vigil()
    costs = Costs(monkeypatch, vigil)
    costs.awake = 0.5
    costs.awake_in(10)
    assert vigil.awake
    vigil.waited(2 * SHORT, costs.answers)
    assert not vigil.awake
    vigil.waited(SHORT / 2, costs.answers)
    assert vigil.awake


def test_whoever_begins_to_lead_sleeps_first_and_does_as_others_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vigil = Vigil()
    costs = Costs(monkeypatch, vigil)

    def awake_of_200() -> int:
        costs.awake_in(6 * vigil_module.TRIED)
        found = 0
        for _ in range(100):
            vigil.begins(costs.answers)
            assert not vigil.awake
            found += costs.awake_in(2)
        return found

    costs.awake = 0.5
    assert awake_of_200() > 180
    costs.awake = 3.0
    assert awake_of_200() < 20


@pytest.mark.parametrize("awake", [False, True])
def test_a_leader_hears_of_requests_awake_or_not(awake: bool) -> None:
    with crew(threads=2) as (made, connect):
        made._vigil = Always(awake)
        clients = [connect(), connect()]
        for client in clients * 20:
            assert_answered(client)
            time.sleep(0.002 if awake else 0)  # more than it is awake for


class Always(Vigil):
    def __init__(self, awake: bool) -> None:
        super().__init__()
        self.awake = awake

    def waited(self, seconds: float, answers: int) -> None:
        pass
