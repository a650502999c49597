"""Tasks a second through one worker: plain Celery with the same settings, and ours, in turns.

    python benchmarks/tasks/throughput.py [--tasks 10000] [--rounds 4]

Both write one number a task, keep its result and log each task; ours also restores a request and
its user. Beside the rate: the processor time that a worker and its processes take for a task, which
a busy machine disturbs less. Stops where a task was lost or done twice.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

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
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """Tasks in a second, and milliseconds of processor time that each took."""

    rate: float
    milliseconds: float


def plain_queue(count: int) -> None:
    import plain_tasks

    for number in range(count):
        plain_tasks.note.apply_async((number,), ignore_result=False)


@contextmanager
def plain_worker(folder: Path, redis: Redis) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        *(sys.executable, "-m", "celery", "-A", "plain_tasks"),
        *("worker", "-c", "2", "-O", "fair", "-l", "INFO"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
    with (folder / "plain.log").open("ab") as log:
        worker = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(redis.url),
            stdout=log,
            stderr=log,
        )
    try:
        yield worker
    finally:
        worker.terminate()
        worker.wait(60)


def our_queue(count: int) -> None:
    import jobs
    import server
    from flask import g

    with server.app.test_request_context("/v1/jobs", base_url="https://api.example.com"):
        g.current_user = {"sub": "ada", "token": "a.b.c"}
        for number in range(count):
            jobs.note(number)


def our_worker(folder: Path, redis: Redis) -> AbstractContextManager[subprocess.Popen[bytes]]:
    return running_worker(folder, redis.url, "--concurrency", "2")


def measured(
    folder: Path,
    count: int,
    queue: Callable[[int], None],
    worker: AbstractContextManager[subprocess.Popen[bytes]],
) -> Measured:
    """From the first task that is done to the last, so that no start counts."""
    queue(count)
    done = folder / "notes.txt"
    whole = len("".join(f"{number}\n" for number in range(count)))
    with worker as process:
        until("the first", lambda: done.exists() and done.stat().st_size > 0, 120)
        began, cpu = time.perf_counter(), processor_seconds(process.pid)
        already = len(notes(folder))
        until("the last", lambda: done.stat().st_size >= whole, 600)
        seconds = time.perf_counter() - began
        cpu = processor_seconds(process.pid) - cpu
        assert sorted(notes(folder)) == list(range(count)), "tasks were lost or done twice"
    done.unlink()
    return Measured((count - already) / seconds, 1000 * cpu / (count - already))


def processor_seconds(pid: int) -> float:
    """Of a process and its children, those that are gone included."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if pid in (int(entry.name), int(fields[1])):
                ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICK


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=4)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="throughput-"))
    write_service(folder)
    (folder / "plain_tasks.py").write_text(PLAIN)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv = ["gunicorn"]
    rates, costs = [], []
    with running_redis(folder) as redis:
        os.environ["PYM_BROKER_URL"] = redis.url
        for number in range(asked.rounds):
            found = {}
            for ours in (number % 2 == 0, number % 2 == 1):
                queue, worker = (our_queue, our_worker) if ours else (plain_queue, plain_worker)
                found[ours] = measured(folder, asked.tasks, queue, worker(folder, redis))
            rates.append(found[True].rate / found[False].rate)
            costs.append(found[False].milliseconds / found[True].milliseconds)
            print(
                f"plain Celery {found[False].rate:.0f}/s, ours {found[True].rate:.0f}/s: ratio"
                f" {rates[-1]:.2f}; processor {found[False].milliseconds:.2f} ms and"
                f" {found[True].milliseconds:.2f} ms a task: ratio {costs[-1]:.2f}",
                flush=True,
            )
    print(f"median: {median(rates):.2f}; by processor time {median(costs):.2f}")


if __name__ == "__main__":
    main()
