"""What a service says that it needs: requirements.txt, else a lock or pyproject.toml."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymacaron_ci import installer
from pymacaron_ci.errors import BuildError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TIMEOUT = 60


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """`text` in the form of requirements.txt; `included` are the files it names, relative to it."""

    text: str
    origin: str
    included: tuple[str, ...] = ()
    contents: tuple[bytes, ...] = ()

    @property
    def hashed(self) -> bool:
        """Whether every package is pinned with hashes: one hash obliges pip to ask for all."""
        return any(re.search(rb"^[^#\n]*--hash=", each, re.MULTILINE) for each in self.contents)

    def pins(self, package: str) -> bool:
        pin = rf"^\s*{re.escape(package)}\s*(\[[^]]*\])?\s*(===?|@)"
        return bool(re.search(pin, self.text, re.MULTILINE | re.IGNORECASE))


def read(folder: Path, environ: Mapping[str, str]) -> Requirements:
    """The first that is there of requirements.txt, pylock.toml, uv.lock and pyproject.toml."""
    file = folder / "requirements.txt"
    if file.is_file():
        found = dict(installer.contents(file))
        inside = folder.resolve()
        for path in found:
            if inside not in path.resolve().parents:
                raise BuildError(
                    f"requirements.txt includes {path}, which is outside of the service's folder",
                    hint="requirements must be inside: the image is made from that folder alone",
                )
        return Requirements(
            text=file.read_text(encoding="utf-8", errors="replace"),
            origin=file.name,
            included=tuple(
                path.resolve().relative_to(inside).as_posix() for path in found if path != file
            ),
            contents=tuple(found.values()),
        )
    if (folder / "pylock.toml").is_file():
        return _made(_from_pylock(_toml(folder / "pylock.toml")), "pylock.toml")
    if (folder / "uv.lock").is_file():
        return _made(_from_uv(folder, environ), "uv.lock")
    if (folder / "pyproject.toml").is_file():
        listed = _toml(folder / "pyproject.toml").get("project", {}).get("dependencies", [])
        return _made([str(line) for line in listed], "pyproject.toml")
    return _made([], "nothing")


def _made(lines: Sequence[str], origin: str) -> Requirements:
    text = "".join(f"{line}\n" for line in lines)
    return Requirements(text=text, origin=origin, contents=(text.encode(),))


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise BuildError(f"{file.name} can't be read: {error}") from error


def _from_pylock(lock: Mapping[str, Any]) -> list[str]:
    """PEP 751: packages with exact versions and the hashes of their files."""
    lines = []
    for package in lock.get("packages", []):
        if "version" not in package:
            raise BuildError(
                f"pylock.toml: {package.get('name')} has no version",
                hint="packages from folders and repositories can't be shipped: publish a wheel",
            )
        files = [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
        hashes = sorted({f["hashes"]["sha256"] for f in files if "sha256" in f.get("hashes", {})})
        marker = f" ; {package['marker']}" if package.get("marker") else ""
        pins = "".join(f" --hash=sha256:{value}" for value in hashes)
        lines.append(f"{package['name']}=={package['version']}{marker}{pins}")
    return lines


def _from_uv(folder: Path, environ: Mapping[str, str]) -> list[str]:
    uv = shutil.which("uv", path=environ.get("PATH"))
    if uv is None:
        raise BuildError(
            "the service has a uv.lock, and uv is not installed here",
            hint="install uv, or commit what `uv export -o requirements.txt` writes",
        )
    command = [uv, "export", "--frozen", "--no-dev", "--no-emit-project", "--no-header", "-q"]
    done = subprocess.run(
        [*command, "--no-annotate", "--format", "requirements-txt"],
        cwd=folder,
        env=installer.allowed(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise BuildError("uv can't export uv.lock", details=done.stderr.splitlines()[-10:])
    return done.stdout.splitlines()
