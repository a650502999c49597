"""Images that really run as processes: their files, packages and environment, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import requests

from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import (
    ImageNotFound,
    ImageUnusable,
    Instance,
    alive,
    listens,
    wait_until_listening,
)
from pymacaron_ci.simulator.processes import ProcessRunner, bound_to_loopback
from pymacaron_ci.simulator.registry import Registry
from pymacaron_ci.waiting import SystemClock
from tests.ci.simulator.images import SERVER, push

CLOCK = SystemClock()


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = CLOCK.now() + seconds
    while not condition():
        assert CLOCK.now() < end, "it did not happen"
        CLOCK.sleep(0.02)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One environment for all tests of this module: making it takes longest."""
    return tmp_path_factory.mktemp("packages")


class Bench:
    def __init__(self, folder: Path, packages: Path) -> None:
        self.folder = folder
        (folder / "environments").symlink_to(packages)
        registry = Registry(folder / "registry")
        self.server = registry.serve()
        self.host = f"127.0.0.1:{self.server.port}"
        environ = {"PATH": os.environ["PATH"], "SECRET_OF_THE_CALLER": "planted"}
        self.images = Images(registry.store, self.host)
        self.runner = ProcessRunner(folder / "instances", self.images, environ)

    def start(self, image: str, name: str = "one", **environment: str) -> Instance:
        return self.runner.start(image, environment, name=name)

    def started(self, image: str, name: str = "one", **environment: str) -> Instance:
        instance = self.start(image, name, **environment)
        assert wait_until_listening(instance, timeout=20, clock=CLOCK), instance.logs()
        return instance


@pytest.fixture
def bench(tmp_path: Path, packages: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, packages)
    yield made
    made.runner.close()
    made.server.stop()


def told(instance: Instance) -> Mapping[str, str]:
    found: Mapping[str, str] = requests.get(instance.url, timeout=10).json()["environment"]
    return found


def test_an_image_runs_with_its_environment_and_nothing_of_the_callers(bench: Bench) -> None:
    image = push(bench.host, environment={"OF_IMAGE": "1", "SHARED": "image"})
    environment = told(bench.started(image, VALUE="a=b\n'$x' ö", SHARED="given"))
    assert environment["VALUE"] == "a=b\n'$x' ö"
    assert environment["OF_IMAGE"] == "1"
    assert environment["SHARED"] == "given"
    assert "SECRET_OF_THE_CALLER" not in environment
    assert set(environment) <= {
        *("VALUE", "OF_IMAGE", "SHARED", "PORT", "PYM_BIND_HOST", "PATH", "HOME", "VIRTUAL_ENV"),
        *("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "LANG", "LC_ALL", "LC_CTYPE"),
    }


def test_a_tag_and_the_name_of_the_real_registry_lead_to_the_image(bench: Bench) -> None:
    push(bench.host, "project/repository/name", tag="v1")
    for host in (bench.host, "europe-west1-docker.pkg.dev"):
        assert bench.images.find(f"{host}/project/repository/name:v1").folder == "/pym"


def test_an_instance_ends_when_asked_and_its_log_stays(bench: Bench) -> None:
    instance = bench.started(push(bench.host))
    assert alive(instance)
    instance.stop()
    assert instance.exit_status() == -signal.SIGTERM
    assert not listens(instance.url)
    assert [line.text for line in bench.runner.logs("one")] == ["listening"]
    instance.stop()


def test_an_instance_that_fails_tells_its_status_and_last_words(bench: Bench) -> None:
    instance = bench.start(push(bench.host), BROKEN="exits")
    assert not wait_until_listening(instance, timeout=20, clock=CLOCK)
    assert instance.exit_status() == 1
    assert "ImportError: no module named nothing" in [line.text for line in instance.logs()]


def test_instances_of_one_image_do_not_share_their_files(bench: Bench) -> None:
    code = SERVER.replace("import http.server", "open('mark', 'x'); import http.server", 1)
    image = push(bench.host, files={"server.py": code})
    bench.started(image, "one")
    bench.started(image, "two")


def test_an_image_that_is_not_there_is_told(bench: Bench) -> None:
    with pytest.raises(ImageNotFound):
        bench.start(f"{bench.host}/nothing:v1")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"command": ()}, "no command"),
        ({"files": {"../etc/passwd": "x"}}, "no files below /pym"),
    ],
)
def test_an_image_that_can_not_run_here_is_told(
    bench: Bench, options: Mapping[str, object], text: str
) -> None:
    image = push(bench.host, **options)  # type: ignore[arg-type]
    with pytest.raises(ImageUnusable, match=text):
        bench.start(image)


def test_requirements_that_can_not_be_installed_are_told(bench: Bench) -> None:
    files = {"server.py": SERVER, "requirements.txt": "./no-such-folder\n"}
    with pytest.raises(ImageUnusable, match="requirements can't be installed"):
        bench.start(push(bench.host, files=files))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ["gunicorn", "--bind", "0.0.0.0:$PORT", "--config", "c", "server:app"],
            ["gunicorn", "--config", "c", "server:app", "--bind", "127.0.0.1:7"],
        ),
        (
            ["/opt/venv/bin/gunicorn", "-b", ":80", "--bind=[::]:80", "server:app"],
            ["/opt/venv/bin/gunicorn", "server:app", "--bind", "127.0.0.1:7"],
        ),
        (["sh", "-c", "exec x ${PORT:-8080}"], ["sh", "-c", "exec x 7"]),
        (["python3", "server.py"], ["python3", "server.py"]),
    ],
)
def test_a_server_is_heard_on_loopback_only(command: list[str], words: list[str]) -> None:
    assert bound_to_loopback(command, 7) == words


SCRIPT = """
import os, sys
from pathlib import Path
from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.processes import ProcessRunner
from pymacaron_ci.simulator.registry_store import Store
folder = Path(sys.argv[1])
runner = ProcessRunner(folder / "instances", Images(Store(folder / "registry"), ""), os.environ)
instance = runner.start(sys.argv[2], {}, name="orphan")
print(instance.url, flush=True)
input()
"""


def test_instances_die_with_a_simulator_that_is_killed(bench: Bench) -> None:
    image = push(bench.host)
    simulator = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(bench.folder), image],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert simulator.stdout is not None
    assert simulator.stdin is not None
    url = simulator.stdout.readline().strip()
    until(lambda: listens(url))
    simulator.kill()
    simulator.wait(10)
    until(lambda: not listens(url))
    simulator.stdin.close()
    simulator.stdout.close()


def test_what_a_dead_simulator_left_running_is_ended_by_the_next(bench: Bench) -> None:
    """Where the kernel does not end children, or a child did not listen to it."""
    instance = bench.started(push(bench.host))
    other = ProcessRunner(bench.folder / "instances", bench.images, dict(os.environ))
    other.clean()
    until(lambda: not alive(instance))
    other.close()


def test_a_process_that_only_got_the_number_of_an_instance_is_left_alone(bench: Bench) -> None:
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    pids = bench.folder / "instances" / "pids"
    pids.mkdir(parents=True)
    (pids / "old.json").write_text(f'{{"pid": {stranger.pid}, "started": "1"}}')
    bench.runner.clean()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
