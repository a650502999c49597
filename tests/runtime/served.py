"""A service in a process of its own, for the time of a test: as its container starts it, by either
server, or under its development server."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from pymacaron.local_server import free_port

BIN = Path(sys.executable).parent
SERVERS = ("pymacaron", "gunicorn")
SECRET = "the-secret-of-the-server-tests-0123456"
CONFIG = (
    "name: hello\nlive_url: https://x.example.com\njwt_secret: G_SECRET\nenv_secrets: [G_SECRET]\n"
)


class Running:
    """A server process and what it logged."""

    server = SERVERS[0]

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self._log = process, port, log
        self.folder = log.parent
        self.url = f"http://127.0.0.1:{port}"

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        with closing(self.connect()) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, headers, answer.read()

    def workers(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@contextmanager
def serving(
    server: str, folder: Path, code: str, settings: str = "", **environ: str
) -> Iterator[Running]:
    """`code` is server.py, `settings` come after those of CONFIG."""
    (folder / "server.py").write_text(code)
    (folder / "pym-config.yaml").write_text(f"{CONFIG}server: {server}\n{settings}")
    own = {
        "PYM_GUNICORN_WORKERS_COUNT": "2",
        "PYM_DRAIN_SECONDS": "0.5",
        "PYM_LOG_FORMAT": "json",
        "PYM_RELEASE": "r-17",
        "G_SECRET": SECRET,
        **environ,
    }
    with container(folder, folder / "log", own) as running:
        running.server = server
        yield running


@contextmanager
def container(
    folder: Path, log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """The service in a folder, started as its container would."""
    port = free_port()
    command = ["-m", "pymacaron.serve", "--bind", f"127.0.0.1:{port}"]
    own = {"PYM_GUNICORN_WORKERS_COUNT": "1", **(environ or {})}
    with _running(command, port, folder, log, own) as running:
        yield running


@contextmanager
def development_server(
    folder: Path, log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """The service in a folder, started by `python server.py`."""
    port = free_port()
    command = ["server.py", "--port", str(port)]
    with _running(command, port, folder, log, environ or {}) as running:
        yield running


@contextmanager
def _running(
    command: Sequence[str], port: int, folder: Path, log: Path, environ: Mapping[str, str]
) -> Iterator[Running]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={"PATH": os.environ["PATH"], **environ},
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
