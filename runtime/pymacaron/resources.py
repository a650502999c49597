"""How much of the machine this container may use, and how many workers fit into it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pymacaron.config import get_config

MEBIBYTE = 1 << 20
# What one worker needs, in MiB; measured on services with the usual libraries, with room to grow.
GUNICORN_WORKER_MEM = 250
CELERY_WORKER_MEM = 150
# Half of the 2.x figure: a small container does better with a second, tight worker than with one
# that stops the service when it is replaced. Only used where memory, not CPU, is what is short.
SMALLEST_WORKER_MEM = 125
MASTER_MEM = 50
MOST_WORKERS = 33
THREADS = 4
MOST_THREADS = 64
# A cgroup v1 without a limit says so with a number close to 2**63.
UNLIMITED = 1 << 60


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where the limits are read from; tests point it at folders of their own."""

    cgroups: Path = Path("/sys/fs/cgroup")
    process: Path = Path("/proc/self/cgroup")
    meminfo: Path = Path("/proc/meminfo")
    cpus: int = field(default_factory=lambda: _usable_cpus())

    def cpu_limit(self) -> float:
        """The CPUs this process may use at a time, fractions included."""
        limits = [float(self.cpus)]
        for folder in self._folders("cpu"):
            quota = _words(folder / "cpu.max")  # v2: "<quota|max> <period>"
            if len(quota) < 2:
                quota = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
            numbers = [_number(word) for word in quota[:2]]
            if len(numbers) == 2 and numbers[0] and numbers[1]:
                limits.append(numbers[0] / numbers[1])
        return min(limits)

    def memory_limit(self) -> int | None:
        """The bytes of memory this process may use, None if unknown."""
        limits = []
        for folder in self._folders("memory"):
            for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
                words = _words(folder / name)
                number = _number(words[0]) if words else None
                if number and number < UNLIMITED:
                    limits.append(number)
        for line in _lines(self.meminfo):
            if line.startswith("MemTotal:"):
                limits.append(int(line.split()[1]) * 1024)
        return min(limits) if limits else None

    def _folders(self, controller: str) -> Iterator[Path]:
        """The cgroups this process is in, from its own up to the root: the tightest limit counts.
        Inside a container the own path is often one of the host's, and only the root is there."""
        paths = {""}
        for line in _lines(self.process):
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0" or controller in controllers.split(","):
                parts = [part for part in path.split("/") if part not in ("", "..")]
                paths.update("/".join(parts[:n]) for n in range(1, len(parts) + 1))
        for root in (self.cgroups, self.cgroups / controller, self.cgroups / "cpu,cpuacct"):
            for path in sorted(paths):
                yield root / path


def _usable_cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def _words(file: Path) -> list[str]:
    lines = _lines(file)
    return lines[0].split() if lines else []


def _number(word: str) -> int | None:
    """A positive number, or None: `max` and -1 mean no limit."""
    return int(word) if word.isascii() and word.isdigit() and int(word) > 0 else None


def get_gunicorn_worker_count(
    cpu_count: float | None = None,
    *,
    machine: Machine | None = None,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Worker processes: 2 x CPUs + 1, as many as fit into memory, at least one.

    PYM_GUNICORN_WORKERS_COUNT in the environment decides alone; ValueError if it is no number.
    """
    asked = _asked("PYM_GUNICORN_WORKERS_COUNT", environ)
    if asked:
        return asked
    machine = machine or Machine()
    by_cpu = int(2 * (cpu_count or machine.cpu_limit()) + 1)
    memory = machine.memory_limit()
    by_memory = MOST_WORKERS
    if memory:
        free = memory / MEBIBYTE - MASTER_MEM - _celery_memory(cpu_count)
        by_memory = int(free // GUNICORN_WORKER_MEM)
        if by_memory < 2:
            by_memory = min(2, int(free // SMALLEST_WORKER_MEM))
    return max(1, min(by_cpu, by_memory, MOST_WORKERS))


def get_gunicorn_thread_count(workers: int, *, environ: Mapping[str, str] = os.environ) -> int:
    """Threads of each worker: enough for the requests the platform sends at a time
    (gcp_request_concurrency on Cloud Run), else 4. PYM_GUNICORN_THREADS_COUNT decides alone."""
    asked = _asked("PYM_GUNICORN_THREADS_COUNT", environ)
    if asked:
        return asked
    if "K_SERVICE" in environ:
        concurrency = get_config().get("gcp_request_concurrency", 10)
        if isinstance(concurrency, int):
            return max(THREADS, min(MOST_THREADS, math.ceil(concurrency / workers)))
    return THREADS


def get_celery_worker_count(cpu_count: float | None = None) -> int:
    """Celery processes: worker_count of the configuration, else 2 x CPUs, at least 2."""
    asked = get_config().get("worker_count")
    if asked:
        return int(asked)
    return max(2, int(2 * (cpu_count or Machine().cpu_limit())))


def get_memory_limit(
    default_celery_worker_count: int | None = None, cpu_count: float | None = None
) -> int:
    """The memory, in MiB, that all workers together need."""
    celery = default_celery_worker_count or get_celery_worker_count(cpu_count=cpu_count)
    gunicorn = get_gunicorn_worker_count(cpu_count=cpu_count)
    return gunicorn * GUNICORN_WORKER_MEM + celery * CELERY_WORKER_MEM


def get_celery_worker_memory_limit() -> int:
    """The memory of a Celery worker, in KiB, after which it is replaced."""
    return CELERY_WORKER_MEM * 1024


def _celery_memory(cpu_count: float | None) -> float:
    if not get_config().get("with_async"):
        return 0
    return get_celery_worker_count(cpu_count) * CELERY_WORKER_MEM


def _asked(name: str, environ: Mapping[str, str]) -> int | None:
    value = environ.get(name, "").strip()
    if not value:
        return None
    if not (value.isascii() and value.isdigit()) or int(value) < 1:
        raise ValueError(f"{name} is {value!r}: expected a whole number from 1")
    return int(value)
