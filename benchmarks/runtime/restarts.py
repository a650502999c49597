"""Sixteen keep-alive connections that never stop asking, while workers are restarted at random
moments and the server is told to end in the middle; counts what became of the requests.

python benchmarks/runtime/restarts.py [--seconds 60] [--server pymacaron|gunicorn]
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
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.runtime.served import SERVERS, Running, serving
from tests.runtime.test_servers import SERVER, Load


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--server", choices=SERVERS, default=SERVERS[0])
    asked = parser.parse_args()
    outcomes = Counter[str]()
    events = Counter[str]()
    workers: set[int] = set()
    statuses = []
    for _ in range(2):  # the first server's end is the middle; the second takes over
        folder = Path(tempfile.mkdtemp(prefix="restarts-"))
        with serving(asked.server, folder, SERVER) as running, Load(running) as load:
            disturb(running, load, time.monotonic() + asked.seconds / 2, events)
            running.process.send_signal(signal.SIGTERM)
            statuses.append(running.process.wait(60))
        outcomes += load.outcomes
        workers |= load.pids
        if "SIGKILL" in running.log:
            outcomes["lost: a worker was killed"] += 1
    print(f"requests   {dict(outcomes)}")
    print(f"restarts   {dict(events)}, {len(workers)} workers answered")
    print(f"exit       {statuses}")
    return 0 if set(outcomes) == {"good"} and statuses == [0, 0] else 1


def disturb(running: Running, load: Load, end: float, events: Counter[str]) -> None:
    """Ends a worker now and then, and sometimes has all of them replaced; but only while both are
    at work: a server without any worker can take nothing."""
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, random.uniform(0.2, 1)))
        alive = [pid for pid in running.workers() if pid in load.pids]
        if len(alive) < 2:
            continue
        if random.random() < 0.2:
            running.process.send_signal(signal.SIGHUP)
            events["all workers"] += 1
        else:
            with suppress(ProcessLookupError):
                os.kill(random.choice(alive), signal.SIGTERM)
                events["one worker"] += 1


if __name__ == "__main__":
    sys.exit(main())
