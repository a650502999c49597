"""Images made without an engine, pushed to a real registry, run by a real engine."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from pymacaron_ci import config as configs
from pymacaron_ci import image, source, test_bed
from pymacaron_ci.context import Entry
from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import docker_engine, oci, registry
from pymacaron_ci.images.layered import LayeredBuilder
from pymacaron_ci.model import Image, Release, Secret
from pymacaron_ci.simulator.registry import Registry
from tests.ci.image_parts import (
    MINOR,
    SECRET,
    commit,
    git,
    make_service,
    make_wheels,
    push_base,
    recipe,
    release_of,
    tiny_wheel,
    write,
)
from tests.ci.registry_process import docker_registry

pytestmark = [pytest.mark.real("registry", "git")]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="module")
def base(host: str) -> str:
    return push_base(host, "base", {"amd64": "A", "arm64": "B"})


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    return make_wheels(tmp_path / "index")


@pytest.fixture
def service(tmp_path: Path) -> Path:
    return make_service(tmp_path / "hello")


def build(
    made: image.Recipe, repository: str, lines: list[str] | None = None
) -> tuple[Image, LayeredBuilder]:
    told: list[str] = [] if lines is None else lines
    builder = LayeredBuilder(made, told.append)
    return builder.push(builder.build(release_of(made, repository))), builder


@dataclass(frozen=True)
class First:
    """A first build, for the tests that look at it or go on from it (in clones of the service)."""

    image: Image
    digest_before_push: str | None
    lines: list[str]
    service: Path
    wheels: Path

    def clone(self, folder: Path) -> Path:
        return shutil.copytree(self.service, folder / "hello")


@pytest.fixture(scope="module")
def built(host: str, base: str, tmp_path_factory: pytest.TempPathFactory) -> First:
    folder = tmp_path_factory.mktemp("first")
    service, wheels = make_service(folder / "hello"), make_wheels(folder / "index")
    lines: list[str] = []
    made, builder = build(recipe(service, base, wheels), f"{host}/t/first", lines)
    return First(made, builder.digest, lines, service, wheels)


@pytest.fixture
def repository(host: str, tmp_path: Path) -> str:
    return f"{host}/t/{tmp_path.name.replace('_', '-')}"


def pulled(made: Image) -> tuple[dict[str, Any], dict[str, Any], list[bytes]]:
    """(manifest, configuration, unpacked layers) as a registry hands them out."""
    from_there = registry.Repository(registry.parse(made.repository))
    manifest = from_there.manifest(made.digest or made.tag)
    assert manifest
    assert isinstance(manifest.content, bytes)
    data = json.loads(manifest.content)
    config = json.loads(from_there.fetch(data["config"]["digest"]))
    layers = [gzip.decompress(from_there.fetch(layer["digest"])) for layer in data["layers"]]
    return data, config, layers


def names(layer: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return {member.name for member in tar if not member.isdir()}


def test_the_image_is_base_packages_code_and_version_each_in_a_layer_of_its_own(
    built: First,
) -> None:
    manifest, config, layers = pulled(built.image)
    assert built.digest_before_push == built.image.digest
    assert names(layers[0]) == {"etc/base"}
    assert {"opt/packages/tiny/__init__.py", "opt/packages/bin/tiny-hello"} <= names(layers[1])
    assert not [name for layer in layers for name in names(layer) if name.endswith(".pyc")]
    assert {"pym/hello/api.py", "pym/server.py", "pym/requirements.txt"} <= names(layers[2])
    assert names(layers[3]) == {"pym/VERSION", "pym/requirements.lock"}
    assert {layer["mediaType"] for layer in manifest["layers"]} == {oci.LAYER}
    assert config["rootfs"]["diff_ids"] == [oci.digest_of(layer) for layer in layers]
    assert len(config["history"]) == 4
    settings = config["config"]
    assert settings["Cmd"] == ["pymacaron-serve", "server:app"]
    assert settings["User"] == "10001:10001"
    assert "Entrypoint" not in settings
    assert "PATH=/opt/packages/bin:/usr/local/bin:/bin" in settings["Env"]
    assert "LANG=C.UTF-8" in settings["Env"]
    assert settings["Labels"]["pymacaron.packages"] == "pymacaron==9.0 tiny==1.0"
    assert config["created"] == "2023-11-14T22:13:20Z"


COMMAND = """
import sys
from pymacaron_ci import cli
code = cli._main(["build", "--no-test", "-C", sys.argv[1]])
print("loaded:", [name for name in ("boto3", "google.auth", "docker") if name in sys.modules])
sys.exit(code)
"""


def test_building_needs_no_credentials_and_no_library_of_a_cloud(
    host: str, base: str, wheels: Path, tmp_path: Path
) -> None:
    service = make_service(tmp_path / "hello")
    config = f"""\
name: hello
deploy_target: aws-beanstalk
live_url: https://hello.example.com
docker_registry: {host}
docker_repo: t
docker_base: {base}
docker_bucket: hello-config
python_version: "{MINOR}"
aws_user: deployer
aws_region: eu-west-1
aws_keypair: pair
aws_instance_type: t3.micro
aws_cert_arn: arn:aws:acm:eu-west-1:123456789012:certificate/12345678-90ab-cdef-1234-567890abcdef
"""
    commit(service, {"pym-config.yaml": config})
    environment = recipe(service, base, wheels).environ
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(service)],
        env={**environment, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"image {host}/t/hello@sha256:" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded: []"


# Where secrets lie about in a service's folder.
PLANTED = [
    ".env", "conf/.env.production", ".npmrc", ".pypirc", ".netrc", ".git-credentials",
    "conf/id_rsa",
    "gha-creds-1a2b.json", "credentials.json", "client_secret_1.json", ".aws/credentials",
    ".docker/config.json", ".kube/config", "infra/prod.tfstate", "hello/signing.p12",
    "test/fixtures.json", "testaccept/tokens.py", ".github/workflows/deploy.yml",
]  # fmt: skip


def test_nothing_secret_is_in_any_layer_label_or_document(
    host: str, base: str, wheels: Path, tmp_path: Path
) -> None:
    planted = {place: f"planted-{number:02}-{'s3cret' * 3}" for number, place in enumerate(PLANTED)}
    service = make_service(tmp_path / "hello")
    key = "-----BEGIN EC PRIVATE KEY-----\nplanted-by-content\n-----END EC PRIVATE KEY-----\n"
    commit(service, {**planted, "hello/server.pem": key, ".gitignore": "ignored\n"})
    write(service, {"ignored": "planted-ignored", "untracked.txt": "planted-untracked"})
    git(service, "remote", "add", "origin", "https://carol:planted-remote@git.example.com/a.git")
    made = recipe(service, base, wheels)
    credentials = {"DOCKER_PASSWORD": "planted-password", "GITHUB_TOKEN": "planted-token"}
    made = replace(made, environ={**made.environ, **credentials})
    lines: list[str] = []
    pushed, _ = build(made, f"{host}/t/secrets", lines)
    manifest, config, layers = pulled(pushed)
    told = json.dumps([manifest, config, documents(pushed), lines]).encode()
    everything = b"\0".join([told, *layers])
    assert b"git.example.com/a" in everything
    assert not re.findall(rb"planted-[\w-]+", everything)
    assert SECRET.encode() not in everything
    assert {place for place in PLANTED if any(place in line for line in lines)} == {
        place for place in PLANTED if not place.startswith((".github", "test"))
    }


def test_the_same_commit_is_not_made_again(built: First, base: str, tmp_path: Path) -> None:
    lines: list[str] = []
    nowhere = tmp_path / "no wheels"
    again, _ = build(recipe(built.service, base, nowhere), built.image.repository, lines)
    assert again == built.image
    assert lines[-1] == "the image of this very commit is in the registry already"


def test_a_dry_run_tells_the_digest_and_sends_nothing(
    service: Path, base: str, wheels: Path, repository: str
) -> None:
    made = recipe(service, base, wheels)
    wanted = release_of(made, repository)
    foreseen = LayeredBuilder(made).foresee(wanted)
    assert registry.Repository(registry.parse(repository)).manifest(wanted.image.tag) is None
    assert (
        not requests.get(f"http://{repository.replace('/', '/v2/', 1)}/tags/list")
        .json()
        .get("tags")
    )
    pushed, _ = build(made, repository)
    assert foreseen == pushed


def test_a_change_of_code_sends_kilobytes_and_keeps_the_packages(
    built: First, base: str, tmp_path: Path
) -> None:
    service = built.clone(tmp_path)
    commit(service, {f"hello/m{n}.py": f"x = {n}\n" * 20 for n in range(50)})
    lines: list[str] = []
    second, _ = build(recipe(service, base, built.wheels), built.image.repository, lines)
    before, after = pulled(built.image)[0]["layers"], pulled(second)[0]["layers"]
    assert before[:2] == after[:2]
    assert before[2] != after[2]
    assert not [line for line in lines if "fetching" in line]
    sent = next(line for line in lines if line.endswith(" sent"))
    assert sent.endswith("kB sent")
    assert float(sent.split()[0]) < 100


def test_what_was_resolved_once_stays_until_an_upgrade_is_asked_for(
    built: First, base: str, wheels: Path, tmp_path: Path
) -> None:
    service, repository = built.clone(tmp_path), built.image.repository
    tiny_wheel(wheels, "tiny", "1.1")
    commit(service, {"server.py": "app = 1\n"})
    kept, _ = build(recipe(service, base, wheels), repository)
    assert "tiny==1.0" in pulled(kept)[1]["config"]["Labels"]["pymacaron.packages"]
    newer, _ = build(recipe(service, base, wheels, upgrade=True), repository)
    assert "tiny==1.1" in pulled(newer)[1]["config"]["Labels"]["pymacaron.packages"]
    assert b"tiny==1.1 --hash=sha256:" in pulled(newer)[2][-1]


def test_another_base_brings_the_packages_anew(built: First, host: str, tmp_path: Path) -> None:
    service = built.clone(tmp_path)
    other = push_base(host, "base2", {"amd64": "C"})
    commit(service, {"server.py": "app = 2\n"})
    lines: list[str] = []
    made, _ = build(recipe(service, other, built.wheels), built.image.repository, lines)
    assert any(line.startswith("fetching packages") for line in lines)
    assert pulled(made)[1]["config"]["Labels"]["org.opencontainers.image.base.name"] == other


def test_two_platforms_come_as_one_index(
    service: Path, base: str, wheels: Path, repository: str
) -> None:
    made, _ = build(
        recipe(service, base, wheels, platforms=("linux/amd64", "linux/arm64")), repository
    )
    target = registry.Repository(registry.parse(repository))
    found = target.manifest(made.tag)
    assert found
    assert (found.digest, found.media_type) == (made.digest, oci.INDEX)
    listed = json.loads(found.content)["manifests"]  # type: ignore[arg-type]
    for entry, letter in zip(listed, "AB", strict=True):
        part = replace(made, digest=entry["digest"])
        _, config, layers = pulled(part)
        assert config["architecture"] == entry["platform"]["architecture"]
        with tarfile.open(fileobj=io.BytesIO(layers[0])) as tar:
            assert tar.extractfile("etc/base").read().decode() == letter  # type: ignore[union-attr]


def test_bytecode_is_made_where_it_is_asked_for_by_the_images_own_version_of_python(
    service: Path, host: str, wheels: Path, repository: str
) -> None:
    exact = ".".join(map(str, sys.version_info[:3]))
    base = push_base(host, "base-exact", {"amd64": "E"}, python=exact)
    made, _ = build(recipe(service, base, wheels, bytecode=True), repository)
    _, _, layers = pulled(made)
    tag = f"cpython-{MINOR.replace('.', '')}.pyc"
    assert f"opt/packages/tiny/__pycache__/__init__.{tag}" in names(layers[1])
    assert f"pym/hello/__pycache__/api.{tag}" in names(layers[2])
    other = push_base(host, "base-patch", {"amd64": "F"}, python=f"{MINOR}.99")
    with pytest.raises(BuildError, match=rf"needs Python {MINOR}\.99 .*there is {exact}"):
        build(recipe(service, other, wheels, bytecode=True), repository)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"base": "HOST/none:1"}, "base image .*none:1 is not in its registry"),
        ({"platforms": ("linux/s390x",)}, "can't be made for the platform linux/s390x"),
        ({"base": "HOST/base2:1", "platforms": ("linux/arm64",)}, "does not exist for linux/arm64"),
    ],
)
def test_a_base_or_platform_that_is_not_there_is_named(
    service: Path,
    host: str,
    base: str,
    wheels: Path,
    repository: str,
    changes: dict[str, Any],
    text: str,
) -> None:
    push_base(host, "base2", {"amd64": "C"})
    made = replace(recipe(service, base, wheels), **changes)
    made = replace(made, base=str(made.base).replace("HOST", host))
    with pytest.raises(BuildError, match=text):
        build(made, repository)


def test_a_package_without_any_wheel_is_named_with_what_to_do(
    service: Path, base: str, wheels: Path, repository: str
) -> None:
    wheel = tiny_wheel(wheels, "compiled")
    wheel.rename(wheels / f"compiled-1.0-cp{MINOR.replace('.', '')}-none-win_amd64.whl")
    commit(service, {"requirements.txt": "pymacaron==9.0\ncompiled\n"})
    with pytest.raises(BuildError, match="compiled has no wheel for linux/amd64") as caught:
        build(recipe(service, base, wheels), repository)
    assert "builder: docker" in str(caught.value.problems[0].hint)


def test_a_pure_python_sdist_is_built_to_the_same_bytes_each_time(
    service: Path, base: str, wheels: Path, repository: str
) -> None:
    sources = wheels.parent / "pure-1.0"
    backend = (  # a build backend that needs nothing from an index
        "import time, zipfile\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        "    name = 'pure-1.0-py3-none-any.whl'\n"
        "    with zipfile.ZipFile(folder + '/' + name, 'w') as z:\n"
        "        z.writestr('pure.py', 'x = 1')\n"
        "        i = 'pure-1.0.dist-info/'\n"
        "        meta = 'Metadata-Version: 2.1\\nName: pure\\nVersion: 1.0\\n'\n"
        "        z.writestr(i + 'METADATA', meta)\n"
        "        z.writestr(i + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n'\n"
        "                   'Tag: py3-none-any\\n')\n"
        "        z.writestr(zipfile.ZipInfo(i + 'RECORD', time.gmtime()[:6]), '')\n"
        "    return name\n"
    )
    write(
        sources,
        {
            "pyproject.toml": (
                '[build-system]\nrequires=[]\nbuild-backend="backend"\nbackend-path=["."]\n'
                '[project]\nname="pure"\nversion="1.0"\n'
            ),
            "backend.py": backend,
            "PKG-INFO": "Metadata-Version: 2.1\nName: pure\nVersion: 1.0\n",
        },
    )
    with tarfile.open(wheels / "pure-1.0.tar.gz", "w:gz") as tar:
        tar.add(sources, "pure-1.0")
    commit(service, {"requirements.txt": "pymacaron==9.0\npure\n"})
    made, _ = build(recipe(service, base, wheels), f"{repository}/hello")
    assert "opt/packages/pure.py" in names(pulled(made)[2][1])
    again, _ = build(recipe(service, base, wheels), f"{repository}-again/hello")
    assert again.digest == made.digest


def test_requirements_with_hashes_are_held_to_them(
    service: Path, base: str, wheels: Path, repository: str
) -> None:
    wrong = f"pymacaron==9.0 --hash=sha256:{'0' * 64}\n"
    commit(service, {"requirements.txt": wrong})
    with pytest.raises(BuildError, match="can't be resolved") as caught:
        build(recipe(service, base, wheels), repository)
    assert any("HASH" in line.upper() for line in caught.value.details)


def test_another_interpreters_markers_decide_not_this_ones(
    service: Path, host: str, wheels: Path, repository: str
) -> None:
    other = "3.12" if MINOR != "3.12" else "3.13"
    base = push_base(host, "base-other", {"amd64": "D"}, python=f"{other}.4")
    lines = (
        f'pymacaron==9.0\ntiny; python_version == "{MINOR}"\nother; python_version == "{other}"\n'
    )
    commit(service, {"requirements.txt": lines})
    made, _ = build(recipe(service, base, wheels), repository)
    assert pulled(made)[1]["config"]["Labels"]["pymacaron.packages"] == (
        "other==2.0 pymacaron==9.0"
    )


CHILD = """
import os, sys
from pathlib import Path
import tests.ci.test_image_layered as t
from tests.ci.image_parts import recipe
folder, base, wheels, repository = sys.argv[1:]
made, _ = t.build(recipe(Path(folder), base, Path(wheels)), repository)
print(os.geteuid(), made.digest)
"""


def digest_elsewhere(
    clone: Path, base: str, wheels: Path, repository: str, *launcher: str, **environ: str
) -> str:
    """What a process of its own makes of a clone, in a folder that anybody may write to."""
    for folder in (clone.parent, clone.parent / "home"):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
    environment = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(clone.parent),
        "HOME": str(clone.parent / "home"),
        "PYTHONPATH": str(Path.cwd()),
    }
    command = [*launcher, sys.executable, "-c", CHILD, str(clone)]
    done = subprocess.run(
        [*command, base, str(wheels), repository],
        env=environment | environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("umask", ["022", "077"])
def test_the_same_commit_has_the_same_digest_on_another_machine(
    built: First, base: str, wheels: Path, repository: str, tmp_path: Path, umask: str
) -> None:
    """Another umask, time zone, locale, hash seed, folder and repository: nothing is reused."""
    clone = tmp_path / "deep" / "hello"
    script = f'umask {umask}; git clone -q "{built.service}" "{clone}"'
    subprocess.run(["sh", "-c", script], check=True, env={"PATH": os.environ["PATH"]})
    there = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": umask}
    launcher = ("sh", "-c", f'umask {umask}; exec "$@"', "sh")
    made = digest_elsewhere(clone, base, wheels, f"{repository}/first", *launcher, **there)
    assert made == f"{os.geteuid()} {built.image.digest}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_same_commit_has_the_same_digest_for_another_user(
    built: First, base: str, repository: str
) -> None:
    nobody = "65534"
    # It may read the interpreter, wherever root has put it, and nothing else that root may do.
    command = ["setpriv", "--reuid", nobody, "--regid", nobody, "--clear-groups"]
    command += ["--inh-caps", "-all,+dac_read_search", "--ambient-caps", "+dac_read_search"]
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are root's alone
        clone = built.clone(Path(name))
        wheels = shutil.copytree(built.wheels, Path(name) / "index")
        made = digest_elsewhere(clone, base, wheels, f"{repository}/first", *command)
    assert made == f"{nobody} {built.image.digest}"


LARGE = """
import re, sys
from pathlib import Path
from pymacaron_ci.images.layered import LayeredBuilder
from tests.ci.image_parts import recipe, release_of
folder, base, wheels, repository = sys.argv[1:]
made = recipe(Path(folder), base, Path(wheels))
builder = LayeredBuilder(made)
builder.push(builder.build(release_of(made, repository)))
# Not ru_maxrss: that starts with what the parent held when it forked.
print(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""


def test_ten_thousand_files_and_a_large_one_stay_within_200_megabytes(
    tmp_path: Path, base: str, wheels: Path, repository: str
) -> None:
    service = tmp_path / "large"
    files = {f"d{n % 97}/f{n}": "x" * (n % 300) for n in range(10_000)}
    write(
        service,
        {**files, "pym-config.yaml": "name: hello\n", "requirements.txt": "pymacaron==9.0\n"},
    )
    with (service / "large").open("wb") as file:
        file.write(random.Random(1).randbytes(16 << 20))  # nothing can compress it
        file.truncate(210 << 20)
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(service), base, str(wheels), repository],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200_000


def documents(made: Image) -> dict[str, dict[str, Any]]:
    """The documents attached to an image, by their type, found as the specification says."""
    target = registry.Repository(registry.parse(made.repository))
    listed = target.manifest(str(made.digest).replace(":", "-"))  # Debian's knows no referrers
    assert listed
    found = {}
    for entry in json.loads(listed.content)["manifests"]:  # type: ignore[arg-type]
        manifest = target.manifest(entry["digest"])
        assert manifest
        data = json.loads(manifest.content)  # type: ignore[arg-type]
        assert data["subject"]["digest"] == made.digest
        found[data["artifactType"]] = json.loads(target.fetch(data["layers"][0]["digest"]))
    return found


def test_sbom_and_provenance_name_every_package_the_base_and_the_commit(
    built: First, base: str
) -> None:
    found = documents(built.image)
    sbom = found["application/vnd.cyclonedx+json"]
    assert [(c["name"], c["version"]) for c in sbom["components"]] == [
        ("pymacaron", "9.0"),
        ("tiny", "1.0"),
    ]
    statement = found["application/vnd.in-toto+json"]
    assert statement["subject"][0]["digest"]["sha256"] in str(built.image.digest)
    made_from = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert made_from[0]["digest"]["gitCommit"] == source.read(built.service, os.environ).revision
    assert made_from[1]["uri"] == f"docker://{base}"
    wheel = hashlib.sha256((built.wheels / "tiny-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    assert made_from[3] == {"uri": "pkg:pypi/tiny@1.0", "digest": {"sha256": wheel}}
    assert SECRET not in json.dumps(found)


@pytest.mark.real("skopeo")
def test_a_saved_image_is_one_that_docker_and_oci_tools_read(
    built: First, base: str, tmp_path: Path
) -> None:
    again = recipe(built.service, base, built.wheels)
    fresh = replace(again, upgrade=True)  # one that is found in the registry, and one that is made
    for number, made in enumerate((again, fresh)):
        file = tmp_path / f"{number}.tar"
        inner = image.layered_builder(made)
        saving = image.Saving(inner, str(file), made.environ)
        wanted = Release(
            id="r1", version=built.image.tag, revision=made.source.revision, image=built.image
        )
        saving.build(wanted)
        for kind in ("oci-archive", "docker-archive"):
            command = ["skopeo", "inspect", "--raw", f"{kind}:{file}"]
            subprocess.run(command, check=True, capture_output=True)
        with tarfile.open(file) as tar:
            names = tar.getnames()
            listed = json.load(tar.extractfile("index.json"))["manifests"]  # type: ignore[arg-type]
        assert listed[0]["digest"] == inner.digest == built.image.digest
        assert len(names) == len(set(names))


@pytest.mark.real("skopeo", "docker")
def test_two_registries_skopeo_and_docker_agree_on_every_digest(
    built: First, base: str, tmp_path: Path
) -> None:
    """Debian's registry and the simulators' own have no line in common."""
    server = Registry(tmp_path / "registry").serve()
    try:
        clone = built.clone(tmp_path)
        repository = f"127.0.0.1:{server.port}/t/first"
        other, _ = build(recipe(clone, base, built.wheels), repository)
        assert other.digest == built.image.digest
        blobs: list[list[str]] = []
        engine = docker.from_env()
        for made in (built.image, other):
            layout = tmp_path / f"layout{len(blobs)}"
            command = ["skopeo", "copy", "-q", "--src-tls-verify=false", "--preserve-digests"]
            subprocess.run([*command, f"docker://{made}", f"oci:{layout}:x"], check=True)
            files = sorted((layout / "blobs/sha256").iterdir())
            assert [hashlib.sha256(f.read_bytes()).hexdigest() for f in files] == [
                file.name for file in files
            ]
            blobs.append([f"sha256:{file.name}" for file in files])
            pulled = engine.images.pull(made.repository, tag=str(made.digest))
            assert pulled.id in blobs[-1]
            assert f"{made.repository}@{made.digest}" in pulled.attrs["RepoDigests"]
            engine.images.remove(str(made))
        assert blobs[0] == blobs[1]
        assert built.image.digest in blobs[0]
    finally:
        server.stop()


@pytest.mark.real("docker")
def test_an_engine_runs_it_as_it_is(tmp_path: Path, host: str) -> None:
    """The example service with its packages from the index, on the engine's own base image."""
    folder = tmp_path / "helloworld"
    example = Path(__file__).parents[2] / "examples" / "helloworld"
    shutil.copytree(example, folder, ignore=shutil.ignore_patterns("__pycache__", ".pymacaron"))
    commit(folder, {})
    client = docker.from_env()
    base = client.images.get("python:3.11-slim")
    base.tag(f"{host}/python", "3.11-slim")
    client.images.push(f"{host}/python", "3.11-slim")
    environ = {n: v for n, v in os.environ.items() if n in ("PATH", "HOME") or "PIP" in n}
    made = image.Recipe(
        folder=folder,
        source=source.read(folder, environ),
        config_file=folder / "pym-config.yaml",
        environ=environ,
        base=f"{host}/python:3.11-slim",
        python_version="3.11",
    )
    pushed, builder = build(made, f"{host}/demo/layered")
    builder.save(pushed, tmp_path / "image.tar")
    docker_engine.load(tmp_path / "image.tar", os.environ)
    loaded = client.images.get(f"{pushed.repository}:{pushed.tag}")
    answer = client.images.pull(pushed.repository, tag=str(pushed.digest))
    assert f"{pushed.repository}@{pushed.digest}" in answer.attrs["RepoDigests"]
    assert loaded.id == answer.id
    container = client.containers.run(
        str(pushed),
        detach=True,
        environment={"HELLO_JWT_SECRET": SECRET, "PYM_ENV": "dev"},
        ports={"8080/tcp": ("127.0.0.1", 0)},
    )
    try:
        deadline = time.monotonic() + 90
        while True:
            container.reload()
            assert container.status != "exited", container.logs().decode()[-3000:]
            ports = container.ports.get("8080/tcp") or [{"HostPort": "1"}]
            try:
                url = f"http://127.0.0.1:{ports[0]['HostPort']}/version"
                assert requests.get(url, timeout=2).json()["version"] == pushed.tag
                break
            except requests.RequestException:
                assert time.monotonic() < deadline, container.logs().decode()[-3000:]
                time.sleep(0.1)
        told: Any = container.exec_run(["cat", "/proc/1/status"]).output
        assert re.search(r"^Uid:\s+10001\s", bytes(told).decode(), re.MULTILINE), told
        config = configs.load(folder, None)
        secrets = (Secret("HELLO_JWT_SECRET", SECRET),)
        environment = environ | {
            "PYM_SERVER_HOST": "127.0.0.1",
            "PYM_SERVER_PORT": ports[0]["HostPort"],
            "PYM_JWT_TOKEN": str(test_bed.token(config, secrets, print)),
            "PYTHONPATH": str(folder),
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "testaccept"]
        tests = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert tests.returncode == 0, tests.stdout
        container.stop(timeout=20)
        assert container.wait()["StatusCode"] == 0
    finally:
        container.remove(force=True)
        client.images.remove(str(pushed), force=True)
        client.images.remove(f"{host}/python:3.11-slim", force=True)


def test_two_entries_are_never_confused(tmp_path: Path) -> None:
    layers = [
        oci.make_layer([entry], tmp_path, created=0, below="", made_by="x").diff_id
        for entry in (Entry(path="a", content=b"b"), Entry(path="ab"), Entry(path="a", link="b"))
    ]
    assert len(set(layers)) == 3
