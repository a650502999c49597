"""Kills workers with SIGKILL at random moments while they work; counts what became of the tasks.

python benchmarks/tasks/kills.py [--tasks 2000] [--kills 100]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.runtime.tasks_service import (
    notes,
    running_redis,
    running_worker,
    until,
    write_service,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=900, help="gives up after that")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    write_service(folder)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv = ["gunicorn"]
    began = time.monotonic()
    kills = Counter[str]()
    with running_redis(folder) as redis:
        os.environ["PYM_BROKER_URL"] = redis.url
        import jobs

        for number in range(asked.tasks):
            jobs.note.enqueue(number, 0.02)
        # About as long as the tasks take, so that most kills meet a task.
        pause = 0.5
        while time.monotonic() - began < asked.seconds:
            with ExitStack() as stack:
                worker = stack.enter_context(
                    running_worker(folder, redis.url, "--concurrency", "2", PYM_TASK_LEASE="2")
                )
                # A kill of what has not begun proves nothing.
                until("its processes are there", lambda pid=worker.pid: bool(children_of(pid)))
                while time.monotonic() - began < asked.seconds:
                    if set(notes(folder)) == set(range(asked.tasks)):
                        break
                    time.sleep(random.uniform(0, 2 * pause))
                    if kills.total() < asked.kills:
                        children = children_of(worker.pid)
                        if kills["child"] < 0.7 * asked.kills and children:
                            os.kill(random.choice(children), signal.SIGKILL)
                            kills["child"] += 1
                        else:
                            kills["master"] += 1
                            worker.kill()
                            worker.wait()
                            break
            if set(notes(folder)) == set(range(asked.tasks)):
                break
        waiting = redis.client.llen("celery")
    done = Counter(notes(folder))
    lost = asked.tasks - len(done)
    print(
        f"{asked.tasks} tasks, {kills['child']} processes and {kills['master']} masters killed:"
        f" {lost} lost, {sum(n > 1 for n in done.values())} done more than once,"
        f" {waiting} left over, {time.monotonic() - began:.0f} s"
    )
    return 1 if lost else 0


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


if __name__ == "__main__":
    sys.exit(main())
