"""What comes over the wire, odd, slow, broken or hostile, and what either server makes of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from io import BufferedReader

import pytest

from tests.runtime.served import SERVERS, Running, serving, until

SERVER = """
import flask
from pymacaron import API, apipool, letsgo
app = flask.Flask(__name__)
calls = []

@app.get("/calls")
def count():
    return str(len(calls))

def echo(data):
    calls.append(data)
    return data

def seen():
    return apipool.edges.Seen(
        path=flask.request.path, query=flask.request.query_string.decode(),
        host=flask.request.host, protocol=flask.request.environ["SERVER_PROTOCOL"],
    )

def start(port):
    api = API(app, port=port)
    api.load_apis("apis")
    api.start()

letsgo(__name__, callback=start)
"""
SPEC = """
openapi: 3.0.3
info: {title: edges, version: "1"}
paths:
  /echo:
    post:
      x-bind-server: server.echo
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: "#/components/schemas/Text"}}}
      responses:
        "200":
          description: the same
          content: {application/json: {schema: {$ref: "#/components/schemas/Text"}}}
  /seen:
    get:
      x-bind-server: server.seen
      responses:
        "200":
          description: what arrived
          content: {application/json: {schema: {$ref: "#/components/schemas/Seen"}}}
components:
  schemas:
    Text:
      type: object
      properties: {text: {type: string}}
    Seen:
      type: object
      properties:
        path: {type: string}
        query: {type: string}
        host: {type: string}
        protocol: {type: string}
"""
LIMIT = 1_000_000
WORKERS, THREADS = 2, 4


@pytest.fixture(scope="module", params=SERVERS)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "apis").mkdir()
    (folder / "apis" / "edges.yaml").write_text(SPEC)
    settings = f"max_body_size: {LIMIT}\nlog_probes: true\nprometheus: true\n"
    with serving(request.param, folder, SERVER, settings, PYM_DRAIN_SECONDS="0.1") as found:
        yield found


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A connection on which anything can be said."""

    def __init__(self, running: Running) -> None:
        self.socket = socket.create_connection(("127.0.0.1", running.port), timeout=15)
        self._file: BufferedReader = self.socket.makefile("rb")

    def say(self, *parts: bytes) -> Client:
        for part in parts:
            self.socket.sendall(part)
        return self

    def hear(self, method: str = "GET") -> Answer:
        line = self._file.readline()
        if not line:
            raise ConnectionResetError("closed without an answer")
        status = int(line.split()[1])
        headers = {}
        while field := self._file.readline().strip():
            name, _, value = field.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", 0))
        return Answer(status, headers, b"" if method == "HEAD" else self._file.read(size))

    def is_closed(self) -> bool:
        """Waits for the end, or for an answer to a further request."""
        try:
            self.say(get("/ping"))
            return self._file.read(1) == b""
        except OSError:
            return True

    def close(self) -> None:
        self._file.close()
        self.socket.close()


def get(path: str, version: str = "1.1", *fields: str) -> bytes:
    lines = [f"GET {path} HTTP/{version}", "Host: h", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def post(body: bytes, *fields: str, path: str = "/echo") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: h", "Content-Type: application/json", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


BODY = b'{"text":"x"}'
SIZED = "Content-Length: 12"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b'5;a=b\r\n{"tex\r\n7\r\nt":"x"}\r\n0\r\nX-Trailer: 1\r\n\r\n'
SMUGGLED = get("/calls")

# What is sent, the statuses of the answers, whether the connection lives on (None: either).
EDGES: dict[str, tuple[bytes, tuple[int, ...], bool | None]] = {
    "kept alive": (get("/ping"), (200,), True),
    "told to close": (get("/ping", "1.1", "Connection: close"), (200,), False),
    "HTTP/1.0": (get("/ping", "1.0"), (200,), False),
    "HTTP/1.0 without a host": (b"GET /ping HTTP/1.0\r\n\r\n", (200,), False),
    "HTTP/1.0 kept alive": (get("/ping", "1.0", "Connection: keep-alive"), (200,), None),
    "pipelined": (get("/ping") * 5, (200,) * 5, True),
    "pipelined bodies": (post(BODY, SIZED) * 3 + get("/ping"), (200,) * 4, True),
    "absolute target": (get("http://other/ping?a=1"), (200,), True),
    "another protocol, if possible": (
        get("/ping", "1.1", "Connection: Upgrade", "Upgrade: h2c") + get("/ping"),
        (200, 200),
        True,
    ),
    "query and escapes": (get("/seen?a=%20&b=/?x"), (200,), True),
    "a body": (post(BODY, SIZED), (200,), True),
    "chunks": (post(CHUNKS, CHUNKED), (200,), True),
    "expecting 100-continue": (post(BODY, SIZED, "Expect: 100-continue"), (100, 200), True),
    "a body where none belongs": (get("/ping", "1.1", SIZED) + BODY, (200,), None),
    "a body nobody reads": (post(BODY, SIZED, path="/nowhere"), (404,), None),
    "too large": (post(b"", f"Content-Length: {LIMIT + 1}"), (413,), False),
    "too large in chunks": (
        post(b"%x\r\n%s\r\n0\r\n\r\n" % (LIMIT + 1, b" " * (LIMIT + 1)), CHUNKED),
        (413,),
        None,
    ),
    # hostile
    "two lengths": (post(BODY + SMUGGLED, SIZED, "Content-Length: 0"), (400,), False),
    "a list of lengths": (post(BODY + SMUGGLED, "Content-Length: 12, 0"), (400,), False),
    "a length with a sign": (post(BODY, "Content-Length: +12"), (400,), False),
    "a negative length": (post(BODY, "Content-Length: -1"), (400,), False),
    "HTTP/1.0 in chunks": (
        post(CHUNKS, CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0"),
        (400,),
        False,
    ),
    "space before a colon": (post(CHUNKS, "Transfer-Encoding : chunked"), (400,), False),
    "a folded field": (get("/ping", "1.1", "X-A: a", " b: c"), (400,), False),
    "NUL in a field": (get("/ping", "1.1", "X-A: a\0b"), (400,), False),
    "another protocol": (get("/ping", "2.0"), (400,), False),
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400,), False),
}
# The servers say it with different statuses; what counts is that nothing is done, and no second
# request is read out of the first.
REFUSED: dict[str, bytes] = {
    "length and chunks": post(b"0\r\n\r\n" + SMUGGLED, "Content-Length: 5", CHUNKED),
    "chunks, but not quite": post(CHUNKS + SMUGGLED, "Transfer-Encoding: xchunked"),
    "chunks of chunks": post(CHUNKS + SMUGGLED, CHUNKED, CHUNKED),
    "compressed chunks": post(CHUNKS + SMUGGLED, "Transfer-Encoding: gzip, chunked"),
    "a chunk of no size": post(b"zz\r\n" + BODY + b"\r\n0\r\n\r\n" + SMUGGLED, CHUNKED),
    "a chunk longer than it says": post(b"2\r\n" + BODY + b"\r\n0\r\n\r\n" + SMUGGLED, CHUNKED),
    "a long line": get("/" + "x" * 100_000),
    "a long field": get("/ping", "1.1", "X-A: " + "x" * 100_000),
    "many fields": get("/ping", "1.1", *(f"X-{n}: x" for n in range(120))),
    "endless fields": get("/ping", "1.1", *(f"X-{n}: {'x' * 4000}" for n in range(90))),
}
# Where gunicorn does less.
NOT_BY_GUNICORN = ("too large in chunks", "compressed chunks", "endless fields", "slowloris")


def skip_where_gunicorn_does_less(running: Running, name: str) -> None:
    if running.server == "gunicorn" and name in NOT_BY_GUNICORN:
        pytest.skip("gunicorn does not")


@pytest.mark.parametrize("name", EDGES)
def test_odd_requests_get_their_answers(running: Running, name: str) -> None:
    skip_where_gunicorn_does_less(running, name)
    sent, statuses, kept = EDGES[name]
    with closing(Client(running).say(sent)) as client:
        assert [client.hear().status for _ in statuses] == list(statuses)
        if kept is not None:
            assert client.is_closed() is not kept


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_read_in_two_ways_is_not_done(running: Running, name: str) -> None:
    skip_where_gunicorn_does_less(running, name)
    before = calls(running)
    with closing(Client(running)) as client:
        try:
            client.say(REFUSED[name])
            assert 400 <= client.hear().status < 600
        except OSError:
            pass  # closed before it was all said
        assert client.is_closed()
    assert calls(running) == before


@pytest.mark.parametrize("head", [post(BODY[:5], SIZED), post(b'5\r\n{"tex\r\n7\r\nt"', CHUNKED)])
def test_a_body_that_breaks_off_never_reaches_a_handler(running: Running, head: bytes) -> None:
    before = calls(running)
    with closing(Client(running).say(head)) as client:
        client.socket.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            assert client.hear().status in (400, 408, 411)
    with closing(Client(running).say(head)):
        pass  # gone without a goodbye
    assert running.get("/ping")[0] == 200
    assert calls(running) == before


def test_head_has_no_body(running: Running) -> None:
    with closing(Client(running)) as client:
        client.say(get("/seen").replace(b"GET", b"HEAD"), get("/seen"))
        head, answer = client.hear("HEAD"), client.hear()
    assert head.status == answer.status == 200
    assert head.headers["content-type"] == answer.headers["content-type"]
    assert answer.body


def test_the_application_sees_what_was_sent(running: Running) -> None:
    with closing(Client(running)) as client:
        client.say(get("http://other/seen?a=%20b"), get("/%73een", "1.0"))
        absolute, old = client.hear(), client.hear()
    assert b'"path":"/seen"' in absolute.body.replace(b" ", b"")
    assert b"a=%20b" in absolute.body
    assert b"HTTP/1.1" in absolute.body
    assert b"HTTP/1.0" in old.body


def test_large_bodies_and_answers_are_complete(running: Running) -> None:
    body = b'{"text":"%s"}' % (b"x" * (LIMIT - 100))
    with closing(Client(running)) as client:
        client.say(post(body, f"Content-Length: {len(body)}"))
        answer = client.hear()
        assert (answer.status, len(answer.body)) == (200, len(body))
        client.say(post(BODY, SIZED))  # and nothing of it is left over
        assert client.hear().body.replace(b" ", b"") == BODY


def test_clients_that_read_slowly_or_go_away_stop_nobody(running: Running) -> None:
    body = b'{"text":"%s"}' % (b"x" * (LIMIT - 100))
    with ExitStack() as stack:
        for _ in range(WORKERS * THREADS * 4):
            slow = stack.enter_context(closing(Client(running)))
            slow.say(post(body, f"Content-Length: {len(body)}"))
        stack.enter_context(closing(Client(running))).say(get("/seen")[:10])
        assert_others_are_served(running)
    assert_others_are_served(running)


def test_bodies_that_never_come_stop_nobody(running: Running) -> None:
    # With gunicorn a body that is waited for holds a thread.
    bodies = THREADS - 1 if running.server == "gunicorn" else 4 * WORKERS * THREADS
    with ExitStack() as stack:
        for _ in range(bodies):
            slow = stack.enter_context(closing(Client(running)))
            slow.say(post(BODY[:3], SIZED))
        assert_others_are_served(running)


def test_a_slowloris_of_500_connections_stops_nobody(running: Running) -> None:
    skip_where_gunicorn_does_less(running, "slowloris")
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(Client(running))) for _ in range(500)]
        for client in clients:
            client.say(get("/ping", "1.1", "X-A: b")[:-4])
        assert_others_are_served(running)
        for client in clients[:20]:
            client.say(b"\r\n\r\n")
            assert client.hear().status == 200


def test_metrics_are_those_of_all_processes(running: Running) -> None:
    before = _counted(running)
    threads = [threading.Thread(target=running.get, args=("/seen",)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    until(lambda: _counted(running) == before + 40, "requests were not counted")


def assert_others_are_served(running: Running) -> None:
    for _ in range(20):
        assert running.get("/seen")[0] == 200
    with closing(Client(running).say(post(BODY, SIZED))) as client:
        assert client.hear().status == 200


def calls(running: Running) -> int:
    """How often the handler of /echo was called, by all workers."""
    return _counter(running, 'route="/echo"')


def _counted(running: Running) -> int:
    return _counter(running, 'route="/seen"')


def _counter(running: Running, label: str) -> int:
    lines = running.get("/metrics")[2].decode().splitlines()
    found = [line for line in lines if line.startswith("http_requests_total") and label in line]
    return int(sum(float(line.rpartition(" ")[2]) for line in found if 'status="200"' in line))
