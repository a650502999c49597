from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pymacaron.auth import generate_token
from pymacaron.config import PyMacaronConfig, get_config, use_config
from pymacaron.local_server import free_port
from pymacaron.pool import use_pool
from pymacaron.tasks import BrokerUnavailable, TaskFailed, TaskHandle, broker
from pymacaron.tasks.running import pause_after
from tests.runtime.tasks_service import (
    Redis,
    environment,
    notes,
    running_redis,
    running_worker,
    until,
    write_service,
)

pytestmark = pytest.mark.real("redis")


class Jobs:
    """The service in this process, its Redis, and one worker in processes of its own."""

    def __init__(self, folder: Path, redis: Redis) -> None:
        self.folder = folder
        self.redis = redis
        self.server = importlib.import_module("server")
        self.jobs: Any = importlib.import_module("jobs")

    def call(self, **options: Any) -> Any:
        token = f"Bearer {generate_token('ada')}"
        body = {"name": "x", "due": "2030-01-01T00:00:00Z", "parts": [{"number": 1}]}
        client = self.server.app.test_client()
        headers = {"Authorization": token, "X-Request-ID": "a-request"}
        return client.post("/v1/jobs", json=body, headers=headers, **options)

    def reports(self) -> str:
        file = self.folder / "reports.txt"
        return file.read_text() if file.exists() else ""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    folder = tmp_path_factory.mktemp("jobs")
    write_service(folder)
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.syspath_prepend(str(folder))
    patch.setattr(sys, "argv", ["gunicorn"])
    # How long a call waits for Redis is another test's: a busy machine must not fail the rest.
    patch.setattr(broker, "ANSWER_SECONDS", 30.0)
    before = use_config(PyMacaronConfig())
    with running_redis(folder) as redis, use_pool():
        yield Jobs(folder, redis)
    use_config(before)
    broker.process.forget()
    for name in ("server", "jobs"):
        sys.modules.pop(name, None)
    patch.undo()


@pytest.fixture(autouse=True)
def own_broker(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYM_BROKER_URL", jobs.redis.url)
    monkeypatch.setenv("PYM_TASK_LEASE", "2")


@contextmanager
def another_redis(folder: Path) -> Iterator[Redis]:
    """A Redis that only this test talks to."""
    before = broker.process.app, broker.process.gate, os.environ["PYM_BROKER_URL"]
    broker.process.app, broker.process.gate = None, broker.Gate()
    with running_redis(folder) as redis:
        os.environ["PYM_BROKER_URL"] = redis.url
        try:
            yield redis
        finally:
            broker.process.app, broker.process.gate, os.environ["PYM_BROKER_URL"] = before


@pytest.fixture(scope="module")
def worker(jobs: Jobs) -> Iterator[subprocess.Popen[bytes]]:
    with running_worker(jobs.folder, jobs.redis.url, PYM_TASK_LEASE="2") as process:
        yield process


@pytest.mark.usefixtures("worker")
def test_a_task_sees_what_its_request_saw_and_models_arrive_as_models(jobs: Jobs) -> None:
    answer = jobs.call(base_url="https://api.example.com")
    assert answer.status_code == 200
    seen = TaskHandle(answer.json["id"]).get(60)
    assert seen["user"] == "ada"
    assert seen["token"].count(".") == 2
    assert seen["request_id"] == "a-request"
    assert seen["url"] == "https://api.example.com/v1/jobs"
    assert seen["config"] == "jobs"
    assert seen["job"].parts[0].number == 1
    assert seen["pid"] != os.getpid()


@pytest.mark.usefixtures("worker")
def test_a_task_that_fails_is_tried_again_and_then_done(jobs: Jobs) -> None:
    handle = jobs.jobs.flaky.enqueue("flaky.txt")
    assert handle.get(60) == 3
    assert handle.state == "done"
    assert jobs.reports().count("task jobs.flaky failed and will be retried: not yet\n") == 2


@pytest.mark.usefixtures("worker")
def test_a_failure_is_reported_with_its_arguments_but_without_secrets(jobs: Jobs) -> None:
    handle = jobs.jobs.fail.enqueue(password="hunter2", job={"token": "s3cret", "size": 12})
    with pytest.raises(TaskFailed, match="ValueError: this can't be done"):
        handle.get(60)
    assert handle.state == "failed"
    report = jobs.reports().partition("task jobs.fail failed: this can't be done")[2]
    assert "'size': 12" in report
    assert "'attempt': 1" in report
    assert "hunter2" not in report
    assert "s3cret" not in report


@pytest.mark.usefixtures("worker")
def test_a_task_over_its_time_limit_fails(jobs: Jobs) -> None:
    with pytest.raises(TaskFailed, match="SoftTimeLimitExceeded"):
        jobs.jobs.endless.enqueue().get(60)


@pytest.mark.usefixtures("worker")
def test_a_delayed_task_waits(jobs: Jobs) -> None:
    began = time.time()
    assert jobs.jobs.later.enqueue().get(60) >= began + 1


@pytest.mark.usefixtures("worker")
def test_of_many_tasks_none_is_lost_and_none_is_done_twice(jobs: Jobs) -> None:
    for number in range(1000):
        jobs.jobs.note.enqueue(number)
    until("all are done", lambda: len(notes(jobs.folder)) >= 1000)
    assert sorted(notes(jobs.folder)) == list(range(1000))
    (jobs.folder / "notes.txt").unlink()
    client = jobs.redis.client
    until("all are acknowledged", lambda: not client.hlen("unacked"))
    assert not client.keys("pymacaron:taken:*")


def test_a_task_whose_worker_is_killed_is_done_by_another(jobs: Jobs, worker: object) -> None:
    (jobs.folder / "begun.txt").unlink(missing_ok=True)
    jobs.jobs.begin.enqueue(7, 3)
    begun = jobs.folder / "begun.txt"
    until("it began", lambda: begun.exists() and begun.read_text().endswith("\n"))
    child = int(begun.read_text().split()[0])
    os.kill(child, signal.SIGKILL)
    until("it is done", lambda: notes(jobs.folder) == [7])
    assert len(begun.read_text().splitlines()) == 2
    (jobs.folder / "notes.txt").unlink()


@pytest.mark.usefixtures("worker")
def test_a_task_that_kills_its_process_each_time_is_given_up(jobs: Jobs) -> None:
    with pytest.raises(TaskFailed, match="its process died 5 times"):
        jobs.jobs.deadly.enqueue().get(60)
    assert (jobs.folder / "deaths.txt").read_text() == "x" * 6
    assert "task jobs.deadly failed: its process died" in jobs.reports()


def test_tasks_of_a_worker_killed_with_its_master_come_back_within_a_lease(jobs: Jobs) -> None:
    (jobs.folder / "begun.txt").unlink(missing_ok=True)
    with another_redis(jobs.folder) as redis:
        with running_worker(jobs.folder, redis.url, PYM_TASK_LEASE="2") as first:
            for number in range(30):
                jobs.jobs.begin.enqueue(number, 0.2)
            until("some began", lambda: (jobs.folder / "begun.txt").exists())
            first.kill()
            first.wait()
        with running_worker(jobs.folder, redis.url, PYM_TASK_LEASE="2"):
            until("all are done", lambda: set(notes(jobs.folder)) == set(range(30)))
    (jobs.folder / "notes.txt").unlink()


def test_a_worker_told_to_end_finishes_its_task_and_ends_with_0(jobs: Jobs) -> None:
    (jobs.folder / "begun.txt").unlink(missing_ok=True)
    with (
        another_redis(jobs.folder) as redis,
        running_worker(jobs.folder, redis.url) as process,
    ):
        jobs.jobs.begin.enqueue(3, 1)
        until("it began", lambda: (jobs.folder / "begun.txt").exists())
        process.terminate()
        assert process.wait(60) == 0
    assert notes(jobs.folder) == [3]
    (jobs.folder / "notes.txt").unlink()


@pytest.mark.parametrize("hangs", [False, True])
def test_a_broker_that_is_down_is_a_503_soon_and_works_again_by_itself(
    jobs: Jobs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    hangs: bool,
) -> None:
    monkeypatch.setattr(broker, "ANSWER_SECONDS", 1.0)
    with another_redis(tmp_path) as redis:
        assert jobs.call().status_code == 200
        if hangs and redis.process:
            redis.process.send_signal(signal.SIGSTOP)
        else:
            redis.stop()
        answers = [jobs.call() for _ in range(3)]
        for answer in answers:
            assert answer.status_code == 503
            assert answer.json["error"] == "BROKER_UNAVAILABLE"
            assert f"127.0.0.1:{redis.port}/0 does not" in answer.json["error_description"]
        (error_id,) = {answer.json["error_id"] for answer in answers}
        said = [record.getMessage() for record in caplog.records]
        assert sum(error_id in line for line in said) == 1  # the report's
        if hangs and redis.process:
            redis.process.send_signal(signal.SIGCONT)
        else:
            redis.start()
        until("it works again", lambda: jobs.call().status_code == 200)


def test_a_broker_that_wants_another_password_says_so(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"redis://me:wr0ng@127.0.0.1:{jobs.redis.port}/0"
    monkeypatch.setenv("PYM_BROKER_URL", url)
    monkeypatch.setattr(broker.process, "app", None)
    monkeypatch.setattr(broker.process, "gate", broker.Gate())
    answer = jobs.call()
    assert answer.status_code == 503
    assert "refuses it (invalid username-password pair" in answer.json["error_description"]
    assert "wr0ng" not in answer.text


def test_a_task_that_a_worker_does_not_know_waits_for_one_that_does(jobs: Jobs) -> None:
    (jobs.folder / "newer.py").write_text(
        "from pymacaron.tasks import asynctask\n@asynctask()\ndef answer(): return 42\n"
    )
    (jobs.folder / "newer_server.py").write_text("import newer\nfrom server import app\n")
    newer: Any = importlib.import_module("newer")
    log = jobs.folder / "worker.log"
    with another_redis(jobs.folder) as redis, running_worker(jobs.folder, redis.url):
        handle = newer.answer.enqueue()
        until("it was seen", lambda: b"no task newer.answer is known" in log.read_bytes())
        with running_worker(jobs.folder, redis.url, "--server", "newer_server"):
            assert handle.get(100) == 42


def test_a_worker_over_its_memory_limit_is_replaced(jobs: Jobs) -> None:
    with (
        another_redis(jobs.folder) as redis,
        running_worker(jobs.folder, redis.url, "--concurrency", "1"),
    ):
        first = jobs.jobs.hoard.enqueue(0).get(60)
        assert jobs.jobs.hoard.enqueue(300).get(60) == first
        assert jobs.jobs.hoard.enqueue(0).get(60) != first


def test_the_memory_limit_of_workers_does_not_depend_on_who_starts_them(jobs: Jobs) -> None:
    tell = "from pymacaron.tasks.worker import memory_limit; print(memory_limit())"
    large = (
        "import subprocess, sys; held = b'x' * 500 * 2**20\n"
        "print(subprocess.check_output([sys.executable, '-c', sys.argv[1]], text=True))"
    )
    limit = subprocess.check_output(
        [sys.executable, "-c", large, tell], cwd=jobs.folder, text=True, timeout=100
    )
    assert int(limit) < 400 * 1024


def test_with_inline_as_fallback_a_task_runs_in_place_and_its_failure_is_reported(
    jobs: Jobs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PYM_BROKER_URL", Redis(tmp_path).url)
    app_before, broker.process.app = broker.process.app, None
    get_config().async_fallback = "inline"
    try:
        assert jobs.call().status_code == 200
        handle = jobs.jobs.fail.enqueue("x", None)
        assert handle.state == "failed"
        with pytest.raises(TaskFailed, match="this can't be done"):
            handle.get()
    finally:
        get_config().async_fallback = "error"
        broker.process.app = app_before
    said = [record.getMessage() for record in caplog.records]
    assert said.count("reported: the broker is down: tasks run in place") == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_beside_the_development_server_end_with_it_even_when_it_is_killed(
    jobs: Jobs, tmp_path: Path, number: signal.Signals
) -> None:
    write_service(tmp_path)
    log = tmp_path / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "server.py", "--port", str(free_port()), "--no-debug"],
            cwd=tmp_path,
            env=environment(jobs.redis.url),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        until("workers are ready", lambda: b" ready." in log.read_bytes())
        children = working_in(tmp_path) - {process.pid}
        assert children
        process.send_signal(number)
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    until("no process is left", lambda: not working_in(tmp_path))


def working_in(folder: Path) -> set[int]:
    """The processes whose working directory is a folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink() == folder and (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def test_outside_of_a_request_and_in_direct_a_task_is_a_plain_call(jobs: Jobs) -> None:
    with pytest.raises(ValueError, match="this can't be done"):
        jobs.jobs.fail("x", None)
    with pytest.raises(ValueError, match="this can't be done"):
        jobs.jobs.fail.direct("x", None)


def test_pauses_between_attempts_double_up_to_a_bound() -> None:
    assert 0.75 <= pause_after(1, 1) <= 1.25
    assert 6 <= pause_after(4, 1) <= 10
    assert pause_after(60, 1) <= 750


def test_a_brokers_password_is_never_shown() -> None:
    assert broker.shown_url("redis://me:pass@host:1/0") == "redis://host:1/0"
    assert isinstance(broker.unavailable(), BrokerUnavailable)
