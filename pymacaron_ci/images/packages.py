"""Which wheels an image needs: resolved and fetched for the image's Python, not for this one."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pymacaron_ci import installer
from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import download, uv_resolver, wheels
from pymacaron_ci.images.wheel_tags import Target

_TIMEOUT = 900
_EPOCH = "315532800"  # 1980, the earliest that a wheel can tell
_NO_WHEEL = re.compile(
    r"(?:No matching distribution found for"
    r"|Could not find a version that satisfies the requirement) ([^\s(]+)"
)
# pip asks for another platform's wheels, but evaluates markers (`; python_version < "3.11"`) for
# its own.
_SHIM = """
import json, sys
if sys.argv[1]:
    sys.path.insert(0, sys.argv[1])
from pip._vendor.packaging import markers
own, target = markers.default_environment, json.loads(sys.argv[2])
markers.default_environment = lambda: {**own(), **target}
from pip._internal.cli.main import main
sys.exit(main(sys.argv[3:]))
"""


class NeedsCompiler(BuildError):
    """A package has no wheel: only an engine, whose base image has a compiler, can build it."""


def fetch(
    requirements: Path,
    wheel: Path | None,
    extras: str,
    target: Target,
    folder: Path,
    environ: Mapping[str, str],
    tell: Callable[[str], None],
) -> tuple[Path, ...]:
    """The wheels of everything required, in `folder`. `wheel` is the runtime's, with its `extras`.

    An sdist is built where nothing but Python comes out of it; any other package without a wheel
    for the target raises BuildError, which names it.
    """
    folder.mkdir(parents=True)
    uv = uv_resolver.find(environ)
    if uv:
        links = uv_resolver.resolve(uv, requirements, wheel, extras, target, folder, environ)
        if links is not None and download.all_of(links, folder):
            return _wheels(folder)
    # Without uv; and where it found no solution, for pip's words and for sdists.
    return _with_pip(
        requirements, f"{wheel}{extras}" if wheel else None, target, folder, environ, tell
    )


def _wheels(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.glob("*.whl"), key=lambda file: file.name.lower()))


def _with_pip(
    requirements: Path,
    wheel: str | None,
    target: Target,
    folder: Path,
    environ: Mapping[str, str],
    tell: Callable[[str], None],
) -> tuple[Path, ...]:
    environment = installer.allowed(environ)
    pip = installer.find_pip(environment)
    built = folder / "built"
    built.mkdir()
    tried: set[str] = set()
    while True:
        command = _command(pip, target, built, folder, requirements, wheel)
        done = subprocess.run(
            command,
            env=environment,
            cwd=requirements.resolve().parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
        if done.returncode == 0:
            return _wheels(folder)
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        missing = {found[1].rstrip(";,") for line in lines if (found := _NO_WHEEL.search(line))}
        if not missing - tried:
            raise BuildError(
                "the service's packages can't be resolved",
                hint="check requirements.txt, and that pip finds its index",
                details=lines[-15:],
            )
        for requirement in sorted(missing - tried):
            tell(f"{requirement} has no wheel for {target.machine} and Python {target.minor}")
            _build_pure(pip, requirement, target, built, environment)
        tried |= missing


def _command(
    pip: installer.Pip,
    target: Target,
    built: Path,
    folder: Path,
    requirements: Path,
    wheel: str | None,
) -> Sequence[str]:
    options = ["--python-version", target.minor, "--implementation", "cp"]
    for tag in target.platform_tags:
        options += ["--platform", tag]
    return [
        *(pip.interpreter, "-I", "-c", _SHIM, pip.wheel or "", json.dumps(target.markers)),
        *("download", "-q", "--only-binary", ":all:", "--find-links", str(built)),
        *("--dest", str(folder), *options, "-r", str(requirements.resolve())),
        *([wheel] if wheel else []),
    ]


def _build_pure(
    pip: installer.Pip,
    requirement: str,
    target: Target,
    built: Path,
    environment: Mapping[str, str],
) -> None:
    """Builds an sdist, and keeps what comes out if it runs everywhere."""
    scratch = built / "scratch"
    command = [*pip.command, "wheel", "-q", "--no-deps", "--no-binary", ":all:"]
    name = re.split(r"[<>=!~\[;@ ]", requirement)[0]
    hint = (
        "pin a version that has one, build the wheel yourself (--find-links in requirements.txt), "
        "or use `builder: docker` with a base image that has a compiler"
    )
    failed = f"{name} has no wheel for linux/{target.architecture} and Python {target.minor}"
    try:
        installer.run(
            [*command, "--wheel-dir", str(scratch), requirement],
            {**environment, "SOURCE_DATE_EPOCH": _EPOCH, "PYTHONHASHSEED": "0"},
            _TIMEOUT,
        )
    except BuildError as error:
        raise NeedsCompiler(
            f"{failed}, and building it failed", hint=hint, details=error.details
        ) from error
    for wheel in scratch.glob("*.whl"):
        if not wheel.name.endswith("-none-any.whl"):
            raise NeedsCompiler(f"{failed}; its sdist holds code to compile", hint=hint)
        wheels.repack(wheel, built)
