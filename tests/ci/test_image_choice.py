"""Which builder makes an image, and the images of rehearsals without an engine."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from pymacaron_ci import image, source
from pymacaron_ci.errors import BuildError
from pymacaron_ci.images.docker_engine import DockerBuilder
from pymacaron_ci.images.layered import LayeredBuilder
from pymacaron_ci.images.packages import NeedsCompiler
from pymacaron_ci.images.recipe import Recipe
from pymacaron_ci.model import Image, Release, Secret
from tests.ci.faulty_registry import faulty_registry
from tests.ci.image_parts import ENVIRON, SERVICE, commit

pytestmark = pytest.mark.real("git")


def recipe(folder: Path, **changes: object) -> Recipe:
    values = {
        "folder": folder,
        "source": source.read(folder, ENVIRON),
        "config_file": folder / "pym-config.yaml",
        "environ": {**ENVIRON, "DOCKER_HOST": "unix:///nonexistent.sock"},
        **changes,
    }
    return Recipe(**values)  # type: ignore[arg-type]


def release(made: Recipe, repository: str) -> Release:
    return Release(
        id="r1",
        version=made.source.version,
        revision=made.source.revision,
        image=Image(repository=repository, tag=made.source.version),
    )


@pytest.mark.parametrize("own", ["Dockerfile", "Dockerfile.extra"])
def test_a_service_with_docker_instructions_gets_the_engine(tmp_path: Path, own: str) -> None:
    commit(tmp_path, {**SERVICE, own: "FROM scratch"})
    made = recipe(tmp_path)
    assert isinstance(image.builder(made), DockerBuilder)
    with pytest.raises(BuildError, match=f"`builder: layers` can't make use of {own}"):
        image.builder(made, "layers")


def test_the_builder_can_be_chosen(tmp_path: Path) -> None:
    commit(tmp_path)
    made = recipe(tmp_path)
    assert isinstance(image.builder(made, "docker"), DockerBuilder)
    assert isinstance(image.builder(made, "layers"), LayeredBuilder)
    assert not isinstance(image.builder(made, "auto"), DockerBuilder)


def test_without_an_engine_a_package_to_compile_ends_the_build_with_both_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(tmp_path)
    made = recipe(tmp_path)

    class Needing:
        def build(self, release: Release) -> Image:
            raise NeedsCompiler("x has no wheel")

        def push(self, image: Image) -> Image:
            raise AssertionError

    monkeypatch.setattr(image, "layered_builder", lambda *_: Needing())
    with pytest.raises(NeedsCompiler) as caught:
        image.builder(made).build(release(made, "127.0.0.1:1/x"))
    texts = [problem.text for problem in caught.value.problems]
    assert texts[0] == "x has no wheel"
    assert "no Docker engine answers" in texts[1]


def layers_of(content: dict[tuple[str, str], bytes], manifest: bytes) -> dict[str, bytes]:
    files = {}
    for layer in json.loads(manifest)["layers"]:
        unpacked = gzip.decompress(content["hello", layer["digest"]])
        with tarfile.open(fileobj=io.BytesIO(unpacked)) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file:
                    files[member.name] = file.read()
    return files


def test_an_image_without_a_base_holds_the_service_and_says_how_it_is_run(tmp_path: Path) -> None:
    commit(tmp_path)
    made = recipe(tmp_path, config_file=tmp_path / "pym-config.live.yaml")
    with faulty_registry() as registry:
        for _ in range(2):
            builder = image.source_builder(made)
            wanted = release(made, f"{registry.host}/hello")
            pushed = builder.push(builder.build(wanted))
        _, manifest = registry.manifests["hello", pushed.tag]
        assert ("hello", pushed.digest) in registry.manifests
        files = layers_of(registry.blobs, manifest)
        config = json.loads(registry.blobs["hello", json.loads(manifest)["config"]["digest"]])
        assert registry.count("POST", "uploads") == 3  # the second run found all three there
    assert files["pym/VERSION"] == f"{made.source.version}\n".encode()
    assert files["pym/pym-config.yaml"] == b"name: hello-live\n"
    assert [name for name in files if name.startswith("pym/.runtime/pymacaron-")]
    assert not [name for name in files if "test" in name.split("/")[1]]
    settings = config["config"]
    assert settings["Cmd"] == ["pymacaron-serve", "server:app"]
    assert settings["WorkingDir"] == "/pym"
    assert settings["Labels"]["pymacaron.base"] == "none"


def test_every_builder_refuses_a_file_with_a_secrets_value(tmp_path: Path) -> None:
    commit(tmp_path, {**SERVICE, "settings.py": "KEY = 'value-of-the-secret'"})
    secret = Secret("KEY", "value-of-the-secret")
    made = recipe(tmp_path, forbidden=(secret,))
    for make in (image.source_builder, image.layered_builder, image.docker_builder):
        with pytest.raises(BuildError, match=r"settings\.py holds the value of the secret KEY"):
            make(made).build(release(made, "127.0.0.1:1/x"))


def test_workers_are_supervised_beside_the_server_where_the_service_has_some(
    tmp_path: Path,
) -> None:
    commit(tmp_path)
    made = recipe(tmp_path, with_async=True)
    assert made.command == ["python3", "-m", "pymacaron.supervise"]
    assert made.extras == "[async]"
