"""The whole command against the simulated cloud, on the example service, as a newcomer runs it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.ci.example import Service, make


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
    status = deployed.status()
    before = status["release"]
    deployed.release(7)
    data = json.loads(
        "{" + deployed.tool("dry-run", "--simulate", "--format", "json").partition("\n{")[2]
    )
    assert data["status"] == "planned"
    assert (data["url"], data["staging_url"], data["notes"]) == (status["url"], None, [])
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


# Where the whole command is killed: as soon as it has said this. Each call and each signal is the
# fault matrix's (tests/matrix).
LIVE, PROVING, FINISH = "Live: send", "Live: prove", "Finish: mark"
KILLS = [(LIVE, signal.SIGKILL), (FINISH, signal.SIGKILL), (PROVING, signal.SIGTERM)]


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
