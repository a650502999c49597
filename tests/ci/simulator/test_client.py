"""The simulator as a process of its own: found again, replaced, killed, stopped, forgotten."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pymacaron_ci.errors import Failure
from pymacaron_ci.simulator import client
from pymacaron_ci.simulator.endpoints import Endpoints
from tests.ci.simulator import kubernetes_world
from tests.ci.simulator.images import push
from tests.ci.simulator.test_processes import until

SERVICES = "v2/projects/p/locations/europe-west1/services"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "simulator"
    yield folder
    client.stop(folder)


def start(state: Path) -> Endpoints:
    return client.start(state, engine=False, environ={**os.environ, "PLANTED": "a-secret-value"})


def pid(state: Path) -> int:
    found = client.status(state)
    assert found is not None
    return found.pid


def deploy(endpoints: Endpoints, release: str) -> str:
    """Gives the URL at which the release answers."""
    env = [{"name": "PYM_RELEASE", "value": release}]
    container = {"image": push(endpoints.registry), "env": env}
    body = {"template": {"containers": [container]}, "invokerIamDisabled": True}
    operation = requests.patch(
        f"{endpoints.run}/{SERVICES}/hello?allowMissing=true", json=body, timeout=10
    ).json()
    while not operation.get("done"):
        operation = requests.post(
            f"{endpoints.run}/v2/{operation['name']}:wait", json={}, timeout=60
        ).json()
    assert "error" not in operation, operation
    return str(operation["response"]["uri"])


def release_at(url: str) -> str | None:
    try:
        answer = requests.get(url, timeout=10)
    except requests.ConnectionError:
        return None
    return str(answer.json()["release"]) if answer.ok else None


def test_a_second_run_finds_what_the_first_one_deployed(state: Path) -> None:
    endpoints = start(state)
    url = deploy(endpoints, "r1")
    first = pid(state)
    assert start(state) == endpoints
    assert pid(state) == first
    status = client.status(state)
    assert status is not None
    assert [(s.name.rpartition("/")[2], s.url, s.instances) for s in status.services] == [
        ("hello", url, 1)
    ]
    assert release_at(url) == "r1"


def test_a_killed_simulator_comes_back_with_its_services_at_their_urls(state: Path) -> None:
    endpoints = start(state)
    url = deploy(endpoints, "r1")
    killed = pid(state)
    os.kill(killed, signal.SIGKILL)
    until(lambda: client.status(state) is None)
    assert start(state) == endpoints
    assert pid(state) != killed
    assert release_at(url) == "r1"


def test_the_pods_of_a_cluster_are_listed_and_come_back(state: Path) -> None:
    def listed() -> list[tuple[str, str | None, int]]:
        status = client.status(state)
        assert status is not None
        return [(s.name, release_at(f"{s.url}/version"), s.instances) for s in status.services]

    endpoints = client.start(state, engine=False, clouds=("kubernetes",))
    things = [
        kubernetes_world.namespace(),
        kubernetes_world.service(),
        kubernetes_world.ingress(),
        kubernetes_world.deployment(push(endpoints.registry)),
    ]
    base = f"{endpoints.others['kubernetes']}/clusters/p/europe-west1/main"
    for thing in things:
        url = f"{base}{kubernetes_world.World.path(thing)}?fieldManager=test"
        headers = kubernetes_world.APPLY
        assert requests.patch(url, json.dumps(thing), headers=headers, timeout=10).ok
    until(lambda: listed() == [("main/shop/web", "r1", 1)])
    os.kill(pid(state), signal.SIGKILL)
    until(lambda: client.status(state) is None)
    assert start(state) == endpoints
    until(lambda: listed() == [("main/shop/web", "r1", 1)])


def test_a_stopped_simulator_leaves_nothing_running_and_keeps_its_state(state: Path) -> None:
    endpoints = start(state)
    url = deploy(endpoints, "r1")
    assert client.stop(state)
    assert client.status(state) is None
    assert release_at(url) is None
    assert not client.stop(state)
    assert start(state) == endpoints
    until(lambda: release_at(url) == "r1")


def test_reset_forgets_what_was_deployed_but_not_the_installed_packages(state: Path) -> None:
    deploy(start(state), "r1")
    installed = sorted(p.name for p in (state / "environments").iterdir())
    client.reset(state)
    assert client.status(state) is None
    assert sorted(p.name for p in (state / "environments").iterdir()) == installed
    answer = requests.get(f"{start(state).run}/{SERVICES}/hello", timeout=10)
    assert answer.status_code == 404


def test_two_runs_that_start_at_once_share_one_simulator(state: Path) -> None:
    found: list[Endpoints] = []
    threads = [threading.Thread(target=lambda: found.append(start(state))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(repr, found))) == 1


def test_a_record_whose_process_is_gone_is_no_simulator(state: Path) -> None:
    state.mkdir(mode=0o700)
    record = {"pid": os.getpid(), "control": "http://127.0.0.1:1", "token": "x"}
    (state / "daemon.json").write_text(json.dumps(record))
    assert client.status(state) is None
    assert not client.stop(state)
    assert not (state / "daemon.json").exists()
    assert start(state)


def test_a_damaged_record_is_no_simulator(state: Path) -> None:
    state.mkdir(mode=0o700)
    (state / "daemon.json").write_text('{"pid": ')
    assert start(state)


def test_a_copied_folder_does_not_lead_to_the_simulator_of_the_original(
    state: Path, tmp_path: Path
) -> None:
    start(state)
    copy = tmp_path / "copy"
    copy.mkdir(mode=0o700)
    (copy / "daemon.json").write_bytes((state / "daemon.json").read_bytes())
    assert client.status(copy) is None


def test_the_control_port_wants_its_token(state: Path) -> None:
    start(state)
    control = json.loads((state / "daemon.json").read_bytes())["control"]
    assert requests.post(f"{control}/stop", timeout=5).status_code == 403
    assert client.status(state) is not None


def test_the_state_is_for_its_owner_only_and_not_for_git(state: Path) -> None:
    deploy(start(state), "r1")
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert (state / ".gitignore").read_text() == "*\n"
    for name in ("daemon.json", "google/cloud_run.json", "google/key.json"):
        assert stat.S_IMODE((state / name).stat().st_mode) == 0o600, name


def test_the_simulator_does_not_get_the_callers_secrets(state: Path) -> None:
    start(state)
    environment = Path(f"/proc/{pid(state)}/environ")
    if environment.exists():
        assert b"a-secret-value" not in environment.read_bytes()


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Failure, match="can't be written"):
        client.start(tmp_path / "file" / "simulator", engine=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "simulator"
    folder.mkdir(mode=0o500)
    with pytest.raises(Failure, match="can't be written"):
        client.start(folder, engine=False)


def test_a_simulator_that_does_not_come_up_tells_its_last_words(state: Path) -> None:
    with pytest.raises(Failure, match="no Docker engine answers") as failure:
        client.start(
            state,
            engine=True,
            environ={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"},
        )
    assert failure.value.problems[0].hint


def test_faults_can_be_ordered_from_outside(state: Path) -> None:
    endpoints = start(state)
    client.order_faults(state, [{"kind": "503", "path": "services"}])
    url = f"{endpoints.run}/{SERVICES}"
    assert [requests.get(url, timeout=5).status_code for _ in range(2)] == [503, 200]


def test_the_docker_sdk_is_not_needed_without_an_engine() -> None:
    code = (
        "import sys\nimport pymacaron_ci.simulator.client\n"
        "import pymacaron_ci.simulator.simulation\n"
        "assert not {'docker', 'requests', 'boto3', 'google'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
