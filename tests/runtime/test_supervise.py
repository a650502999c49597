from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILD = """
import signal, sys, time, pathlib
folder, name, obeys, dies = sys.argv[1:5]
def end(*_):
    with open(folder + "/order", "a") as file:
        file.write(name + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, end if obeys == "yes" else signal.SIG_IGN)
pathlib.Path(folder, name).touch()
if dies:
    time.sleep(0.3)
    sys.exit(int(dies))
while True:
    time.sleep(60)
"""
MAIN = """
import sys
from pymacaron import supervise
supervise.PATIENCE = 1.5
child, folder = sys.argv[1:3]
def command(name, how):
    obeys, _, dies = how.partition(":")
    return [sys.executable, "-c", child, folder, name, obeys, dies]
sys.exit(supervise.main(command("server", sys.argv[3]), command("worker", sys.argv[4])))
"""


def supervise(folder: Path, server: str, worker: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MAIN, CHILD, str(folder), server, worker]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]}
    )
    deadline = time.monotonic() + 60
    while not all((folder / name).exists() for name in ("server", "worker")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_first_then_the_worker_and_the_status_is_0(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = supervise(tmp_path, "yes", "yes")
    process.send_signal(number)
    assert process.wait(60) == 0
    assert (tmp_path / "order").read_text() == "server worker "


@pytest.mark.parametrize(
    ("server", "worker", "status"),
    [("yes:3", "yes", 3), ("yes", "yes:4", 4), ("yes", "yes:0", 1)],
)
def test_when_one_dies_the_other_is_ended_and_the_container_fails(
    tmp_path: Path, server: str, worker: str, status: int
) -> None:
    process = supervise(tmp_path, server, worker)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status
    assert "ended with status" in said
    survivor = "worker" if ":" in server else "server"
    assert (tmp_path / "order").read_text() == f"{survivor} "


def test_when_the_supervisor_is_killed_both_are_told_to_end(tmp_path: Path) -> None:
    process = supervise(tmp_path, "yes", "yes")
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while not (tmp_path / "order").exists() or len((tmp_path / "order").read_text().split()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_child_that_does_not_listen_is_killed_when_patience_ends(tmp_path: Path) -> None:
    process = supervise(tmp_path, "no", "yes")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == signal.SIGKILL
    assert (tmp_path / "order").read_text() == "worker "
