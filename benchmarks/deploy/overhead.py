"""What the tool adds to a simulated cloud's own time in a second deployment.

    python -m benchmarks.deploy.overhead [rounds]

Each round commits a change and runs the whole command `pymacaron-ci deploy --simulate --no-test`,
against clouds of this process whose instances are threads. On Elastic Beanstalk the cloud's own
time is what it was told to take (processing, launching, swapping, the name's late change); on Cloud
Run it is what its answers took, waits that it holds included. All the rest is the tool's: starting,
computing, and having slept longer than need be.
"""

from __future__ import annotations

import compileall
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pymacaron_ci.simulator import client, clouds
from pymacaron_ci.simulator.beanstalk.server import BeanstalkServer
from pymacaron_ci.simulator.beanstalk.state import Timings
from pymacaron_ci.simulator.cloud_run.rollout import Timing
from pymacaron_ci.simulator.daemon import Daemon
from pymacaron_ci.simulator.record import take_lock
from pymacaron_ci.simulator.simulation import Simulation
from tests.ci.targets.cloud_run_world import ThreadRunner

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "helloworld"
CONFIGS = {"aws-beanstalk": "pym-config.aws.yaml", "gcp-cloud-run": "pym-config.yaml"}
WANTED = {"aws-beanstalk": 2.0, "gcp-cloud-run": 1.0}
TIMINGS = Timings(process=0.5, launch=3.0, swap=1.0, terminate=0.5, event=0.1, dns=0.5, monitor=0.1)
BEANSTALK_TAKES = TIMINGS.process + TIMINGS.launch + TIMINGS.swap + TIMINGS.dns
# As installed: with bytecode, and without a Docker engine to ask.
ENVIRONMENT = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"} | {
    "DOCKER_HOST": "unix:///nowhere/docker.sock",
    "HELLO_JWT_SECRET": "a-secret-for-the-rehearsal-that-is-long-enough",
}


class Watch:
    """How long Google's simulated APIs took since they were last asked."""

    def __init__(self, simulation: Simulation) -> None:
        self._begun: dict[int, float] = {}
        self._spans: list[tuple[float, float]] = []
        simulation.google.api.on_call = self._note

    def _note(self, request: object, served: bool) -> None:
        if served:
            self._spans.append((self._begun.pop(id(request)), time.monotonic()))
        else:
            self._begun[id(request)] = time.monotonic()

    def taken(self) -> float:
        """Calls that were made side by side count once."""
        total, end = 0.0, 0.0
        for start, stop in sorted(self._spans):
            total += max(0.0, stop - max(start, end))
            end = max(end, stop)
        self._spans.clear()
        return total


class Service:
    """The example service in a repository of its own."""

    def __init__(self, folder: Path, target: str) -> None:
        ignored = shutil.ignore_patterns("__pycache__", ".pymacaron", "pym-config*")
        shutil.copytree(EXAMPLE, folder, ignore=ignored)
        shutil.copy(EXAMPLE / CONFIGS[target], folder / "pym-config.yaml")
        self._folder, self._changes = folder, 0
        self._git("init", "-q")

    def _git(self, *arguments: str) -> None:
        names = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        subprocess.run(["git", *names, *arguments], cwd=self._folder, check=True)

    def change(self) -> None:
        self._changes += 1
        (self._folder / "helloworld" / "changed.py").write_text(f"x = {self._changes}\n")
        self._git("add", "-A")
        self._git("commit", "-q", "-m", "change")

    def deploy(self, state: Path) -> tuple[float, float]:
        """The seconds that the whole command took, and those of them that it computed."""
        command = [sys.executable, "-m", "pymacaron_ci", "deploy", "--simulate", "--no-test"]
        command += ["--simulator-state", str(state), "-C", str(self._folder)]
        cpu, begin = _cpu(), time.monotonic()
        done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
        took = time.monotonic() - begin
        if done.returncode:
            raise SystemExit(f"{done.stdout}\n{done.stderr}")
        return took, _cpu() - cpu


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(target: str, folder: Path, cloud_took: Callable[[], float], rounds: int) -> None:
    service = Service(folder / "service", target)
    added, computed = [], []
    for _ in range(rounds + 1):
        service.change()
        took, cpu = service.deploy(folder / "simulator")
        added.append(took - cloud_took())
        computed.append(cpu)
    print(  # without the first deployment, which makes what others only change
        f"{target}: the tool adds {statistics.median(added[1:]):.2f} s to the cloud's own time, "
        f"{statistics.median(computed[1:]):.2f} s of it CPU (median of {rounds}); "
        f"at most {WANTED[target]:.0f} s wanted",
        flush=True,
    )


@contextmanager
def simulated(state: Path) -> Iterator[Simulation]:
    """Clouds in this process that the command finds as if it had started them."""
    state.mkdir(parents=True)
    lock = take_lock(state)
    assert lock
    simulation = Simulation(
        state, environ={}, make_runner=ThreadRunner, timing=Timing(latency=0.01, startup=0.5)
    )
    with lock:
        yield simulation
        Daemon(state, simulation).run()  # until client.stop()


def main(rounds: int) -> None:
    compileall.compile_dir(ROOT / "pymacaron_ci", quiet=2)  # as an installer leaves it
    clouds.CLOUDS = {**clouds.CLOUDS, "aws": _aws}
    for target in CONFIGS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with simulated(folder / "simulator") as simulation:
                watch = Watch(simulation)
                took = watch.taken if target == "gcp-cloud-run" else lambda: BEANSTALK_TAKES
                measuring = threading.Thread(target=_rounds, args=(target, folder, took, rounds))
                measuring.start()
            measuring.join()


def _rounds(target: str, folder: Path, took: Callable[[], float], rounds: int) -> None:
    try:
        measure(target, folder, took, rounds)
    finally:
        client.stop(folder / "simulator")


def _aws(folder: Path, ground: clouds.Ground, port: int) -> clouds.Cloud:
    server = BeanstalkServer(folder, ground.runner, port=port, timings=TIMINGS)
    return clouds.Cloud(url=server.url, close=server.stop, services=server.services)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
