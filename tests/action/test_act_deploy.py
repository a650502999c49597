"""Simulated deployments through the action, run by act: good, repeated, broken; and what leaks."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.action import act, vault

pytestmark = [pytest.mark.real("act"), pytest.mark.real("git")]

# What a leak would show: distinctive parts, for a secret may be cut or folded on its way.
TRACES = [part for value in vault.SECRETS.values() for part in value.split("\n") if len(part) > 8]


# act throws the runner's folders away when it is done. What pip installed holds nothing of ours.
KEEP_REPORT = """\
- run: cp "$REPORT" "$KEEP/report.json"
  env:
    REPORT: ${{ steps.broken.outputs.report }}
"""
KEEP_FILES = """\
- run: |
    tar --exclude='env-*' -cf "$KEEP/temp.tar" -C "$RUNNER_TEMP" .
    tar --exclude='env-*' -cf "$KEEP/workspace.tar" -C "$GITHUB_WORKSPACE" .
"""


class Watch:
    """The command lines of all processes, looked at again and again."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()

    def look(self) -> None:
        while not self._stop.wait(0.02):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and int(entry.name) != os.getpid():
                    try:
                        self.seen.add((entry / "cmdline").read_bytes())
                    except OSError:
                        continue

    @contextmanager
    def on(self) -> Iterator[None]:
        thread = threading.Thread(target=self.look)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()


@pytest.mark.timeout(900)
def test_deploy_again_break_and_look(tmp_path: Path, action: Path) -> None:
    secrets = vault.SECRETS
    simulate = {"command": "deploy", "simulate": "true"}
    commit = "git -c user.name=x -c user.email=x@example.com commit -qam broken"
    flow = act.workflow(
        act.use("first", inputs=simulate, secrets=vault.NAMES),
        act.use("again", inputs=simulate, secrets=vault.NAMES),
        f"- run: |\n    {vault.BREAK}\n    {commit}",
        act.use("broken", inputs=simulate, secrets=vault.NAMES, lenient=True),
        KEEP_REPORT,
        act.use("look", inputs={"command": "status", "simulate": "true"}, secrets=vault.NAMES),
        KEEP_FILES,
    )
    workspace = act.caller(tmp_path / "ws", flow, vault.FILES)
    home = tmp_path / "home"
    kept = tmp_path / "kept"
    kept.mkdir()
    watch = Watch()
    with watch.on():
        ran = act.run(
            workspace,
            home,
            action=action,
            secrets=secrets,
            environ={"KEEP": str(kept)},
            timeout=840,
        )
    assert ran.status == 0, ran.log()

    first, again = ran.outputs("first"), ran.outputs("again")
    assert (first["status"], first["changed"]) == ("deployed", "true"), ran.log("first")
    assert first["digest"].startswith("sha256:")
    assert first["image"].endswith(first["digest"])
    assert first["url"].startswith("http")
    assert first["release"] in ran.summary("first")
    assert "simulat" in ran.summary("first")
    assert ran.annotations("first") == []

    assert (again["status"], again["changed"]) == ("unchanged", "false"), ran.log("again")
    assert again["release"] == first["release"]
    assert "installed" not in ran.log("again")

    broken = ran.outputs("broken")
    assert ran.exit_status("broken") == 6
    assert (broken["status"], broken["changed"]) == ("undone", "false")
    assert broken["previous-release"] == first["release"]
    assert broken["release"] != first["release"]
    ((_, _, text),) = ran.annotations("broken")
    assert "acceptance tests failed against staging" in text
    assert "test_the_container_got_every_secret" in ran.summary("broken")
    report = json.loads((kept / "report.json").read_text(encoding="utf-8"))
    assert report["status"] == "undone"
    assert len(report["failures"]) == 2

    look = ran.outputs("look")
    assert (look["status"], look["release"]) == ("live", first["release"])

    assert leaks(ran.shown(secrets)) == []
    assert leaks("".join(c.decode("utf-8", "replace") for c in watch.seen)) == []
    for name in ("temp", "workspace"):
        with tarfile.open(kept / f"{name}.tar") as archive:
            archive.extractall(kept / name, filter="data")
        (kept / f"{name}.tar").unlink()
    assert any((kept / "workspace" / ".pymacaron" / "simulator" / "registry").rglob("*"))
    assert left_behind(kept) == []


@pytest.mark.timeout(600)
def test_the_example_is_deployed_to_each_target(tmp_path: Path, action: Path) -> None:
    simulate = {"command": "deploy", "simulate": "true"}
    secrets = {"HELLO_JWT_SECRET": "a-secret-that-is-long-enough-7f3a"}
    flow = act.workflow(
        act.use("cloudrun", inputs=simulate, secrets=tuple(secrets)),
        act.use("beanstalk", inputs={**simulate, "environment": "aws"}, secrets=tuple(secrets)),
        act.use("gke", inputs={**simulate, "environment": "gke"}, secrets=tuple(secrets)),
    )
    example = act.ROOT / "examples" / "helloworld"
    workspace = act.caller(tmp_path / "ws", flow, {".gitignore": ".pymacaron/\n"}, service=example)
    ran = act.run(workspace, tmp_path / "home", action=action, secrets=secrets, timeout=540)
    assert ran.status == 0, ran.log()
    for step in ("cloudrun", "beanstalk", "gke"):
        outputs = ran.outputs(step)
        assert (outputs["status"], outputs["changed"]) == ("deployed", "true")
        assert ran.annotations(step) == []
    assert secrets["HELLO_JWT_SECRET"] not in ran.shown(secrets)


def leaks(text: str) -> list[str]:
    return [trace for trace in TRACES if trace in text]


def left_behind(folder: Path) -> list[str]:
    """Files that hold a secret, image layers unpacked.

    Not looked at: the simulated cloud's own memory, which has to know a service's environment.
    """
    found = []
    for file in folder.rglob("*"):
        if not file.is_file() or file.is_symlink() or "simulator/google" in file.as_posix():
            continue
        data = file.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        found += [f"{file}: {trace}" for trace in TRACES if trace.encode() in data]
    return found


def test_the_watch_would_see_a_secret_on_a_command_line(tmp_path: Path) -> None:
    import subprocess
    import sys

    watch = Watch()
    with watch.on():
        subprocess.run(
            [sys.executable, "-c", "import time; time.sleep(1)", vault.SECRETS["S01_PLAIN"]],
            check=True,
            timeout=60,
        )
    assert leaks("".join(c.decode("utf-8", "replace") for c in watch.seen)) == [
        vault.SECRETS["S01_PLAIN"]
    ]
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"x plain-7f3a9c51e2 x"))
    assert left_behind(tmp_path) != []
