"""How many workers fit into a container, read from the cgroup's own files."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pymacaron import resources
from pymacaron.config import PyMacaronConfig
from pymacaron.resources import (
    Machine,
    get_celery_worker_count,
    get_celery_worker_memory_limit,
    get_gunicorn_thread_count,
    get_gunicorn_worker_count,
    get_memory_limit,
)
from tests.runtime.conftest import WriteConfig

GIB = 1 << 30
CONFIGURATION = Path(resources.__file__).with_name("gunicorn.py")
UNLIMITED_V1 = 9223372036854771712


def machine(
    tmp_path: Path, files: Mapping[str, object], *, process: str = "0::/\n", cpus: int = 8
) -> Machine:
    """A machine of eight CPUs and 64 GiB whose cgroup files say this."""
    for name, content in files.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    (tmp_path / "self").write_text(process)
    (tmp_path / "meminfo").write_text("MemTotal:       67108864 kB\nMemFree: 1 kB\n")
    return Machine(
        cgroups=tmp_path / "cgroup",
        process=tmp_path / "self",
        meminfo=tmp_path / "meminfo",
        cpus=cpus,
    )


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "50000 100000"}, 0.5),
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "3200000 100000"}, 8),
        ({"cpu.max": ""}, 8),
        ({"cpu.max": "what is this"}, 8),
        ({"cpu/cpu.cfs_quota_us": 150000, "cpu/cpu.cfs_period_us": 100000}, 1.5),
        ({"cpu/cpu.cfs_quota_us": -1, "cpu/cpu.cfs_period_us": 100000}, 8),
        ({"cpu,cpuacct/cpu.cfs_quota_us": 100000, "cpu,cpuacct/cpu.cfs_period_us": 100000}, 1),
        ({}, 8),
    ],
)
def test_the_cpu_limit_is_the_cgroups(
    tmp_path: Path, files: dict[str, object], cpus: float
) -> None:
    assert machine(tmp_path, files).cpu_limit() == cpus


@pytest.mark.parametrize(
    ("files", "memory"),
    [
        ({"memory.max": 512 << 20}, 512 << 20),
        ({"memory.max": "max"}, 64 * GIB),
        ({"memory.max": "max", "memory.high": GIB}, GIB),
        ({"memory.max": 128 * GIB}, 64 * GIB),
        ({"memory/memory.limit_in_bytes": 256 << 20}, 256 << 20),
        ({"memory/memory.limit_in_bytes": UNLIMITED_V1}, 64 * GIB),
        ({}, 64 * GIB),
    ],
)
def test_the_memory_limit_is_the_cgroups(
    tmp_path: Path, files: dict[str, object], memory: int
) -> None:
    assert machine(tmp_path, files).memory_limit() == memory


def test_a_nested_cgroup_is_found_by_its_path_and_the_tightest_limit_counts(tmp_path: Path) -> None:
    files = {
        "kubepods/cpu.max": "400000 100000",
        "kubepods/pod1/cpu.max": "100000 100000",
        "kubepods/pod1/box/cpu.max": "max 100000",
        "kubepods/pod1/memory.max": GIB,
        "other/cpu.max": "1000 100000",
    }
    found = machine(tmp_path, files, process="0::/kubepods/pod1/box\n")
    assert (found.cpu_limit(), found.memory_limit()) == (1, GIB)


def test_a_nested_cgroup_of_version_1_is_found_too(tmp_path: Path) -> None:
    files = {
        "cpu/docker/abc/cpu.cfs_quota_us": 50000,
        "cpu/docker/abc/cpu.cfs_period_us": 100000,
        "memory/docker/abc/memory.limit_in_bytes": GIB,
    }
    process = "9:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n"
    found = machine(tmp_path, files, process=process)
    assert (found.cpu_limit(), found.memory_limit()) == (0.5, GIB)


def test_a_machine_that_tells_nothing_has_its_cpus_and_no_known_memory(tmp_path: Path) -> None:
    nothing = Machine(cgroups=tmp_path, process=tmp_path / "a", meminfo=tmp_path / "b", cpus=3)
    assert (nothing.cpu_limit(), nothing.memory_limit()) == (3, None)
    assert get_gunicorn_worker_count(machine=nothing, environ={}) == 7


def test_this_machine_can_be_asked() -> None:
    here = Machine()
    assert 0 < here.cpu_limit() <= len(os.sched_getaffinity(0))
    assert (here.memory_limit() or 0) > 64 << 20


@pytest.mark.usefixtures("jwt_config")
@pytest.mark.parametrize(
    ("cpu", "mebibytes", "workers"),
    [
        ("100000 100000", 512, 2),  # Cloud Run's default
        ("100000 100000", 1024, 3),
        ("25000 100000", 512, 1),
        ("200000 100000", 4096, 5),
        ("800000 100000", 1024, 3),  # eight CPUs in little memory: D38 of the original
        ("100000 100000", 128, 1),
        ("100000 100000", 320, 2),
        ("max 100000", 65536, 17),
    ],
)
def test_workers_fit_into_cpu_and_memory(
    tmp_path: Path, cpu: str, mebibytes: int, workers: int
) -> None:
    found = machine(tmp_path, {"cpu.max": cpu, "memory.max": mebibytes << 20})
    assert get_gunicorn_worker_count(machine=found, environ={}) == workers
    assert workers == 1 or workers * 125 < mebibytes


def test_celery_beside_it_leaves_less_memory_for_gunicorn(
    tmp_path: Path, jwt_config: PyMacaronConfig
) -> None:
    found = machine(tmp_path, {"cpu.max": "200000 100000", "memory.max": GIB})
    assert get_gunicorn_worker_count(machine=found, environ={}) == 3
    jwt_config.with_async = True
    jwt_config.worker_count = 2
    assert get_gunicorn_worker_count(machine=found, environ={}) == 2


def test_the_environment_decides_alone(tmp_path: Path) -> None:
    found = machine(tmp_path, {"memory.max": 1})
    environ = {"PYM_GUNICORN_WORKERS_COUNT": "12"}
    assert get_gunicorn_worker_count(machine=found, environ=environ) == 12
    assert get_gunicorn_thread_count(2, environ={"PYM_GUNICORN_THREADS_COUNT": "9"}) == 9


@pytest.mark.parametrize("value", ["many", "0", "-1", "1.5", "²"])
def test_a_count_that_is_no_count_is_told(value: str) -> None:
    with pytest.raises(ValueError, match="PYM_GUNICORN_WORKERS_COUNT is"):
        get_gunicorn_worker_count(environ={"PYM_GUNICORN_WORKERS_COUNT": value})


def test_threads_follow_the_concurrency_of_cloud_run(jwt_config: PyMacaronConfig) -> None:
    jwt_config.gcp_request_concurrency = 80
    assert get_gunicorn_thread_count(2, environ={}) == 4
    assert get_gunicorn_thread_count(2, environ={"K_SERVICE": "hello"}) == 40
    assert get_gunicorn_thread_count(1, environ={"K_SERVICE": "hello"}) == 64


def test_celery_workers_are_configured_or_two_for_each_cpu(jwt_config: PyMacaronConfig) -> None:
    assert get_celery_worker_count(cpu_count=3) == 6
    assert get_celery_worker_count(cpu_count=0.5) == 2
    jwt_config.worker_count = 5
    assert get_celery_worker_count(cpu_count=3) == 5
    assert get_celery_worker_memory_limit() == 150 * 1024


def test_the_memory_of_all_workers_adds_up(
    jwt_config: PyMacaronConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYM_GUNICORN_WORKERS_COUNT", "3")
    assert get_memory_limit(default_celery_worker_count=2) == 3 * 250 + 2 * 150


def test_the_gunicorn_configuration_is_what_gunicorn_understands(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text("app = print\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gunicorn", "--config", "python:pymacaron.gunicorn"),
            *("--print-config", "server:app"),
        ],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYM_GUNICORN_WORKERS_COUNT": "3", "PORT": "8123"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [line.partition("=") for line in done.stdout.splitlines()]
    lines = {name.strip(): value.strip() for name, _, value in found}
    assert lines["workers"] == "3"
    assert lines["bind"] == "['0.0.0.0:8123']"
    assert "DrainingWorker" in lines["worker_class"]
    assert int(lines["graceful_timeout"]) < 10
    assert lines["limit_request_field_size"] == "8190"


@pytest.mark.parametrize(
    ("config", "environ", "told"),
    [
        ("name: x\nenv_secrets: [MY_A, MY_B]\n", {"MY_B": "x" * 40}, "MY_A is not set"),
        ("name: x\nname: y\n", {}, "'name' is set twice"),
        ("name: x\n", {"PYM_GUNICORN_WORKERS_COUNT": "two"}, "PYM_GUNICORN_WORKERS_COUNT"),
    ],
)
def test_what_is_wrong_stops_the_start_with_a_sentence(
    write_config: WriteConfig,
    monkeypatch: pytest.MonkeyPatch,
    config: str,
    environ: dict[str, str],
    told: str,
) -> None:
    write_config(config)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(CONFIGURATION))
    assert str(stopped.value).startswith("the service can't start:\n")
    assert told in str(stopped.value)
    assert "x" * 40 not in str(stopped.value)
