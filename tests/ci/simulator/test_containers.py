"""Images that run as containers of a real engine: published, limited, logged, removed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from pymacaron_ci.model import Image, Release
from pymacaron_ci.simulator.cloud_run.rollout import Timing
from pymacaron_ci.simulator.containers import LABEL, EngineRunner
from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import (
    ImageNotFound,
    Instance,
    InstanceError,
    Limits,
    alive,
    listens,
    wait_until_listening,
)
from pymacaron_ci.simulator.registry import Registry
from pymacaron_ci.simulator.simulation import Simulation
from pymacaron_ci.waiting import SystemClock
from tests.ci.simulator import kubernetes_world
from tests.ci.simulator.images import SERVER
from tests.ci.simulator.images import push as push_without_base
from tests.ci.simulator.test_processes import until
from tests.ci.simulator.world import World
from tests.ci.targets import gke_world
from tests.ci.targets.cloud_run_world import FastClock
from tests.ci.targets.gke_world import release
from tests.matrix.prober import Prober

pytestmark = pytest.mark.real("docker")
CLOCK = SystemClock()
BASE = "python:3.11-slim"
DOCKERFILE = f"""FROM {BASE}
COPY server.py /pym/server.py
WORKDIR /pym
ENV BIND=0.0.0.0
CMD ["python3", "server.py"]
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    import docker

    client = docker.from_env()
    yield client
    client.close()


def push(engine: Any, registry: str, folder: Path) -> str:
    """A real image, built and pushed by the engine; its name by digest."""
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "server.py").write_text(SERVER)
    name = f"{registry}/demo/hello"
    engine.images.build(path=str(folder), tag=f"{name}:v1", network_mode="host")
    pushed = engine.images.push(name, tag="v1", stream=True, decode=True)
    digest = next(line["aux"]["Digest"] for line in pushed if "aux" in line)
    engine.images.remove(f"{name}:v1")  # so that it must be pulled
    return f"{name}@{digest}"


def forget(engine: Any, image: str) -> None:
    import docker.errors

    with contextlib.suppress(docker.errors.ImageNotFound):
        engine.images.remove(image, force=True)


@dataclass(frozen=True)
class Shelf:
    """A registry with one image in it: pushing a whole base takes longest."""

    folder: Path
    images: Images
    image: str


@pytest.fixture(scope="module")
def shelf(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    folder = tmp_path_factory.mktemp("shelf")
    registry = Registry(folder / "registry")
    server = registry.serve()
    host = f"127.0.0.1:{server.port}"
    image = push(engine, host, folder / "build")
    yield Shelf(folder / "registry", Images(registry.store, host), image)
    server.stop()
    forget(engine, image)


class Bench:
    def __init__(self, engine: Any, folder: Path, shelf: Shelf) -> None:
        self.engine, self.folder = engine, folder / "instances"
        self.images, self.image = shelf.images, shelf.image
        self.runner = EngineRunner(self.folder, self.images, dict(os.environ))

    def start(self, **environment: str) -> Instance:
        limits = Limits(port=9000, memory=128 * 2**20)
        return self.runner.start(self.image, environment, name="one", limits=limits)

    def left(self) -> list[Any]:
        filters = {"label": f"{LABEL}={self.folder.resolve()}"}
        return list(self.engine.containers.list(all=True, filters=filters))


@pytest.fixture
def bench(engine: Any, tmp_path: Path, shelf: Shelf) -> Iterator[Bench]:
    made = Bench(engine, tmp_path, shelf)
    yield made
    made.runner.close()
    made.runner = EngineRunner(made.folder, made.images, dict(os.environ))
    made.runner.clean()
    made.runner.close()


def test_a_container_answers_is_limited_and_leaves_its_log(bench: Bench) -> None:
    instance = bench.start(VALUE="a=b\n'$x' ö")
    assert wait_until_listening(instance, timeout=30, clock=CLOCK), instance.logs()
    told = requests.get(instance.url, timeout=10).json()["environment"]
    assert told["VALUE"] == "a=b\n'$x' ö"
    assert told["PORT"] in (instance.url.rpartition(":")[2], "9000")
    container = bench.left()[0]
    assert container.attrs["HostConfig"]["Memory"] == 128 * 2**20
    instance.stop(1)
    assert not alive(instance)
    assert bench.left() == []
    assert [line.text for line in bench.runner.logs("one")] == ["listening"]


def test_a_container_that_ends_tells_its_status_and_last_words(bench: Bench) -> None:
    instance = bench.start(BROKEN="exits")
    assert not wait_until_listening(instance, timeout=30, clock=CLOCK)
    assert instance.exit_status() == 1
    assert "ImportError: no module named nothing" in [line.text for line in instance.logs()]


def test_a_container_on_a_wrong_port_does_not_listen(bench: Bench) -> None:
    instance = bench.start(BROKEN="port")
    until(lambda: "listening" in [line.text for line in instance.logs()])
    # the port proxy needs time to find out, on a busy machine
    assert not listens(instance.url, patience=5)
    assert alive(instance)


def test_containers_of_a_dead_simulator_are_found_and_removed(bench: Bench) -> None:
    bench.start()
    assert len(bench.left()) == 1
    other = EngineRunner(bench.folder, bench.images, dict(os.environ))
    other.clean()
    assert bench.left() == []
    other.close()


def test_an_image_without_a_base_runs_as_a_process_beside_containers(bench: Bench) -> None:
    image = push_without_base(bench.images.host, "demo/bare")
    instance = bench.runner.start(image, {}, name="bare")
    assert wait_until_listening(instance, timeout=30, clock=CLOCK), instance.logs()
    assert bench.left() == []


def test_a_missing_image_and_a_missing_engine_are_told(bench: Bench) -> None:
    with pytest.raises(ImageNotFound):
        bench.runner.start(f"{bench.images.host}/nothing:v1", {}, name="x")
    with pytest.raises(InstanceError, match="no Docker engine answers"):
        EngineRunner(bench.folder, bench.images, {"DOCKER_HOST": "unix:///nowhere.sock"})


@contextlib.contextmanager
def simulated(folder: Path, shelf: Shelf) -> Iterator[Simulation]:
    """All clouds, with the image of the shelf."""
    (folder / "state").mkdir(mode=0o700)
    (folder / "state" / "registry").symlink_to(shelf.folder)
    with Simulation(
        folder / "state",
        environ=dict(os.environ),
        make_runner=EngineRunner,
        timing=Timing(latency=0, startup=8),
    ) as simulation:
        yield simulation


def test_the_pods_of_a_cluster_are_containers(engine: Any, tmp_path: Path, shelf: Shelf) -> None:
    with simulated(tmp_path, shelf) as simulation:
        simulation.clouds.open("kubernetes")
        image = shelf.image.replace(shelf.images.host, simulation.endpoints.registry)
        base = f"{simulation.clouds.urls['kubernetes']}/clusters/p/europe-west1/main"
        wanted = kubernetes_world.deployment(image)
        for thing in (kubernetes_world.namespace(), kubernetes_world.service(), wanted):
            url = f"{base}{kubernetes_world.World.path(thing)}?fieldManager=test"
            headers = kubernetes_world.APPLY
            assert requests.patch(url, json.dumps(thing), headers=headers, timeout=10).ok
        url = f"{base}/api/v1/namespaces/shop/services/web:http/proxy/version"
        until(lambda: requests.get(url, timeout=10).ok, 60)
        assert requests.get(url, timeout=10).json()["release"] == "r1"
        folder = (tmp_path / "state" / "instances").resolve()
        filters = {"label": f"{LABEL}={folder}"}
        assert len(engine.containers.list(filters=filters)) == 1
    forget(engine, image)


@dataclass(frozen=True)
class Pushed:
    """A builder whose image is in the registry already."""

    name: str

    def build(self, release: Release) -> Image:
        return release.image

    def push(self, image: Image) -> Image:
        repository, _, digest = self.name.partition("@")
        return replace(image, repository=repository, digest=digest)


def test_a_deployment_to_kubernetes_runs_and_is_taken_back_in_containers(
    engine: Any, tmp_path: Path, shelf: Shelf
) -> None:
    (tmp_path / "registry").symlink_to(shelf.folder)
    wanted = replace(gke_world.SERVICE, startup_seconds=60, progress_seconds=60, min_replicas=1)
    with gke_world.world(
        tmp_path, EngineRunner, dict(os.environ), wanted=wanted, clock=FastClock(1)
    ) as cloud:
        builder = Pushed(shelf.image.replace(shelf.images.host, cloud.registry))
        assert cloud.deploy(release("1"), builder=builder).status == "deployed"
        with Prober.at(cloud.public_url()) as prober:
            assert cloud.deploy(release("2"), builder=builder).status == "deployed"
            broken = cloud.deploy(release("3", BROKEN="exits"), builder=builder)
        assert (prober.failures, bool(prober.answers)) == ([], True)
        assert (broken.status, cloud.answers()) == ("undone", release("2").id)
        assert any("ImportError: no module named nothing" in note for note in broken.notes)
        folder = (tmp_path / "instances").resolve()
        for container in engine.containers.list(filters={"label": f"{LABEL}={folder}"}):
            host = container.attrs["HostConfig"]
            assert (host["ReadonlyRootfs"], [*host["Tmpfs"]]) == (True, ["/tmp"])
    forget(engine, builder.name)


def test_a_service_is_deployed_and_replaced_in_containers(
    engine: Any, tmp_path: Path, shelf: Shelf
) -> None:
    with simulated(tmp_path, shelf) as simulation:
        google = World(simulation)
        google.image = shelf.image.replace(shelf.images.host, simulation.endpoints.registry)
        google.create(body=google.candidate("r1"))
        google.publish()
        assert "error" not in google.patch(google.candidate("r2"))
        url = google.service()["uri"]
        assert requests.get(url, timeout=10).json()["release"] == "r2"
        broken = google.patch(google.candidate("r3", BROKEN="port"))
        assert "PORT=8080" in broken["error"]["message"]
        assert requests.get(url, timeout=10).json()["release"] == "r2"
        google.judge()
    forget(engine, google.image)
