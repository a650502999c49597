"""A service with tasks as its author writes it, its Redis and its worker as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from pymacaron.local_server import free_port

CONFIG = """\
name: jobs
jwt_secret: a-secret-of-forty-characters-for-the-test
jwt_issuer: jobs.example.com
jwt_audience: jobs
with_async: true
worker_count: 2
report_call_exceeding_ms: 60000
"""
SPEC = """\
swagger: "2.0"
info: {title: jobs, version: "1"}
paths:
  /v1/jobs:
    post:
      x-bind-server: jobs.start
      x-decorate-server: pymacaron.auth.requires_auth
      parameters:
        - {in: body, name: body, required: true, schema: {$ref: "#/definitions/Job"}}
      responses:
        200: {description: ok, schema: {$ref: "#/definitions/Started"}}
definitions:
  Job:
    type: object
    properties:
      name: {type: string}
      due: {type: string, format: date-time}
      parts: {type: array, items: {$ref: "#/definitions/Part"}}
  Part:
    type: object
    properties: {number: {type: integer}}
  Started:
    type: object
    properties: {id: {type: string}, ms: {type: number}}
"""
SERVER = """\
import os
from flask import Flask
from pymacaron import API, letsgo
app = Flask(__name__)
def report(title, data, exception):
    with open("reports.txt", "a") as file:
        file.write(title + "\\n" + str(data) + "\\n")
def start(port, debug):
    api = API(app, port=port, debug=debug, error_reporter=report)
    api.load_apis("apis")
    api.start()
letsgo(__name__, callback=start)
"""
JOBS = """\
import json, os, time
from decimal import Decimal
from flask import request
from pymacaron import apipool
from pymacaron.auth import get_userid, get_user_token
from pymacaron.config import get_config
from pymacaron.context import request_id
from pymacaron_async import asynctask

def start(job):
    began = time.perf_counter()
    handle = do(job, {"parts": [job], "price": Decimal("1.10"), "raw": b"\\0\\xff"})
    return apipool.jobs.Started(id=handle.id, ms=(time.perf_counter() - began) * 1000)

@asynctask()
def do(job, more):
    assert type(job) is apipool.jobs.Job and type(more["parts"][0]) is apipool.jobs.Job
    assert more["price"] == Decimal("1.10") and more["raw"] == b"\\0\\xff"
    return {
        "user": get_userid(), "token": get_user_token(), "request_id": request_id(),
        "url": request.base_url, "config": get_config().name, "job": job, "pid": os.getpid(),
    }

@asynctask()
def note(number, seconds=0):
    time.sleep(seconds)
    fd = os.open("notes.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{number}\\n".encode())
    os.close(fd)

@asynctask()
def begin(number, seconds):
    fd = os.open("begun.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{os.getpid()} {os.getppid()}\\n".encode())
    os.close(fd)
    time.sleep(seconds)
    note.direct(number)

@asynctask(retries=2, backoff=0.05, retry_on=(OSError,))
def flaky(name):
    with open(name, "a") as file:
        file.write("x")
    if os.path.getsize(name) < 3:
        raise OSError("not yet")
    return os.path.getsize(name)

@asynctask()
def fail(password, job):
    raise ValueError("this can't be done")

@asynctask(retries=3)
def deadly():
    with open("deaths.txt", "a") as file:
        file.write("x")
    os.kill(os.getpid(), 9)

@asynctask()
def hoard(mebibytes):
    hoard.kept = b"x" * mebibytes * 2**20
    return os.getpid()

@asynctask(time_limit=1)
def endless():
    time.sleep(60)

@asynctask(delay=1)
def later():
    return time.time()
"""


def write_service(folder: Path) -> None:
    (folder / "apis").mkdir(parents=True, exist_ok=True)
    (folder / "pym-config.yaml").write_text(CONFIG)
    (folder / "apis" / "jobs.yaml").write_text(SPEC)
    (folder / "server.py").write_text(SERVER)
    (folder / "jobs.py").write_text(JOBS)


class Redis:
    """A Redis server of our own on loopback, which keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(port=self.port)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *("redis-server", "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", str(self.folder)),
            ],
            stdout=subprocess.DEVNULL,
        )
        until("redis answers", self._answers)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)  # where a test stopped it
            self.process.terminate()
            self.process.wait(20)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


@contextmanager
def running_redis(folder: Path) -> Iterator[Redis]:
    server = Redis(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def environment(url: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYM_BROKER_URL": url, "PYM_LOG_FORMAT": "text"}


@contextmanager
def running_worker(
    folder: Path, url: str, *options: str, **extra: str
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pymacaron.tasks.worker", *options],
            cwd=folder,
            env={**environment(url), **extra},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(what: str, condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)


def notes(folder: Path) -> list[int]:
    file = folder / "notes.txt"
    return [int(line) for line in file.read_text().split()] if file.exists() else []
