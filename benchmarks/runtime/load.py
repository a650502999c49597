"""wrk, pinned to a core of its own."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from cases import Case
from servers import Running


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Requests per second, CPU microseconds of the server for each, latencies in milliseconds."""

    rate: float
    cpu: float
    mean: float
    p99: float


def load(
    running: Running, case: Case, *, connections: int, seconds: int, core: int, folder: Path,
    delay: int = 0,
) -> Sample:  # fmt: skip
    script = folder / "script.lua"
    script.write_text(case.script(delay))
    before = running.cpu_seconds()
    done = subprocess.run(
        [
            *("taskset", "-c", str(core), "wrk", "--threads", "1"),
            *("--connections", str(connections), "--duration", f"{seconds}s"),
            *("--timeout", "10s", "--script", str(script)),
            f"http://127.0.0.1:{running.port}{case.path}",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    used = running.cpu_seconds() - before
    told = next((line for line in done.stdout.splitlines() if line.startswith("told ")), None)
    if told is None:
        raise RuntimeError(f"wrk told nothing: {done.stdout}{done.stderr}")
    requests, duration, errors, mean, p99 = map(int, told.split()[1:])
    if not requests or errors > requests * 0.001:
        raise RuntimeError(f"{running.server.name}, {case.name}: {errors} errors in {requests}")
    return Sample(
        rate=requests / duration * 1e6, cpu=used / requests * 1e6, mean=mean / 1e3, p99=p99 / 1e3
    )
