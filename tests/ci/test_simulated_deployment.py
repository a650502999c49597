"""The whole command against the simulated cloud, on the example service, as a newcomer runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "helloworld"
SECRET = 'planted "secret" with = and $HOME, 0123456789abcdef'


@dataclass
class Service:
    """A copy of the example with clouds of its own. `greet` changes what its code says."""

    folder: Path

    def tool(self, *arguments: str, expect: int | None = 0) -> str:
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        assert SECRET not in done.stdout
        if expect is not None:
            assert done.returncode == expect, done.stdout
        return done.stdout

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pymacaron_ci", *arguments]

    def environment(self) -> dict[str, str]:
        kept = ("PATH", "HOME", "TMPDIR", "DOCKER_HOST", "PIP_CERT", "SSL_CERT_FILE")
        return {
            **{k: os.environ[k] for k in kept if k in os.environ},
            "PYTHONPATH": str(REPOSITORY),
            "HELLO_JWT_SECRET": SECRET,
            **self.extra,
        }

    extra: dict[str, str]

    def greet(self, text: str) -> None:
        handlers = self.folder / "helloworld" / "api.py"
        original = (EXAMPLE / "helloworld" / "api.py").read_text(encoding="utf-8")
        handlers.write_text(original.replace("Hello {name}!", text), encoding="utf-8")

    def release(self, number: int) -> None:
        """A change that its tests don't see: another release."""
        (self.folder / "helloworld" / "number.py").write_text(f"NUMBER = {number}\n")

    def status(self) -> dict[str, Any]:
        out = subprocess.run(
            self.command("status", "--simulate", "--format", "json"),
            env=self.environment(), cwd=self.folder, capture_output=True, text=True, timeout=60,
            check=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(out.stdout)
        return found

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.status()["url"] + path, timeout=10) as answer:
            return json.load(answer)

    def live_release(self) -> Any:
        return self.get("/version")["release"]


def make(folder: Path, **extra: str) -> Service:
    ignored = shutil.ignore_patterns(".pymacaron", "__pycache__")
    shutil.copytree(EXAMPLE, folder, ignore=ignored, dirs_exist_ok=True)
    return Service(folder=folder, extra=extra)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Deployed once; instances are processes: no engine is at this address."""
    service = make(tmp_path_factory.mktemp("hello"), DOCKER_HOST="tcp://127.0.0.1:9")
    service.tool("deploy", "--simulate")
    yield service
    service.tool("simulator", "stop", expect=None)


def test_the_live_url_answers_with_this_release(deployed: Service) -> None:
    status = deployed.status()
    assert status["status"] == "live"
    assert deployed.live_release() == status["release"]["id"]
    assert deployed.get("/v1/hello?name=Ada") == {"text": "Hello Ada!"}


def test_the_same_release_again_has_nothing_to_do(deployed: Service) -> None:
    out = deployed.tool("deploy", "--simulate")
    assert "nothing to do" in out
    assert "Build the image" not in out


def test_a_dry_run_changes_nothing_and_names_secrets_only(deployed: Service) -> None:
    before = deployed.status()["release"]
    deployed.release(7)
    data = json.loads(
        "{" + deployed.tool("dry-run", "--simulate", "--format", "json").partition("\n{")[2]
    )
    assert data["status"] == "planned"
    assert data["plan"]["secrets"] == ["HELLO_JWT_SECRET"]
    assert data["plan"]["phases"][0]["name"] == "staging"
    assert deployed.status()["release"] == before


def test_a_broken_release_is_undone_and_its_failing_test_is_named(deployed: Service) -> None:
    before = deployed.live_release()
    deployed.greet("Goodbye {name}!")
    try:
        out = deployed.tool("deploy", "--simulate", expect=6)
    finally:
        deployed.greet("Hello {name}!")
    assert "test_it_greets_the_world" in out
    assert "Goodbye world!" in out
    assert f"release {before} still serves" in out
    assert deployed.live_release() == before
    assert deployed.get("/v1/hello") == {"text": "Hello world!"}


def test_a_release_that_does_not_start_is_undone_with_its_log(deployed: Service) -> None:
    before = deployed.live_release()
    server = deployed.folder / "server.py"
    good = server.read_text(encoding="utf-8")
    server.write_text("raise SystemExit('no such database')\n", encoding="utf-8")
    try:
        out = deployed.tool("deploy", "--simulate", "--no-test", expect=5)
    finally:
        server.write_text(good, encoding="utf-8")
    assert "no such database" in out
    assert deployed.live_release() == before


def test_failing_unit_tests_stop_before_anything_is_built(deployed: Service) -> None:
    test = deployed.folder / "test" / "test_bad.py"
    test.write_text("def test_bad():\n    assert 1 == 2\n", encoding="utf-8")
    try:
        out = deployed.tool("deploy", "--simulate", expect=4)
    finally:
        test.unlink()
    assert "test_bad" in out
    assert "Build the image" not in out


def test_a_second_release_replaces_the_first_and_can_be_rolled_back(deployed: Service) -> None:
    first = deployed.live_release()
    deployed.release(1)
    deployed.tool("deploy", "--simulate")
    second = deployed.live_release()
    assert second != first
    assert deployed.status()["previous"]["id"] == first
    deployed.tool("rollback", "--simulate")
    assert deployed.live_release() == first


# Where a run is killed: as soon as it has said this. The target has tests of its own for each call.
STAGING, LIVE, PROVING, FINISH = "Staging: add", "Live: send", "Live: prove", "Finish: mark"
KILLS = [
    *((moment, signal.SIGKILL) for moment in (STAGING, LIVE, FINISH)),
    (LIVE, signal.SIGINT),
    (PROVING, signal.SIGTERM),
]


@pytest.fixture(scope="module")
def quick(deployed: Service) -> Service:
    """The deployed service with one acceptance test: what is killed here is the run."""
    for test in (deployed.folder / "testaccept").glob("test_*.py"):
        test.unlink()
    (deployed.folder / "testaccept" / "test_ping.py").write_text(
        "from pymacaron.test import PyMacaronTestCase\n"
        "class Ping(PyMacaronTestCase):\n"
        "    def test_ping(self): self.assertHasPing()\n",
        encoding="utf-8",
    )
    deployed.tool("deploy", "--simulate", "--no-unittest")
    return deployed


@pytest.mark.parametrize(("moment", "signum"), KILLS)
def test_a_killed_run_leaves_live_serving_and_the_next_one_converges(
    quick: Service, moment: str, signum: signal.Signals
) -> None:
    deployed = quick
    before = deployed.live_release()
    deployed.release(1000 + KILLS.index((moment, signum)))
    with subprocess.Popen(
        deployed.command("deploy", "--simulate", "--no-unittest"),
        env=deployed.environment(),
        cwd=deployed.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if line.startswith(moment):
                process.send_signal(signum)
                break
        seen += process.stdout.readlines()
        code = process.wait(timeout=120)
    text = "".join(seen)
    assert code == (128 + signum if signum != signal.SIGKILL else -signum), text
    # Proven before the signal came: then it is the new one that serves, as the report said.
    serving = deployed.live_release()
    if signum != signal.SIGKILL and moment != FINISH:
        assert serving == before, text
    deployed.tool("deploy", "--simulate", "--no-unittest")
    status = deployed.status()
    assert status["release"]["id"] == deployed.live_release()
    assert "nothing to do" in deployed.tool("deploy", "--simulate")
