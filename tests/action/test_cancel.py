"""A cancelled job: the runner signals the step's entry process, and only that."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.action import act, vault
from tests.action.runner import read_outputs

STEP = yaml.safe_load((act.ROOT / "action.yml").read_text(encoding="utf-8"))["runs"]["steps"][0]
SLOW_TEST = """\
import pathlib, time

def test_slow():
    pathlib.Path({flag!r}).touch()
    time.sleep(120)
"""


@contextmanager
def started(
    service: Path, temp: Path, action: Path, environ: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """The step's script as a runner starts it: a bash, which the script replaces."""
    temp.mkdir(parents=True, exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME") or k.startswith("PIP_")}
    script = temp / "script.sh"
    script.write_text(STEP["run"], encoding="utf-8")
    process = subprocess.Popen(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
        cwd=service,
        env={
            **kept,
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(action),
            "GITHUB_WORKSPACE": str(service),
            "GITHUB_OUTPUT": str(temp / "outputs"),
            "RUNNER_TEMP": str(temp),
            **environ,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout and not process.stdout.closed:
            process.stdout.close()


def test_while_packages_are_installed_nothing_was_begun(tmp_path: Path, action: Path) -> None:
    """An index that takes a connection and never answers: pip waits, and is interrupted."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def accept() -> None:
            connection, _ = silent.accept()
            asked.set()
            with connection:
                done.wait(60)

        done = threading.Event()
        thread = threading.Thread(target=accept)
        thread.start()
        index = {"PIP_INDEX_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/simple"}
        with started(
            act.ROOT / "examples" / "helloworld",
            tmp_path / "temp",
            action,
            {"PYM_INPUT_COMMAND": "validate", **index},
        ) as process:
            assert asked.wait(60)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        done.set()
        thread.join()
    assert process.returncode == 130
    assert "stopped: nothing was begun" in out


@pytest.mark.real("git")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_middle_of_a_deployment_the_tool_stops_and_says_so(
    tmp_path: Path, action: Path, number: signal.Signals
) -> None:
    flag = tmp_path / "the-test-runs"
    service = tmp_path / "ws"
    files = {k: v for k, v in vault.FILES.items() if not k.startswith("pym-config")}
    files |= {
        "pym-config.yaml": vault.FILES["pym-config.yaml"].partition("env_secrets")[0],
        "test/test_slow.py": SLOW_TEST.format(flag=str(flag)),
    }
    act.caller(service, act.workflow(), files)
    temp = tmp_path / "temp"
    try:
        with started(
            service, temp, action, {"PYM_INPUT_COMMAND": "deploy", "PYM_INPUT_SIMULATE": "true"}
        ) as process:
            waiter = threading.Event()
            while not flag.exists():
                assert process.poll() is None, process.communicate()[0]
                waiter.wait(0.1)
            process.send_signal(number)
            process.communicate(timeout=60)
        assert process.returncode == 128 + number
        outputs = read_outputs((temp / "outputs").read_text(encoding="utf-8"))
        assert (outputs["status"], outputs["changed"]) == ("stopped", "false")
        assert Path(outputs["report"]).exists()
    finally:
        act.end_leftovers(tmp_path)
        shutil.rmtree(service, ignore_errors=True)
