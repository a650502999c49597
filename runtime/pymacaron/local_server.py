"""Servers that tests start for themselves, on loopback: a service's folder, or its Docker image."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO

START_SECONDS = 60
STOP_SECONDS = 15
LINES_SHOWN = 40


@contextmanager
def server_of_folder(folder: Path, with_workers: bool = False) -> Iterator[str]:
    """The URL of `server:app` of a folder, served as in its container, on a free port; with the
    workers of its tasks beside it, if so wanted.

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
        **os.environ,
        "PORT": str(port),
    }
    nothing: AbstractContextManager[dict[str, str]] = nullcontext({})
    with (
        _workers(folder, environ) if with_workers else nothing as instead,
        tempfile.TemporaryFile() as log,
        _running(command, folder, {**environ, **instead}, log) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        if not answers(url, lambda: process.poll() is None):
            raise RuntimeError(f"the service did not start:\n{_tail(log)}")
        yield url


@contextmanager
def _workers(folder: Path, environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Workers for the service of a folder, ready to work. Without Redis or Celery, which is told,
    what makes the server run its tasks itself."""
    ready, told = os.pipe()
    command = [sys.executable, "-m", "pymacaron.tasks.worker", "--ready-pipe", str(told)]
    with (
        os.fdopen(ready, "rb") as pipe,
        tempfile.TemporaryFile() as log,
        _running(command, folder, environ, log, pass_fds=(told,)),
    ):
        os.close(told)
        if select.select([pipe], [], [], START_SECONDS)[0] and pipe.read(1):
            yield {}
        else:
            why = _tail(log).rpartition("\n")[2]
            print(f"=> no workers: tasks run in the server ({why})", file=sys.stderr, flush=True)
            yield {"PYM_ASYNC_FALLBACK": "inline"}


@contextmanager
def _running(
    command: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    log: IO[bytes],
    pass_fds: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT, pass_fds=pass_fds
    )
    try:
        yield process
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


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    text = log.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-LINES_SHOWN:])
