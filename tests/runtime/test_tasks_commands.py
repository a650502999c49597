"""`pymasync`, and workers beside a development server: how they start, and what is told when they
can't."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymacaron.tasks import beside, kill_celery, start_celery
from tests.runtime.tasks_service import environment, until, write_service

NOBODY = "redis://127.0.0.1:1/0"


def pymasync(folder: Path, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pymacaron.tasks.worker", *options],
        cwd=folder,
        env={**environment(NOBODY), **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("server.py", None, "there is no server.py in "),
        ("server.py", "application = 1\n", "server.py holds no Flask object named `app`"),
        ("pym-config.yaml", "name: jobs\nenv_secrets: [A_KEY]\n", "A_KEY is not set"),
        ("apis/jobs.yaml", "swagger: '9'\n", "jobs.yaml"),
        ("pym-config.yaml", "name: jobs\npersist_url: x\n", "persist_url can't be used"),
    ],
)
def test_what_keeps_workers_from_starting_is_told_without_a_traceback(
    tmp_path: Path, file: str, text: str | None, told: str
) -> None:
    write_service(tmp_path)
    if text is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(text)
    done = pymasync(tmp_path)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broker_nothing_speaks_with_is_told(tmp_path: Path) -> None:
    write_service(tmp_path)
    done = pymasync(tmp_path, PYM_BROKER_URL="zookeeper://host")
    assert done.returncode == 1
    assert "broker_url can't be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_that_the_service_lacks_is_not_taken_for_server_py(tmp_path: Path) -> None:
    write_service(tmp_path)
    (tmp_path / "server.py").write_text("import nowhere_to_be_found\n")
    assert "No module named 'nowhere_to_be_found'" in pymasync(tmp_path).stderr


def test_the_environment_chooses_the_configuration(tmp_path: Path) -> None:
    write_service(tmp_path)
    (tmp_path / "pym-config.test.yaml").write_text("name: jobs\nenv_secrets: [ONLY_IN_TEST]\n")
    assert "ONLY_IN_TEST is not set" in pymasync(tmp_path, "--env", "test").stderr


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process is a development server, as far as workers beside it can tell."""
    write_service(tmp_path)
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", str(tmp_path / "server.py"), raising=False)
    monkeypatch.setenv("PYM_BROKER_URL", NOBODY)
    yield
    kill_celery()


def test_workers_are_started_once_and_ended_with_all_their_processes(server: None) -> None:
    kill_celery()  # there are none: nothing to do
    start_celery()
    worker = beside.beside.worker
    assert worker is not None
    start_celery()
    assert beside.beside.worker is worker
    kill_celery()
    assert worker.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(worker.pid, 0)


DEAF = """
import signal, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path("deaf.txt").touch()
time.sleep(60)
"""


def test_workers_that_do_not_end_are_killed(
    server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "server.py").write_text(DEAF)
    monkeypatch.setattr(beside, "PATIENCE", 0.2)
    start_celery()
    worker = beside.beside.worker
    assert worker is not None
    until("it hears nothing", (tmp_path / "deaf.txt").exists)
    kill_celery()
    assert worker.returncode == -signal.SIGKILL


def test_workers_that_have_died_are_started_anew(server: None) -> None:
    start_celery()
    worker = beside.beside.worker
    assert worker is not None
    worker.kill()
    worker.wait()
    start_celery()
    assert beside.beside.worker is not worker
