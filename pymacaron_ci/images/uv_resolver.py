"""The wheels an image needs, as uv resolves them: much quicker than pip, which comes after it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pymacaron_ci import installer
from pymacaron_ci.images import pip_settings
from pymacaron_ci.images.download import Link
from pymacaron_ci.images.wheel_tags import Target, tags

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TIMEOUT = 300
# uv takes the platform's newest; Debian 11, the oldest base that still gets fixes, has glibc 2.31.
_PLATFORMS = {False: "{machine}-manylinux_2_31", True: "{machine}-unknown-linux-musl"}


def find(environ: Mapping[str, str]) -> str | None:
    beside = str(Path(sys.executable).parent)
    return shutil.which("uv", path=beside) or shutil.which("uv", path=environ.get("PATH"))


def resolve(
    uv: str,
    requirements: Path,
    wheel: Path | None,
    extras: str,
    target: Target,
    folder: Path,
    environ: Mapping[str, str],
) -> list[Link] | None:
    """A wheel for each package, without the runtime's own; None where uv can't or won't.

    `wheel` is the runtime's. A requirements file with hashes is held to them.
    """
    settings = pip_settings.for_uv(environ)
    if settings is None:
        return None
    asked = [str(requirements.resolve())]
    if wheel:
        more = folder / "runtime.in"
        more.write_text(f"pymacaron{extras} @ {wheel.resolve().as_uri()}\n", encoding="utf-8")
        asked.append(str(more.resolve()))
    lock = folder / "pylock.toml"
    platform = _PLATFORMS[target.musl].format(machine=target.machine)
    command = [uv, "pip", "compile", "-q", "--no-config", "--no-header", "--no-python-downloads"]
    command += ["--only-binary", ":all:", "--python-version", target.python]
    command += ["--python-platform", platform, "--format", "pylock.toml", "-o", str(lock)]
    if settings.pop("NO_INDEX", ""):
        command.append("--no-index")
    done = subprocess.run(
        [*command, *asked],
        env=installer.allowed(environ) | settings,
        cwd=requirements.resolve().parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        return None
    found = tomllib.loads(lock.read_text(encoding="utf-8")).get("packages", [])
    hashes = _hashes(requirements)
    links = [
        _choose(package, target, hashes)
        for package in found
        if not (wheel and package["name"] == "pymacaron")
    ]
    return [link for link in links if link] if all(links) else None


def _hashes(requirements: Path) -> frozenset[str]:
    texts = (content.decode("utf-8", "replace") for _, content in installer.contents(requirements))
    return frozenset(
        value for text in texts for value in re.findall(r"--hash=sha256:([0-9a-f]{64})", text)
    )


def _choose(package: Mapping[str, Any], target: Target, hashes: frozenset[str]) -> Link | None:
    """The wheel that pip would take: the most special one for the target."""
    order = {tag: number for number, tag in enumerate(tags(target))}
    fitting = []
    for wheel in package.get("wheels", []):
        where = str(wheel.get("url") or wheel.get("path"))
        name = unquote(urlsplit(where).path.rsplit("/", 1)[-1])
        sha256 = str(wheel.get("hashes", {}).get("sha256", ""))
        ranks = [order[tag] for tag in _tags_of(name) if tag in order]
        if ranks and sha256 and (not hashes or sha256 in hashes):
            fitting.append((min(ranks), name, Link(name=name, where=where, sha256=sha256)))
    return min(fitting)[2] if fitting else None


def _tags_of(file: str) -> Iterator[str]:
    """`a-1-cp311.cp312-abi3-any.whl` is for cp311-abi3-any and cp312-abi3-any."""
    pythons, abis, platforms = (part.split(".") for part in file[: -len(".whl")].split("-")[-3:])
    for python in pythons:
        for abi in abis:
            for platform in platforms:
                yield f"{python}-{abi}-{platform}"
