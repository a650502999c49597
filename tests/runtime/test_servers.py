"""A service as its container starts it, under either server: nothing is lost when workers go or the
end comes."""

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
from contextlib import closing
from pathlib import Path

import pytest

from tests.runtime.served import SECRET, SERVERS, Running, serving, until

by_both = pytest.mark.parametrize("server", SERVERS)

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


@by_both
def test_a_load_loses_nothing_while_workers_are_replaced_and_the_end_comes(
    server: str, tmp_path: Path
) -> None:
    with serving(server, tmp_path, SERVER) as running, Load(running) as load:
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


@by_both
def test_workers_that_have_served_their_time_are_replaced_without_a_loss(
    server: str, tmp_path: Path
) -> None:
    with serving(server, tmp_path, SERVER, PYM_MAX_REQUESTS="60") as running, Load(running) as load:
        until(lambda: len(load.pids) > 6, "the workers were not replaced")
    assert set(load.outcomes) == {"good"}, load.outcomes


@by_both
def test_sigterm_says_not_ready_finishes_what_is_in_flight_and_exits_with_0(
    server: str, tmp_path: Path
) -> None:
    answers: list[tuple[int, dict[str, str], bytes]] = []
    with serving(server, tmp_path, SERVER, PYM_DRAIN_SECONDS="1") as running:
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


@by_both
def test_an_idle_server_stops_with_0(server: str, tmp_path: Path) -> None:
    with serving(server, tmp_path, SERVER, PYM_DRAIN_SECONDS="0") as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == 0


@by_both
def test_requests_are_logged_once_in_json_and_probes_are_not(server: str, tmp_path: Path) -> None:
    with serving(server, tmp_path, SERVER) as running:
        _, headers, _ = running.get("/work?token=s3cr3t-in-the-query")
        running.get("/nowhere%0AFAKE%20LINE")
        running.get("/ready")
        assert headers["server"] in ("pymacaron", "gunicorn")  # no version
        assert headers["x-content-type-options"] == "nosniff"
    lines = [json.loads(line) for line in running.log.splitlines()]
    requests = [line for line in lines if line["logger"] == "pymacaron.request"]
    requests.sort(key=lambda line: line["time"])  # each worker writes its own a moment later
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
    assert first["request_id"] == headers["x-request-id"]
    assert first["ms"] > 0
    assert first["bytes"] == int(headers["content-length"])
    assert SECRET not in running.log
    assert "s3cr3t-in-the-query" not in running.log


@by_both
def test_a_killed_worker_is_replaced(server: str, tmp_path: Path) -> None:
    with serving(server, tmp_path, SERVER) as running:
        until(lambda: "ready: 2 workers" in running.log, "the workers did not start")
        killed = running.workers()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(set(running.workers()) - set(killed)) == 2, "they were not replaced")
        assert running.get("/work")[0] == 200


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nothing_of_this_name\n", "nothing_of_this_name"),
        (
            "from pymacaron.config import ConfigError\nraise ConfigError('no x is set')",
            "no x is set",
        ),
    ],
)
@by_both
def test_a_service_that_can_not_start_says_so_and_ends(
    server: str, tmp_path: Path, code: str, told: str
) -> None:
    with pytest.raises(AssertionError, match=told), serving(server, tmp_path, code):
        pass


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("server:app", "there is no server.py in "),
        ("json:application", "json holds no application"),
    ],
)
def test_nothing_to_serve_is_told_without_a_traceback(
    tmp_path: Path, target: str, told: str
) -> None:
    command = [sys.executable, "-m", "pymacaron.serve", target, "--bind", "127.0.0.1:0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_setting_that_names_no_server_stops_the_start(tmp_path: Path) -> None:
    expected = "server is 'apache': expected pymacaron or gunicorn"
    with pytest.raises(AssertionError, match=expected), serving("apache", tmp_path, SERVER):
        pass


def test_a_load_loses_nothing_when_the_service_is_loaded_before_the_workers(tmp_path: Path) -> None:
    environ = {"PYM_GUNICORN_PRELOAD": "1", "PYM_MAX_REQUESTS": "60"}
    with serving("pymacaron", tmp_path, SERVER, **environ) as running, Load(running) as load:
        until(lambda: len(load.pids) > 6, "the workers were not replaced")
    assert set(load.outcomes) == {"good"}, load.outcomes
