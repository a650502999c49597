"""Small services, commits and wheels that the tests of sources and images share."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymacaron_ci import image, runtime_wheel, source
from pymacaron_ci.images import oci, registry
from pymacaron_ci.model import Image, Release, Secret

GIT_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_AUTHOR_DATE": "1700000000 +0300",
    "GIT_COMMITTER_DATE": "1700000000 +0300",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "protocol.file.allow",
    "GIT_CONFIG_VALUE_0": "always",
}
SECRET = "a-planted-secret-of-32-characters!"
MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
VERSION = "231114-2213"  # of the date above, in UTC

SERVICE = {
    "pym-config.yaml": "name: hello\n",
    "pym-config.live.yaml": "name: hello-live\n",
    "requirements.txt": "",
    "server.py": "app = None\n",
    "hello/api.py": "def hello():\n    return 'hello'\n",
    "test/test_hello.py": "",
    "testaccept/test_hello.py": "",
    ".github/workflows/deploy.yml": "",
}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=GIT_ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())


def commit(folder: Path, files: Mapping[str, str | bytes] = SERVICE) -> str:
    """Writes the files into a repository (made if need be) and commits them; the commit's name."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        git(folder, "init", "-q", "-b", "main")
    write(folder, files)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "change")
    return git(folder, "rev-parse", "HEAD")


def tiny_wheel(
    folder: Path, name: str = "tiny", version: str = "1.0", extras: Mapping[str, str] | None = None
) -> Path:
    """A wheel with one module and one console script. `extras`: what each of them needs."""
    optional = "".join(f'{extra} = ["{needed}"]\n' for extra, needed in (extras or {}).items())
    sources = folder / f"{name}-sources"
    files = {
        "pyproject.toml": (
            f'[project]\nname = "{name}"\ndescription = "x"\nrequires-python = ">=3.10"\n'
            f"dependencies = []\n[project.optional-dependencies]\n{optional}"
            f'[project.scripts]\n{name}-hello = "{name}:main"\n'
        ),
        f"{name}/__init__.py": f'__version__ = "{version}"\ndef main():\n    print("hi")\n',
    }
    write(sources, files)
    wheel = runtime_wheel.build(sources, name=name, packages=(name,))
    file = folder / wheel.name
    file.write_bytes(wheel.content)
    return file


class Hurried:
    """A clock on which waiting takes no time."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def now(self) -> float:
        return sum(self.pauses)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


def push_base(host: str, name: str, architectures: Mapping[str, str], python: str = MINOR) -> str:
    """A base image of one small layer for each architecture; its name with host and tag."""
    target = registry.Repository(registry.parse(f"{host}/{name}"))
    parts = []
    for architecture, content in architectures.items():
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            header = tarfile.TarInfo("etc/base")
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content.encode()))
        packed = gzip.compress(stream.getvalue(), mtime=0)
        layer = oci.Blob(
            digest=oci.digest_of(packed),
            size=len(packed),
            media_type="application/vnd.docker.image.rootfs.diff.tar.gzip",
            content=packed,
        )
        config = oci.json_blob(
            {
                "architecture": architecture,
                "os": "linux",
                "config": {
                    "Env": [f"PYTHON_VERSION={python}", "PATH=/usr/local/bin:/bin", "LANG=C.UTF-8"],
                    "Entrypoint": ["/odd"],
                },
                "rootfs": {"type": "layers", "diff_ids": [oci.digest_of(stream.getvalue())]},
                "history": [{"created_by": "base"}],
            },
            oci.CONFIG,
        )
        manifest = oci.manifest(config, [layer.descriptor()], {})
        target.push_all([layer, config])
        target.push_manifest(manifest, manifest.digest)
        parts.append(
            manifest.descriptor() | {"platform": {"os": "linux", "architecture": architecture}}
        )
    target.push_manifest(oci.index(parts, {}), "1")
    return f"{host}/{name}:1"


def make_wheels(folder: Path) -> Path:
    """An index of a few packages, so that nothing is downloaded."""
    folder.mkdir()
    tiny_wheel(folder)
    tiny_wheel(folder, "other", "2.0")
    tiny_wheel(folder, "pymacaron", "9.0")
    return folder


def make_service(folder: Path) -> Path:
    """It pins its own pymacaron, for the same reason."""
    files = {
        "pym-config.yaml": "name: hello\n",
        "requirements.txt": "pymacaron==9.0\ntiny\n",
        "server.py": "app = None\n",
        "hello/__init__.py": "",
        "hello/api.py": "def hello():\n    return 'hello'\n",
        "test/test_hello.py": SECRET,
        ".env": SECRET,
    }
    commit(folder, files)
    return folder


def recipe(folder: Path, base: str, wheels: Path, **changes: Any) -> image.Recipe:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
    }
    return image.Recipe(
        folder=folder,
        source=source.read(folder, environ),
        config_file=folder / "pym-config.yaml",
        environ=environ,
        base=base,
        python_version=MINOR,
        forbidden=(Secret("PLANTED", SECRET),),
        **changes,
    )


def release_of(made: image.Recipe, repository: str) -> Release:
    version = made.source.version
    return Release(
        id="r1",
        version=version,
        revision=made.source.revision,
        image=Image(repository=repository, tag=version),
        environment={"PLANTED": Secret("PLANTED", SECRET)},
    )
