"""Servers that tests start for themselves, on loopback: a service's folder, or its Docker image."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60
STOP_SECONDS = 15
LINES_SHOWN = 40


@contextmanager
def server_of_folder(folder: Path) -> Iterator[str]:
    """The URL of `server:app` of a folder, served as in its container, on a free port; but its
    tasks run in the requests that call them: tests need no Redis, and nothing to wait for.

    Raises RuntimeError, with the last lines of its log, when it does not come up.
    """
    if not (folder / "server.py").is_file():
        raise RuntimeError(f"there is no server.py in {folder}: nothing to start")
    port = free_port()
    command = [sys.executable, "-m", "pymacaron.serve", "--bind", f"127.0.0.1:{port}"]
    environ = {
        "PYM_ENV": "dev",
        "PYM_GUNICORN_WORKERS_COUNT": "1",
        "PYM_DRAIN_SECONDS": "0.1",
        "PYM_LOG_FORMAT": "text",
        "PYM_TASKS_IN_PLACE": "1",
        **os.environ,
        "PORT": str(port),
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            url = f"http://127.0.0.1:{port}"
            if not answers(url, lambda: process.poll() is None):
                raise RuntimeError(f"the service did not start:\n{_tail(log)}")
            yield url
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def container_of_image(image: str, secrets: Sequence[str]) -> Iterator[str]:
    """The URL of a container of an image. Secrets go from this environment to the container by
    name: no value stands in a command. Raises RuntimeError when it does not come up."""
    missing = [name for name in secrets if not os.environ.get(name)]
    if missing:
        raise RuntimeError(f"not set in the environment: {', '.join(missing)}")
    names = [argument for name in secrets for argument in ("--env", name)]
    env = os.environ.get("PYM_ENV", "dev")
    container = _docker(
        *("run", "--detach", "--publish", "127.0.0.1::8080"),
        *("--env", "PORT=8080", "--env", f"PYM_ENV={env}"),
        *names,
        image,
    )
    try:
        url = f"http://{_docker('port', container, '8080/tcp').splitlines()[0]}"
        if not answers(
            url, lambda: _docker("inspect", "-f", "{{.State.Running}}", container) == "true"
        ):
            raise RuntimeError(f"the container did not start:\n{_docker('logs', container)}")
        yield url
    finally:
        _docker("rm", "--force", container)


def answers(url: str, alive: Callable[[], bool]) -> bool:
    """Waits until /ping answers; False when the server ends before, or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    pause = threading.Event()
    while time.monotonic() < deadline and alive():
        try:
            with urllib.request.urlopen(f"{url}/ping", timeout=5) as answer:  # noqa: S310  (loopback)
                if answer.status == 200:
                    return True
        except (urllib.error.URLError, OSError):
            pause.wait(0.1)
    return False


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _docker(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=300, check=False
        )
    except FileNotFoundError as error:
        raise RuntimeError("docker is not installed: testing an image needs it") from error
    if done.returncode != 0:
        raise RuntimeError(f"docker {arguments[0]}: {done.stderr.strip()}")
    return (done.stdout or done.stderr).strip()


def _tail(log: object) -> str:
    log.seek(0)  # type: ignore[attr-defined]
    text = log.read().decode("utf-8", "replace")  # type: ignore[attr-defined]
    return "\n".join(text.splitlines()[-LINES_SHOWN:])
