"""Small services, commits and wheels that the tests of sources and images share."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pymacaron_ci import runtime_wheel

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
