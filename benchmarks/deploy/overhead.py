"""What the tool adds to a simulated cloud's own time in a second deployment.

    python -m benchmarks.deploy.overhead [rounds]

Each round deploys from a new process, so that imports and clients count. On Elastic Beanstalk the
cloud's own time is what it was told to take (processing, launching, swapping, the name's late
change); on Cloud Run it is what its answers took, waits that it holds included. All the rest is the
tool's: computing, and having slept longer than need be.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from pymacaron_ci.simulator.beanstalk.names import PATIENCE
from pymacaron_ci.simulator.beanstalk.state import Timings
from tests.ci.simulator.beanstalk_world import beanstalk
from tests.ci.targets import beanstalk_deploys, cloud_run_world
from tests.ci.targets.beanstalk_deploys import Deploys
from tests.ci.targets.cloud_run_world import FastClock, World, world

WANTED = {"aws-beanstalk": 2.0, "gcp-cloud-run": 1.0}
TIMINGS = Timings(process=0.5, launch=3.0, swap=1.0, terminate=0.5, event=0.1, dns=0.5, monitor=0.1)

# the arguments of a deployment, and the seconds that the cloud took since it was last asked
Bed = tuple[list[str], Callable[[], float]]


@contextmanager
def on_beanstalk(folder: Path) -> Iterator[Bed]:
    with beanstalk(folder / "simulator", timings=TIMINGS) as (server, _):
        assert (
            Deploys(server, folder / "service").deploy(beanstalk_deploys.release(1)).exit_code == 0
        )
        own = TIMINGS.process + TIMINGS.launch + TIMINGS.swap + TIMINGS.dns
        yield [server.url, str(folder / "service")], lambda: own


@contextmanager
def on_cloud_run(folder: Path) -> Iterator[Bed]:
    begun: dict[int, float] = {}
    spans: list[tuple[float, float]] = []

    def watch(request: object, served: bool) -> None:
        if served:
            spans.append((begun.pop(id(request)), time.monotonic()))
        else:
            begun[id(request)] = time.monotonic()

    def taken() -> float:
        """Calls that were made side by side count once."""
        total, end = 0.0, 0.0
        for start, stop in sorted(spans):
            total += max(0.0, stop - max(start, end))
            end = max(end, stop)
        spans.clear()
        return total

    with world(folder / "simulator") as cloud:
        assert cloud.deploy(cloud_run_world.release("1")).exit_code == 0
        cloud.simulation.google.api.on_call = watch
        yield [cloud.simulation.google.url, cloud.simulation.endpoints.registry], taken


def deploy(target: str, url: str, place: str, number: str) -> int:
    if target == "aws-beanstalk":
        deploys = Deploys(SimpleNamespace(url=url), Path(place))  # type: ignore[arg-type]
        return deploys.deploy(beanstalk_deploys.release(number), patience=PATIENCE).exit_code
    simulation = SimpleNamespace(
        google=SimpleNamespace(url=url), endpoints=SimpleNamespace(registry=place)
    )
    cloud = World(simulation, clock=FastClock(1))  # type: ignore[arg-type]
    return cloud.deploy(cloud_run_world.release(number)).exit_code


def measure(target: str, bed: Bed, rounds: int) -> None:
    where, cloud_took = bed
    added, computed = [], []
    for number in range(2, 2 + rounds):
        cpu, begin = _cpu(), time.monotonic()
        command = [sys.executable, "-m", "benchmarks.deploy.overhead", target, *where, str(number)]
        subprocess.run(command, check=True)
        computed.append(_cpu() - cpu)
        added.append(time.monotonic() - begin - cloud_took())
    print(
        f"{target}: the tool adds {statistics.median(added):.2f} s to the cloud's own time, "
        f"{statistics.median(computed):.2f} s of it CPU (median of {rounds}); "
        f"at most {WANTED[target]:.0f} s wanted",
        flush=True,
    )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(rounds: int) -> None:
    for target, make in (("aws-beanstalk", on_beanstalk), ("gcp-cloud-run", on_cloud_run)):
        with tempfile.TemporaryDirectory() as name, make(Path(name)) as bed:
            measure(target, bed, rounds)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(deploy(*sys.argv[1:]))
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
