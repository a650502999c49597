"""What our own server does with a WSGI application: its threads, and what applications answer."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection, IncompleteRead

import pytest

from tests.runtime.served import Running, serving, until
from tests.runtime.test_http_edges import Client, get, post

SERVER = '''
import os, sys, threading, time

released = threading.Semaphore(0)
waiting = []
most = []


def wait(environ, start):
    waiting.append(1)
    found = released.acquire(timeout=30)
    waiting.pop()
    return plain(start, b"released" if found else b"nobody came")


def release(environ, start):
    released.release()
    return plain(start, b"done")


def hold(environ, start):
    """Until there is a file."""
    waiting.append(1)
    most.append(len(waiting))
    while not os.path.exists("go"):
        time.sleep(0.01)
    waiting.pop()
    return plain(start, b"held")


def how_many(environ, start):
    return plain(start, b"%d" % len(waiting))


def at_most(environ, start):
    return plain(start, b"%d" % max(most))


def plain(start, body, *headers):
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *headers])
    return [body]


def seen(environ, start):
    body = environ["wsgi.input"].read()
    told = "|".join([
        environ.get("CONTENT_LENGTH", "none"), environ.get("HTTP_X_USER", "none"),
        environ.get("HTTP_COOKIE", "none"), environ["REMOTE_ADDR"], environ["PATH_INFO"],
    ])
    return plain(start, told.encode("latin-1") + b"|" + body)


def stream(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    yield b"one "
    yield b""
    yield b"two "
    if environ["QUERY_STRING"] == "fails":
        raise ValueError("in the middle")
    yield b"three"


def sized_stream(environ, start):
    start("200 OK", [("Content-Length", "8")])
    yield b"1234"
    yield b"5678" if environ["QUERY_STRING"] != "short" else b"56"


def written(environ, start):
    write = start("200 OK", [("Content-Length", "6")])
    write(b"abc")
    return [b"def"]


def late(environ, start):
    def chunks():
        start("200 OK", [("Content-Length", "4")])
        yield b"late"
    return chunks()


def short(environ, start):
    start("200 OK", [("Content-Length", "10")])
    return [b"1234"]


def long(environ, start):
    start("200 OK", [("Content-Length", "4")])
    return [b"123456"]


def split(environ, start):
    return plain(start, b"x", ("X-A", "1\\r\\nSet-Cookie: stolen=1"))


def silent(environ, start):
    return [b"no start_response"]


def stops(environ, start):
    raise SystemExit(1)


def closes(environ, start):
    return plain(start, b"bye", ("Connection", "close"))


def odd(environ, start):
    headers = ("Transfer-Encoding", "chunked"), ("Server", "mine"), ("X-E", "\\xe9")
    return plain(start, b"x", *headers)


def nothing(environ, start):
    start("204 No Content", [])
    return []


def answers_first(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    yield b"first"
    yield b"%d" % len(environ["wsgi.input"].read())


def answers_as_it_reads(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    while piece := environ["wsgi.input"].read(65536):
        yield b"%d " % len(piece)


def twice(environ, start):
    start("200 OK", [])
    start("201 Created", [])
    return [b""]


def corrected(environ, start):
    start("200 OK", [("Content-Length", "2")])
    try:
        raise ValueError
    except ValueError:
        start("502 Bad Gateway", [("Content-Length", "9")], sys.exc_info())
    return [b"corrected"]


def too_late(environ, start):
    start("200 OK", [])
    yield b"part"
    yield b"part"
    try:
        raise ValueError
    except ValueError:
        start("500 Oops", [], sys.exc_info())
    yield b"error page"


def written_later(environ, start):
    write = start("200 OK", [])
    yield b"one "
    write(b"two ")
    yield b""
    write(b"three ")


class Unsendable:
    was_closed = False

    def __iter__(self):
        yield b"x"

    def close(self):
        Unsendable.was_closed = True


def unsendable(environ, start):
    start("200 OK", [("X-A", "a\\nb")])
    return Unsendable()


def closed(environ, start):
    return plain(start, b"%r" % Unsendable.was_closed)


def host(environ, start):
    return plain(start, environ["HTTP_HOST"].encode())


def unread(environ, start):
    return plain(start, b"not read")


def app(environ, start):
    name = environ["PATH_INFO"].strip("/").replace("-", "_")
    return globals().get(name, unread)(environ, start)
'''
THREADS = 2


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("serve")
    environ = {"PYM_GUNICORN_WORKERS_COUNT": "1", "PYM_GUNICORN_THREADS_COUNT": str(THREADS)}
    with serving("pymacaron", folder, SERVER, PYM_DRAIN_SECONDS="0", **environ) as found:
        yield found


def body_of(running: Running, path: str) -> bytes:
    return running.get(path)[2]


class Asking(threading.Thread):
    """A request on its way."""

    def __init__(self, running: Running, path: str) -> None:
        super().__init__()
        self._running, self._path = running, path
        self.body = b""
        self.start()

    def run(self) -> None:
        self.body = body_of(self._running, self._path)


def test_an_answer_that_waits_stops_nobody(running: Running) -> None:
    """Neither while the leader answers all, nor when threads are there to wait."""
    for _ in range(100):
        waits = Asking(running, "/wait")
        until(lambda: body_of(running, "/how-many") == b"1", "the request did not arrive")
        assert body_of(running, "/release") == b"done"
        waits.join(30)
        assert waits.body == b"released"


def test_more_requests_than_threads_wait_for_their_turn(running: Running) -> None:
    held = [Asking(running, "/hold") for _ in range(THREADS + 4)]
    time.sleep(0.3)  # for the wrong ones to begin
    assert all(thread.is_alive() for thread in held)
    (running.folder / "go").touch()
    for thread in held:
        thread.join(60)
    (running.folder / "go").unlink()
    assert {thread.body for thread in held} == {b"held"}
    assert body_of(running, "/at-most") == str(THREADS).encode()


def test_bodies_that_are_slow_to_come_hold_no_thread(running: Running) -> None:
    head = post(b"123", "Content-Length: 6", path="/seen")
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(Client(running))) for _ in range(20)]
        for client in clients:
            client.say(head)
        assert body_of(running, "/how-many") == b"0"
        for client in clients:
            assert client.say(b"456").hear().body.endswith(b"|123456")


@pytest.mark.parametrize("how", ["Content-Length: %d", "Transfer-Encoding: chunked"])
def test_large_bodies_are_read_by_the_application_as_they_come(running: Running, how: str) -> None:
    body = bytes(range(256)) * 4096
    sent = body if "%" in how else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    field = how % len(body) if "%" in how else how
    with closing(Client(running)) as client:
        client.say(post(b"", field, "Expect: 100-continue", path="/seen"))
        assert client.hear().status == 100
        for at in range(0, len(sent), 100_000):
            client.say(sent[at : at + 100_000])
        answer = client.hear()
        assert answer.body == b"%d|none|none|127.0.0.1|/seen|%b" % (len(body), body)
        assert client.say(get("/how-many")).hear().body == b"0"  # and the connection lives on


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_that_breaks_off_is_noticed(running: Running, chunked: bool) -> None:
    body = b"x" * 400_000
    head = post(b"%x\r\n" % 500_000, "Transfer-Encoding: chunked", path="/seen")
    if not chunked:
        head = post(b"", "Content-Length: 500000", path="/seen")
    with closing(Client(running)) as client:
        client.say(head, body).socket.shutdown(socket.SHUT_WR)
        if chunked:  # half of it would have looked like all
            assert client.is_closed()
        else:
            assert client.hear().body.startswith(b"500000|")


def test_nonsense_in_or_after_a_large_body_is_noticed(running: Running) -> None:
    size = 300_000
    with closing(Client(running)) as client:
        chunk = b"%x\r\n%b\r\n" % (size, b"x" * size)
        client.say(post(b"", "Transfer-Encoding: chunked", path="/seen"), chunk, b"nonsense\r\n")
        with suppress(OSError):  # unless the application was reading it already
            assert client.hear().status == 400
        assert client.is_closed()
    with closing(Client(running)) as client:
        client.say(post(b"", f"Content-Length: {size}", path="/seen"), b"x" * size, b"nonsense")
        assert len(client.hear().body) > size
        assert client.hear().status == 400


def test_many_wishes_for_another_protocol_are_answered_in_this_one(running: Running) -> None:
    upgrade = get("/how-many", "1.1", "Connection: Upgrade", "Upgrade: h2c")
    with closing(Client(running)) as client:
        client.say(upgrade * 500)
        assert [client.hear().status for _ in range(500)] == [200] * 500


@pytest.mark.parametrize("framing", ["Content-Length: %d", "Transfer-Encoding: chunked"])
def test_a_body_behind_a_wish_for_another_protocol_is_no_request(
    running: Running, framing: str
) -> None:
    inner = get("/release")  # which would be noticed
    fields = ["Connection: keep-alive, Upgrade", "Upgrade: h2c"]
    fields.append(framing % len(inner) if "%" in framing else framing)
    with closing(Client(running)) as client:
        client.say(post(inner, *fields, path="/seen"))
        assert client.hear().status == 501
        assert client.is_closed()


def test_what_never_ends_behind_a_body_is_refused(running: Running) -> None:
    head = post(b"3\r\nabc\r\n0\r\nX-A: ", "Transfer-Encoding: chunked", path="/seen")
    with closing(Client(running)) as client:
        client.say(head)
        with suppress(OSError):
            for _ in range(100):
                client.say(b"x" * 10_000)
            assert client.hear().status == 431
        assert client.is_closed()


def test_a_request_behind_a_body_has_room_for_its_own_head(running: Running) -> None:
    body = b"x" * 200_000
    with closing(Client(running)) as client:
        first = post(body, f"Content-Length: {len(body)}", path="/seen")
        for at in range(1, 40):
            client.say(first, get("/how-many")[:at])
            assert client.hear().status == 200
            client.say(get("/how-many")[at:])
            assert client.hear().status == 200


def test_nobody_is_told_to_go_on_in_the_middle_of_an_answer(running: Running) -> None:
    with closing(Client(running)) as client:
        fields = ["Content-Length: 300000", "Expect: 100-continue"]
        client.say(post(b"", *fields, path="/answers-first"))
        client.socket.shutdown(socket.SHUT_WR)
        told = client._file.read()
    assert told.startswith(b"HTTP/1.1 200 OK")
    assert b"100 Continue" not in told


def test_an_application_can_answer_while_it_reads(running: Running) -> None:
    size, behind = 900_000, post(b"", "Content-Length: 3", "Expect: 100-continue", path="/seen")
    with closing(Client(running)) as client:
        client.say(post(b"x" * 300_000, f"Content-Length: {size}", path="/answers-as-it-reads"))
        client.socket.recv(20, socket.MSG_PEEK)  # it has begun
        client.say(b"x" * 300_000)
        client.say(b"x" * 300_000, behind)
        told = client._file.read()
    assert b"100 Continue" not in told
    assert sum(map(int, re.findall(rb"(\d+) \r", told))) == size
    assert told.endswith(b"\r\n0\r\n\r\n")


def test_start_response_is_what_wsgi_says(running: Running) -> None:
    with closing(HTTPConnection("127.0.0.1", running.port, timeout=30)) as connection:
        connection.request("GET", "/twice")
        assert connection.getresponse().status == 500
    with closing(HTTPConnection("127.0.0.1", running.port, timeout=30)) as connection:
        connection.request("GET", "/corrected")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (502, b"corrected")
        connection.request("GET", "/too-late")
        with pytest.raises((IncompleteRead, ConnectionError)):
            connection.getresponse().read()
    assert body_of(running, "/written-later") == b"one two three "


def test_an_answer_that_can_not_be_sent_is_closed_all_the_same(running: Running) -> None:
    assert running.get("/unsendable")[0] == 500
    assert body_of(running, "/closed") == b"True"


def test_the_host_of_a_whole_url_is_the_one_that_counts(running: Running) -> None:
    with closing(Client(running)) as client:
        assert client.say(get("http://other:81/host")).hear().body == b"other:81"
        assert client.say(get("/host")).hear().body == b"h"


def test_fields_reach_the_application_as_they_were_sent(running: Running) -> None:
    fields = ["X-User: Ad\xe9", "X_User: forged", "Cookie: a=1", "Cookie: b=2"]
    with closing(Client(running)) as client:
        body = client.say(get("/seen%2Fx", "1.1", *fields)).hear().body
        assert body == b"not read"
        body = client.say(get("/%73een", "1.1", *fields)).hear().body
    assert body == "none|Ad\xe9|a=1; b=2|127.0.0.1|/seen|".encode("latin-1")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /seen HTTP/1.1\r\nHost: a\r\nHost: b", 400),
        ("GET /seen HTTP/1.1", 400),
        ("GET /seen HTTP/0.9\r\nHost: a", 400),
        ("BREW /seen HTTP/1.1\r\nHost: a", 400),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a", 405),
        ("GET /\u00e9 HTTP/1.1\r\nHost: a", 400),
        (f"GET /{'x' * 9000} HTTP/1.1\r\nHost: a", 414),
        (f"GET / HTTP/1.1\r\nHost: a\r\nX-A: {'x' * 90_000}", 431),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked", 501),
    ],
)
def test_what_is_refused_is_told_why(running: Running, head: str, status: int) -> None:
    with closing(Client(running)) as client:
        answer = client.say(f"{head}\r\n\r\n".encode()).hear()
        assert answer.status == json.loads(answer.body)["status"] == status
        assert client.is_closed()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/stream", b"one two three"),
        ("/sized-stream", b"12345678"),
        ("/written", b"abcdef"),
        ("/late", b"late"),
        ("/long", b"1234"),
        ("/nothing", b""),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_answers_of_every_kind_arrive(
    running: Running, path: str, expected: bytes, version: str
) -> None:
    with closing(HTTPConnection("127.0.0.1", running.port, timeout=30)) as connection:
        connection._http_vsn_str = f"HTTP/{version}"  # type: ignore[attr-defined]
        for _ in range(2):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (204 if path == "/nothing" else 200, expected)


@pytest.mark.parametrize("path", ["/stream?fails", "/sized-stream?short", "/short"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_answer_that_is_not_all_there_never_looks_so(
    running: Running, path: str, version: str
) -> None:
    with closing(HTTPConnection("127.0.0.1", running.port, timeout=30)) as connection:
        connection._http_vsn_str = f"HTTP/{version}"  # type: ignore[attr-defined]
        connection.request("GET", path)
        with pytest.raises((IncompleteRead, ConnectionError)):
            connection.getresponse().read()


@pytest.mark.parametrize("path", ["/split", "/silent", "/stops"])
def test_an_application_that_fails_is_answered_for(running: Running, path: str) -> None:
    status, headers, body = running.get(path)
    assert status == 500
    assert json.loads(body) == {"error": "INTERNAL_SERVER_ERROR", "status": 500}
    assert "set-cookie" not in headers
    until(lambda: "the application failed" in running.log, "nothing was logged")


def test_only_the_server_says_how_connections_go_on(running: Running) -> None:
    _, headers, body = running.get("/odd")
    assert (headers["server"], headers["x-e"], body) == ("mine", "\xe9", b"x")
    assert "transfer-encoding" not in headers
    with closing(Client(running)) as client:
        assert client.say(get("/closes")).hear().headers["connection"] == "close"
        assert client.is_closed()


def test_head_is_answered_without_a_body(running: Running) -> None:
    with closing(Client(running)) as client:
        for path in ("/seen", "/stream", "/sized-stream", "/written"):
            client.say(get(path).replace(b"GET", b"HEAD", 1))
            assert client.hear("HEAD").status == 200
        assert client.say(get("/how-many")).hear().body == b"0"


def test_a_client_that_talks_on_can_read_why_nobody_listens(running: Running) -> None:
    with closing(Client(running)) as client:
        client.say(post(b"x" * 300_000, "Content-Length: 3000000", path="/unread"))
        for _ in range(20):
            client.say(b"x" * 50_000)
        answer = client.hear()
        assert (answer.body, answer.headers["connection"]) == (b"not read", "close")
