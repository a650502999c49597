"""What the tool adds to the cloud's own time in a blue/green deployment to Elastic Beanstalk.

    python -m benchmarks.beanstalk.overhead [rounds]

The simulated cloud's time is known: processing the version, launching, swapping, and the name's
late change. Each round deploys from a new process, so that imports and clients count too.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pymacaron_ci.simulator.beanstalk.state import Timings
from tests.ci.simulator.beanstalk_world import beanstalk
from tests.ci.targets.beanstalk_deploys import Deploys, release

TIMINGS = Timings(process=0.5, launch=3.0, swap=1.0, terminate=0.5, event=0.1, dns=0.5, monitor=0.1)
OWN = TIMINGS.process + TIMINGS.launch + TIMINGS.swap + TIMINGS.dns


def deployment(folder: Path, url: str, number: int) -> float:
    command = [sys.executable, "-m", "tests.ci.targets.beanstalk_child", str(folder), url]
    start = time.monotonic()
    subprocess.run([*command, str(number), "simulation"], check=True)
    return time.monotonic() - start


def main(rounds: int) -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        beanstalk(Path(name), timings=TIMINGS) as (
            server,
            _,
        ),
    ):
        folder = Path(name) / "service"
        assert Deploys(server, folder).deploy(release(1)).exit_code == 0
        added = [deployment(folder, server.url, n) - OWN for n in range(2, 2 + rounds)]
    print(f"the cloud's own time: {OWN:.1f} s a deployment")
    print(
        f"the tool adds {statistics.median(added):.2f} s (median of {rounds}), at most 2 s wanted"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
