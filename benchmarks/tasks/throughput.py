"""Tasks a second through one worker: plain Celery with the same settings, and ours, in turns.

    python benchmarks/tasks/throughput.py [--tasks 10000] [--rounds 3]

Both write one number a task; ours also restores a request and its user. Both
log each task. Prints the ratio of each
round, and whether a task was lost or done twice.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.runtime.tasks_service import (
    Redis,
    environment,
    notes,
    running_redis,
    running_worker,
    until,
    write_service,
)

PLAIN = """\
import os
from celery import Celery
app = Celery("plain", broker=os.environ["PYM_BROKER_URL"], backend=os.environ["PYM_BROKER_URL"])
app.conf.update(
    task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=4,
    worker_send_task_events=False, result_expires=3600,
)
@app.task
def note(number):
    fd = os.open("notes.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{number}\\n".encode())
    os.close(fd)
"""


def drained(folder: Path, count: int, kind: str) -> float:
    """Seconds from the first task done to the last."""
    until("the first", lambda: bool(notes(folder)), 120)
    first, already = time.perf_counter(), len(notes(folder))
    until("the last", lambda: len(notes(folder)) >= count, 600)
    seconds = time.perf_counter() - first
    numbers = notes(folder)
    assert sorted(numbers) == list(range(count)), f"{kind}: tasks were lost or done twice"
    (folder / "notes.txt").unlink()
    return seconds * count / (count - already)


def plain(folder: Path, redis: Redis, count: int) -> float:
    import plain_tasks

    for number in range(count):
        plain_tasks.note.apply_async((number,), ignore_result=False)
    command = [
        "-m",
        "celery",
        "-A",
        "plain_tasks",
        "worker",
        "-c",
        "2",
        "-O",
        "fair",
        "-l",
        "INFO",
    ]
    extra = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with (folder / "plain.log").open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, *command, *extra],
            cwd=folder,
            env=environment(redis.url),
            stdout=log,
            stderr=log,
        )
    try:
        return drained(folder, count, "plain")
    finally:
        worker.terminate()
        worker.wait(60)


def ours(folder: Path, redis: Redis, count: int) -> float:
    import jobs
    import server
    from flask import g

    with server.app.test_request_context("/v1/jobs", base_url="https://api.example.com"):
        g.current_user = {"sub": "ada", "token": "a.b.c"}
        for number in range(count):
            jobs.note(number)
    with running_worker(folder, redis.url, "--concurrency", "2"):
        return drained(folder, count, "ours")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="throughput-"))
    write_service(folder)
    (folder / "plain_tasks.py").write_text(PLAIN)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv = ["gunicorn"]
    with running_redis(folder) as redis:
        os.environ["PYM_BROKER_URL"] = redis.url
        for _ in range(asked.rounds):
            one, two = plain(folder, redis, asked.tasks), ours(folder, redis, asked.tasks)
            print(
                f"plain Celery {asked.tasks / one:.0f}/s, ours {asked.tasks / two:.0f}/s,"
                f" ratio {one / two:.2f}; none lost, none twice",
                flush=True,
            )


if __name__ == "__main__":
    main()
