"""gunicorn as the container starts it: nothing is lost when workers go or the end comes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pymacaron.local_server import free_port

SERVER = """
import os, time
from flask import Flask, request
from pymacaron.crash import ErrorHandling
app = Flask(__name__)

@app.get("/work")
def work():
    time.sleep(float(request.args.get("seconds", 0)))
    return {"pid": os.getpid(), "padding": "x" * 2000}

@app.get("/ping")
def ping():
    return {}

ErrorHandling().install(app)
"""
SECRET = "the-secret-of-the-gunicorn-tests-0123"
CONFIG = (
    "name: hello\nlive_url: https://x.example.com\njwt_secret: G_SECRET\nenv_secrets: [G_SECRET]\n"
)


class Running:
    """A gunicorn process and what it logged."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self._log = process, port, log

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        with closing(self.connect()) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()

    def workers(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


def until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@contextmanager
def gunicorn(folder: Path, **environ: str) -> Iterator[Running]:
    (folder / "server.py").write_text(SERVER)
    (folder / "pym-config.yaml").write_text(CONFIG)
    port, log = free_port(), folder / "log"
    command = [
        *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"),
        *("--config", "python:pymacaron.gunicorn", "server:app"),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "PYM_GUNICORN_WORKERS_COUNT": "2",
                "PYM_DRAIN_SECONDS": "0.5",
                "PYM_LOG_FORMAT": "json",
                "PYM_RELEASE": "r-17",
                "G_SECRET": SECRET,
                **environ,
            },
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    running = Running(process, port, log)
    try:

        def up() -> bool:
            assert process.poll() is None, running.log
            try:
                return running.get("/ping")[0] == 200
            except OSError:
                return False

        until(up, "the server did not start")
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


class Load:
    """Sixteen clients that keep their connections and never stop asking, until nobody listens."""

    def __init__(self, running: Running, clients: int = 16) -> None:
        self._running = running
        self.outcomes: Counter[str] = Counter()
        self.pids: set[int] = set()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(n,)) for n in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _client(self, number: int) -> None:
        path = f"/work?seconds={number % 4 / 200}"
        while not self._over.is_set():
            with closing(self._running.connect()) as connection:
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    return
                self._ask(connection, path)

    def _ask(self, connection: http.client.HTTPConnection, path: str) -> None:
        """One connection's life. Whatever was sent must be answered in full."""
        while connection.sock is not None and not self._over.is_set():
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                body = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.outcomes[f"lost: {type(error).__name__} {error}"] += 1
                return
            self.outcomes["good" if answer.status == 200 else f"status {answer.status}"] += 1
            self.pids.add(body["pid"])


def test_a_load_loses_nothing_while_workers_are_replaced_and_the_end_comes(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as running, Load(running) as load:
        until(lambda: load.outcomes["good"] > 200, "the load did not start")
        first = running.workers()
        for pid in first:
            os.kill(pid, signal.SIGTERM)
        until(lambda: not set(first) & set(running.workers()), "the workers were not replaced")
        running.process.send_signal(signal.SIGHUP)
        before = load.outcomes["good"]
        until(lambda: load.outcomes["good"] > before + 200, "the load stopped")
        running.process.send_signal(signal.SIGTERM)
        code = running.process.wait(30)
    assert set(load.outcomes) == {"good"}, load.outcomes
    assert code == 0
    assert len(load.pids) >= 4
    assert "SIGKILL" not in running.log


def test_workers_that_have_served_their_time_are_replaced_without_a_loss(tmp_path: Path) -> None:
    arguments = "--max-requests 60 --max-requests-jitter 20"
    with gunicorn(tmp_path, GUNICORN_CMD_ARGS=arguments) as running, Load(running) as load:
        until(lambda: len(load.pids) > 6, "the workers were not replaced")
    assert set(load.outcomes) == {"good"}, load.outcomes


def test_sigterm_says_not_ready_finishes_what_is_in_flight_and_exits_with_0(tmp_path: Path) -> None:
    answers: list[tuple[int, dict[str, str], bytes]] = []
    with gunicorn(tmp_path, PYM_DRAIN_SECONDS="1") as running:
        assert running.get("/ready")[0] == 200
        started = time.monotonic()
        slow = threading.Thread(target=lambda: answers.append(running.get("/work?seconds=2.5")))
        slow.start()
        with closing(running.connect()) as kept:
            kept.request("GET", "/ping")
            assert kept.getresponse().read() == b"{}\n"
            running.process.send_signal(signal.SIGTERM)
            until(lambda: running.get("/ready")[0] == 503, "still ready after SIGTERM", 0.9)
            kept.request("GET", "/ready")
            answer = kept.getresponse()
            assert answer.status == 503
            assert json.loads(answer.read()) == {"ready": False, "reason": "shutting down"}
        code = running.process.wait(30)
        took = time.monotonic() - started
        slow.join(10)
    status, _, body = answers[0]
    assert (status, len(json.loads(body)["padding"])) == (200, 2000)
    assert code == 0
    assert took < 30


def test_an_idle_server_stops_with_0(tmp_path: Path) -> None:
    with gunicorn(tmp_path, PYM_DRAIN_SECONDS="0") as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == 0


def test_requests_are_logged_once_in_json_and_probes_are_not(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as running:
        _, headers, _ = running.get("/work?token=s3cr3t-in-the-query")
        running.get("/nowhere%0AFAKE%20LINE")
        running.get("/ready")
        assert "gunicorn/" not in headers["Server"]
        assert headers["X-Content-Type-Options"] == "nosniff"
    lines = [json.loads(line) for line in running.log.splitlines()]
    requests = [line for line in lines if line["logger"] == "pymacaron.request"]
    assert [(line["path"], line["status"]) for line in requests] == [
        ("/work", 200),
        ("/nowhere\\nFAKE LINE", 404),
    ]
    first = requests[0]
    assert {k: first[k] for k in ("severity", "method", "release", "kind")} == {
        "severity": "INFO",
        "method": "GET",
        "release": "r-17",
        "kind": "FLASK",
    }
    assert first["request_id"] == headers["X-Request-ID"]
    assert first["ms"] > 0
    assert first["bytes"] == int(headers["Content-Length"])
    assert SECRET not in running.log
    assert "s3cr3t-in-the-query" not in running.log


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("/" + "x" * 9000, {}, 414),
        ("/work", {"X-Big": "x" * 9000}, 431),
        ("/work", {f"X-{n}": "x" for n in range(120)}, 431),
    ],
)
def test_requests_beyond_the_limits_are_refused(
    server: Running, line: str, headers: dict[str, str], status: int
) -> None:
    with closing(server.connect()) as connection:
        connection.request("GET", line, headers=headers)
        assert connection.getresponse().status == status


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with gunicorn(tmp_path_factory.mktemp("limits"), PYM_DRAIN_SECONDS="0") as running:
        yield running
