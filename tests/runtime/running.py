"""A service under its server, or its development server, for the time of a test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(folder: Path, log: Path, environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """The URL of the service in a folder, started as its container would."""
    port = free_port()
    command = [sys.executable, "-m", "pymacaron.serve", "--bind", f"127.0.0.1:{port}"]
    own = {"PYM_GUNICORN_WORKERS_COUNT": "1", **(environ or {})}
    with _running(command, port, folder, log, own) as url:
        yield url


@contextmanager
def development_server(
    folder: Path, log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The URL of the service in a folder, started by `python server.py`."""
    port = free_port()
    command = [sys.executable, "server.py", "--port", str(port)]
    with _running(command, port, folder, log, environ or {}) as url:
        yield url


@contextmanager
def _running(
    command: list[str], port: int, folder: Path, log: Path, environ: Mapping[str, str]
) -> Iterator[str]:
    own = {"PATH": os.environ["PATH"], "PORT": str(port), **environ}
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=own, stdout=out, stderr=out)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, process, log)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the service ended: {log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"{url}/ping", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise TimeoutError(log.read_text()[-2000:])
