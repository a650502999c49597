"""A service under `pymacaron-serve`, by either server, for the time of a test."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pymacaron.local_server import free_port

SERVERS = ("granian", "gunicorn")
SECRET = "the-secret-of-the-server-tests-0123456"
CONFIG = (
    "name: hello\nlive_url: https://x.example.com\njwt_secret: G_SECRET\nenv_secrets: [G_SECRET]\n"
)


class Running:
    """A server process and what it logged."""

    def __init__(self, server: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.server, self.process, self.port, self._log = server, process, port, log

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


def until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
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
    port, log = free_port(), folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "pymacaron.serve", "--bind", f"127.0.0.1:{port}"],
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
    running = Running(server, process, port, log)
    try:

        def up() -> bool:
            assert process.poll() is None, running.log
            try:
                return running.get("/ping")[0] == 200
            except OSError:
                return False

        until(up, "the server did not start", 60)
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
