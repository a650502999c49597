"""A pod's memory on GKE is what the runtime's workers need, no less and not a worker more."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymacaron.resources import MASTER_MEM, Machine, get_gunicorn_worker_count
from pymacaron_ci.options import Settings
from pymacaron_ci.targets.gke.wanted import MASTER, memory

MEBIBYTE = 2**20


def workers(cpu: int, mebibytes: int, folder: Path) -> int:
    """As many as the runtime starts in a container with these limits."""
    (folder / "memory.max").write_text(str(mebibytes * MEBIBYTE))
    (folder / "cpu.max").write_text(f"{cpu * 100000} 100000")
    nowhere = folder / "none"
    machine = Machine(cgroups=folder, process=nowhere, meminfo=nowhere, cpus=64)
    return get_gunicorn_worker_count(machine=machine, environ={})


@pytest.mark.parametrize("cpu", [1, 2, 4])
def test_all_workers_that_the_cpus_are_for_fit_into_the_memory(cpu: int, tmp_path: Path) -> None:
    settings = Settings(name="hello", docker_repo="my-project")
    amount = memory(settings, cpu)
    mebibytes = int(amount.removesuffix("Mi"))
    assert amount == f"{mebibytes}Mi"
    assert workers(cpu, mebibytes, tmp_path) == 2 * cpu + 1
    assert workers(cpu, mebibytes - 1, tmp_path) == 2 * cpu
    assert MASTER == MASTER_MEM


def test_task_workers_have_memory_of_their_own() -> None:
    plain = Settings(name="hello", docker_repo="my-project")
    tasks = Settings(name="hello", docker_repo="my-project", with_async=True)
    four = Settings(name="hello", docker_repo="my-project", with_async=True, worker_count=4)
    amounts = [int(memory(s, 1).removesuffix("Mi")) for s in (plain, tasks, four)]
    assert amounts == [amounts[0], amounts[0] + 300, amounts[0] + 600]
