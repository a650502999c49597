"""The image of the example service, built, pushed and run by a real engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from docker.models.containers import Container

from pymacaron_ci import image, source
from pymacaron_ci.errors import BuildError
from pymacaron_ci.model import Image, Release, Secret
from tests.ci.image_parts import commit, write
from tests.ci.registry_process import docker_registry

pytestmark = [pytest.mark.real("docker", "registry", "git")]

EXAMPLE = Path(__file__).parents[2] / "examples" / "helloworld"
SECRET = "an-example-secret-of-32-characters!!"


def environ() -> dict[str, str]:
    names = ("PATH", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
    return {n: os.environ[n] for n in names if n in os.environ} | {"HOME": "/nonexistent"}


def recipe(folder: Path, **changes: Any) -> image.Recipe:
    return image.Recipe(
        folder=folder,
        source=source.read(folder, environ()),
        config_file=folder / "pym-config.yaml",
        environ=environ(),
        python_version="3.11",
        forbidden=(Secret("HELLO_JWT_SECRET", SECRET),),
        **changes,
    )


def release(made: image.Recipe, repository: str) -> Release:
    version = made.source.version
    return Release(
        id="r1",
        version=version,
        revision=made.source.revision,
        image=Image(repository=repository, tag=version),
        environment={"HELLO_JWT_SECRET": Secret("HELLO_JWT_SECRET", SECRET)},
    )


def build(made: image.Recipe, repository: str, lines: list[str] | None = None) -> Image:
    told: list[str] = [] if lines is None else lines
    builder = image.docker_builder(made, told.append)
    return builder.push(builder.build(release(made, repository)))


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    engine = docker.from_env()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service") / "helloworld"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".pymacaron"))
    commit(folder, {})
    return folder


@pytest.fixture(scope="module")
def pushed(
    service: Path, registry: str, client: docker.DockerClient
) -> Iterator[tuple[Image, list[str]]]:
    lines: list[str] = []
    made = build(recipe(service), f"{registry}/demo/helloworld", lines)
    yield made, lines
    for tag in (made.tag, "packages", "latest"):
        client.images.remove(f"{made.repository}:{tag}", force=True)


@pytest.mark.parametrize("platforms", [("linux/s390x",), ("linux/amd64", "linux/arm64")])
def test_an_image_for_another_machine_than_platforms_asks_for_is_refused(
    service: Path, pushed: tuple[Image, list[str]], platforms: tuple[str, ...]
) -> None:
    made = recipe(service, platforms=platforms)
    with pytest.raises(BuildError, match="`platforms` asks for") as refused:
        image.docker_builder(made).build(release(made, pushed[0].repository))
    assert "builder: layers" in str(refused.value.problems[0].hint)


@pytest.fixture
def container(pushed: tuple[Image, list[str]], client: docker.DockerClient) -> Iterator[Container]:
    made, _ = pushed
    started = client.containers.run(
        f"{made.repository}:{made.tag}",
        detach=True,
        environment={"HELLO_JWT_SECRET": SECRET, "PYM_ENV": "dev"},
        ports={"8080/tcp": ("127.0.0.1", 0)},
        mem_limit="512m",
    )
    try:
        yield started
    finally:
        started.remove(force=True)


def address(started: Container) -> str:
    deadline = time.monotonic() + 90
    while True:
        started.reload()
        ports = started.ports.get("8080/tcp")
        if ports:
            url = f"http://127.0.0.1:{ports[0]['HostPort']}"
            try:
                if requests.get(f"{url}/ping", timeout=2).ok:
                    return url
            except requests.RequestException:
                pass
        assert started.status != "exited", started.logs().decode()[-3000:]
        assert time.monotonic() < deadline, started.logs().decode()[-3000:]
        time.sleep(0.1)


def test_the_digest_is_the_registrys_own(pushed: tuple[Image, list[str]]) -> None:
    made, lines = pushed
    host, _, path = made.repository.partition("/")
    answer = requests.head(
        f"http://{host}/v2/{path}/manifests/{made.tag}",
        headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
        timeout=5,
    )
    assert made.digest == answer.headers["Docker-Content-Digest"]
    assert any(line.startswith("Step ") for line in lines)


def test_the_service_answers_with_this_release_and_stops_cleanly(
    container: Container, pushed: tuple[Image, list[str]]
) -> None:
    url = address(container)
    assert requests.get(f"{url}/version", timeout=5).json()["version"] == pushed[0].tag
    processes = container.top()["Processes"]
    assert "pymacaron-serve" in " ".join(processes[0])  # PID 1, no shell in front
    assert container.exec_run(["id", "-u"]).output == b"10001\n"
    container.stop(timeout=20)
    assert container.wait()["StatusCode"] == 0


def test_pymtest_starts_the_image_tests_it_and_leaves_nothing_behind(
    pushed: tuple[Image, list[str]], service: Path, client: docker.DockerClient
) -> None:
    made, _ = pushed
    name = f"{made.repository}:{made.tag}"
    done = subprocess.run(
        [sys.executable, "-m", "pymacaron.pymtest", "--image", name, "--gen-token"],
        cwd=service,
        env={**environ(), "HELLO_JWT_SECRET": SECRET},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    assert client.containers.list(all=True, filters={"ancestor": name}) == []


def test_nothing_in_the_image_holds_a_secret(
    pushed: tuple[Image, list[str]], client: docker.DockerClient
) -> None:
    made, lines = pushed
    kept = client.images.get(f"{made.repository}:{made.tag}")
    assert SECRET not in json.dumps([kept.history(), kept.attrs, lines])
    base = len(client.images.get(recipe(EXAMPLE).base_image).attrs["RootFS"]["Layers"])
    with tempfile.TemporaryFile() as file:
        for chunk in kept.save():
            file.write(chunk)
        file.seek(0)
        with tarfile.open(fileobj=file) as saved:
            manifest = json.load(saved.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
            for layer in manifest["Layers"][base:]:
                content = saved.extractfile(layer)
                assert content
                assert SECRET.encode() not in content.read()


def test_only_the_commit_shows_in_the_labels(
    pushed: tuple[Image, list[str]], service: Path, client: docker.DockerClient
) -> None:
    made, _ = pushed
    found = source.read(service, environ())
    assert client.images.get(f"{made.repository}:{made.tag}").labels == {
        "org.opencontainers.image.revision": found.revision,
        "org.opencontainers.image.version": found.version,
        "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
        "org.opencontainers.image.title": "helloworld",
    }


def test_the_image_is_no_larger_than_base_dependencies_and_5_megabytes(
    pushed: tuple[Image, list[str]], client: docker.DockerClient
) -> None:
    made, _ = pushed
    name = f"{made.repository}:{made.tag}"
    size = client.images.get(name).attrs["Size"]
    base = client.images.get(recipe(EXAMPLE).base_image).attrs["Size"]
    count = "du -sb /opt/venv/lib | cut -f1"
    dependencies = int(client.containers.run(name, ["sh", "-c", count], remove=True))
    assert size <= base + dependencies + 5_000_000
    listed = client.containers.run(name, ["ls", "/opt/venv/bin", "/opt"], remove=True).decode()
    assert "pip" not in listed.split()


def test_the_code_is_there_compiled_and_without_tests(
    pushed: tuple[Image, list[str]], client: docker.DockerClient
) -> None:
    made, _ = pushed
    listed = client.containers.run(
        f"{made.repository}:{made.tag}", ["find", "/pym", "-type", "f"], remove=True
    ).decode()
    assert "/pym/VERSION" in listed
    assert "/pym/helloworld/__pycache__/api." in listed
    for absent in ("/pym/test/", "/pym/testaccept/", ".git", "Dockerfile", ".runtime"):
        assert absent not in listed


def test_a_change_of_code_sends_neither_base_nor_packages_again(
    pushed: tuple[Image, list[str]], service: Path, client: docker.DockerClient, tmp_path: Path
) -> None:
    folder = shutil.copytree(service, tmp_path / "helloworld")
    commit(folder, {"helloworld/extra.py": "x = 1\n", "Dockerfile.extra": "ENV MORE=1\n"})
    lines: list[str] = []
    made = build(recipe(folder), pushed[0].repository, lines)
    name = f"{made.repository}:{made.tag}"
    assert f"{made.tag}: 1 of 3 layers were new" in lines
    assert "MORE=1" in client.images.get(name).attrs["Config"]["Env"]
    client.images.remove(name, force=True)


def test_an_engine_without_local_layers_takes_the_packages_from_the_registry(
    pushed: tuple[Image, list[str]], service: Path, client: docker.DockerClient
) -> None:
    made, _ = pushed
    for tag in (made.tag, "packages", "latest"):
        client.images.remove(f"{made.repository}:{tag}", force=True)
    client.api.prune_builds()
    client.images.prune()
    lines: list[str] = []
    again = build(recipe(service), made.repository, lines)
    assert f"using the layers of {made.repository}:packages" in lines
    # Compiling the code again gives other file times; the packages stay what they were.
    assert {f"{again.tag}: {new} of 3 layers were new" for new in (0, 1)} & set(lines)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A service that needs nothing, so that what is tried takes no download."""
    files = {
        "pym-config.yaml": "name: tiny\n",
        "requirements.txt": "",
        "server.py": "print('hello')\n",
    }
    commit(tmp_path / "tiny", files)
    return tmp_path / "tiny"


def test_a_service_keeps_its_own_dockerfile_and_ignore_file(
    tiny: Path, registry: str, client: docker.DockerClient
) -> None:
    write(
        tiny,
        {
            "Dockerfile": 'FROM python:3.11-slim\nCOPY . /mine\nUSER 7\nCMD ["ls", "/mine"]\n',
            ".dockerignore": "*.md\n",
            "notes.md": "",
        },
    )
    commit(tiny, {})
    warnings: list[str] = []
    made = build(recipe(tiny, warn=warnings.append), f"{registry}/demo/tiny")
    assert not warnings
    name = f"{made.repository}:{made.tag}"
    listed = client.containers.run(name, remove=True).decode().split()
    assert {"server.py", "VERSION", "pym-config.yaml"} <= set(listed)
    assert "notes.md" not in listed
    assert client.images.get(name).attrs["Config"]["User"] == "7"
    client.images.remove(name, force=True)


def test_a_dockerfile_that_ends_as_root_is_warned_of(tiny: Path, registry: str) -> None:
    commit(tiny, {"Dockerfile": 'FROM python:3.11-slim\nCMD ["ls"]\n'})
    warnings: list[str] = []
    build(recipe(tiny, warn=warnings.append), f"{registry}/demo/tiny")
    assert [line for line in warnings if "runs as root" in line]


def test_a_failing_step_shows_its_last_lines(tiny: Path, registry: str) -> None:
    write(
        tiny,
        {
            "Dockerfile": (
                "FROM python:3.11-slim\nRUN echo before\n"
                "RUN for i in $(seq 40); do echo line $i; done; exit 3\n"
            )
        },
    )
    commit(tiny, {})
    with pytest.raises(BuildError, match="returned a non-zero code: 3") as caught:
        build(recipe(tiny), f"{registry}/demo/tiny")
    assert caught.value.details[-1].endswith("line 40") or "line 40" in caught.value.details
    assert "before" not in "\n".join(caught.value.details)
    assert caught.value.exit_code == 4


def test_a_base_image_that_is_not_there_is_named(tiny: Path, registry: str) -> None:
    with pytest.raises(BuildError, match=r"base image .*/no/such:1 can't be pulled") as caught:
        build(recipe(tiny, base=f"{registry}/no/such:1"), f"{registry}/demo/tiny")
    assert "docker_base" in str(caught.value.problems[0].hint)


def test_no_engine_is_told_with_its_address_and_what_else_would_do(tiny: Path) -> None:
    made = recipe(tiny)
    object.__setattr__(made, "environ", {"DOCKER_HOST": "unix:///nonexistent.sock"})
    with pytest.raises(BuildError, match=r"no Docker engine answers at unix:///nonexistent\.sock"):
        build(made, "127.0.0.1:1/demo/tiny")


def test_a_registry_that_wants_a_log_in_is_named_and_given_it_from_the_environment(
    tiny: Path, tmp_path: Path, client: docker.DockerClient
) -> None:
    # bcrypt of "right"
    password = "carol:$2b$05$abcdefghijklmnopqrstuu8xaCxxL82bnl.UY74PMksDxIJShppPC\n"
    write(tiny, {"Dockerfile": 'FROM python:3.11-slim\nCMD ["ls"]\n'})
    commit(tiny, {})
    with docker_registry(tmp_path / "registry", htpasswd=password) as host:
        repository = f"{host}/demo/tiny"
        with pytest.raises(BuildError, match="wants a log-in"):
            build(recipe(tiny), repository)
        for given, fails in (("wrong", True), ("right", False)):
            logins = {
                "DOCKER_USERNAME": "carol",
                "DOCKER_PASSWORD": given,
                "DOCKER_LOGIN_REGISTRY": host,
            }
            made = recipe(tiny)
            object.__setattr__(made, "environ", {**environ(), **logins})
            if fails:
                with pytest.raises(BuildError, match="refused the log-in of carol") as caught:
                    build(made, repository)
                assert "wrong" not in str(caught.value)
            else:
                assert str(build(made, repository).digest).startswith("sha256:")
        client.images.remove(f"{repository}:{made.source.version}", force=True)
