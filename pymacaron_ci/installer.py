"""Makes environments of Python packages: bare venvs filled from outside, never changed afterwards.

Standard library only: the action's bootstrap runs it on a bare runner.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pymacaron_ci.errors import BuildError

# What an installer may see. The run's environment holds secrets: not for pip, nor for a setup.py.
_ALLOWED = re.compile(
    r"PATH|HOME|TMPDIR|LANG|LC_ALL|XDG_(CACHE_HOME|CONFIG_HOME|CONFIG_DIRS)"
    r"|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:(http|https|no|all)_proxy)"
    r"|PIP_(INDEX_URL|EXTRA_INDEX_URL|NO_INDEX|FIND_LINKS|CONSTRAINT|CERT|PROXY|TRUSTED_HOST"
    r"|CONFIG_FILE|DEFAULT_TIMEOUT|CACHE_DIR)|UV_(CACHE_DIR|NATIVE_TLS|SYSTEM_CERTS)"
)
_INDEX_NAMES = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_FIND_LINKS",
    "PIP_CONSTRAINT",
    "PIP_CONFIG_FILE",
)
_PIP_FILES = (Path("/etc/pip.conf"), Path("/etc/xdg/pip/pip.conf"))
_FORMAT = "1"  # part of every fingerprint: raise it when environments are made differently
_LAST_LINES = 20
# As distlib does it: a `#!` line ends at a blank and after 127 characters.
_SCRIPT = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys
from {module} import {first}
sys.exit({function}())
"""
_INCLUDE = re.compile(r"\s*(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)")


def ensure(
    parent: Path,
    requirements: Sequence[Path],
    *,
    wheels: Sequence[Path] = (),
    extras: str = "",
    locked: bool = False,
    paths: Sequence[Path] = (),
    over: Path | None = None,
    environ: Mapping[str, str],
    timeout: float = 600,
    progress: Callable[[str], None] = lambda _: None,
) -> Path:
    """The interpreter of an environment below `parent` that holds these packages; made if need be.

    `extras`: the wheels', as `[one,other]`. `locked`: the files pin every package with hashes;
    nothing is resolved, built or compiled. `paths` are added to sys.path. `over` is the
    interpreter of another environment made here, whose packages are importable too. `environ`:
    what the run was given; only what an installer needs of it is handed on. Raises BuildError with
    the installer's last lines. Safe against being killed and against a second process.
    """
    key = _fingerprint(requirements, wheels, extras, locked, paths, over)
    folder = parent / f"env-{key}"
    python, marker = folder / "bin" / "python", folder / ".complete"
    if marker.exists():
        return python
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(
            f"the folder for Python packages can't be made: {parent}: {error.strerror}"
        ) from error
    with _lock(parent / f"env-{key}.lock"):
        if marker.exists():
            return python
        shutil.rmtree(folder, ignore_errors=True)
        environment = allowed(environ)
        run(
            [_base_python(), "-I", "-m", "venv", "--without-pip", str(folder)],
            environment,
            timeout,
            what="making a Python environment",
        )
        site = site_packages(python)
        _link(site, paths, over)
        if requirements or wheels:
            progress(f"installing {', '.join(p.name for p in (*requirements, *wheels))}")
            flags = ["--require-hashes", "--no-deps", "--only-binary", ":all:"] if locked else []
            flags += [arg for file in requirements for arg in ("-r", str(file.resolve()))]
            flags += [f"{wheel.resolve()}{extras}" for wheel in wheels]
            command = _installer(python, site, environ, environment, timeout)
            folder_of_first = requirements[0].resolve().parent if requirements else folder
            run([*command, *flags], environment, timeout, cwd=folder_of_first)
        _write_scripts(site, python)
        marker.touch()  # last: a folder without it is made anew
    return python


def site_packages(python: Path) -> Path:
    """The folder an environment's packages lie in."""
    return next(python.parent.parent.glob("lib/python3*/site-packages"))


def _fingerprint(
    requirements: Sequence[Path],
    wheels: Sequence[Path],
    extras: str,
    locked: bool,
    paths: Sequence[Path],
    over: Path | None,
) -> str:
    digest = hashlib.sha256(
        "\0".join([_FORMAT, sys.version, _base_python(), extras, str(locked), str(over)]).encode()
    )
    for path in paths:
        digest.update(b"\0path " + os.fsencode(path.resolve()))
    for file in (*requirements, *wheels):
        for _, content in contents(file):
            digest.update(b"\0file " + hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def contents(file: Path) -> list[tuple[Path, bytes]]:
    """A requirements file and those it includes, each once, with their bytes; a wheel alone."""
    found: dict[Path, bytes] = {}
    waiting = [file]
    while waiting:
        each = waiting.pop(0)
        if each in found:
            continue
        try:
            found[each] = each.read_bytes()
        except OSError as error:
            raise BuildError(f"{each} can't be read: {error.strerror}") from error
        if each.suffix == ".whl":
            continue
        for line in found[each].decode("utf-8", "replace").splitlines():
            included = _INCLUDE.match(line)
            if included and "://" not in included[1]:
                waiting.append(each.parent / included[1])
    return list(found.items())


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # the kernel lets go of it when its holder dies
        yield


def allowed(environ: Mapping[str, str]) -> dict[str, str]:
    """What an installer gets of the run's environment."""
    kept = {name: value for name, value in environ.items() if _ALLOWED.fullmatch(name)}
    return kept | {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_REQUIRE_VIRTUALENV": "0",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _base_python() -> str:
    """The interpreter a venv was made from: what is made by a venv's own breaks with it."""
    return getattr(sys, "_base_executable", None) or sys.executable


def _installer(
    python: Path,
    site: Path,
    environ: Mapping[str, str],
    environment: Mapping[str, str],
    timeout: float,
) -> list[str]:
    uv = shutil.which("uv", path=environ.get("PATH"))
    if uv and not _has_own_index(environ):  # uv doesn't read pip's settings
        return [uv, "pip", "install", "-q", "--no-config", "--python", str(python)]
    # --target, not `pip --python`, which starts pip twice; it also passes PEP 668 interpreters.
    pip = find_pip(environment, timeout)
    return [*pip.command, "install", "-q", "--no-user", "--no-compile", "--target", str(site)]


def _has_own_index(environ: Mapping[str, str]) -> bool:
    if any(environ.get(name) for name in _INDEX_NAMES):
        return True
    home = Path(environ.get("HOME") or "~").expanduser()
    files = (
        *_PIP_FILES,
        home / ".pip/pip.conf",
        Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf",
    )
    return any(file.exists() for file in files)


@dataclass(frozen=True)
class Pip:
    """An interpreter that can run pip, out of `wheel` where it isn't installed."""

    interpreter: str
    wheel: str | None

    @property
    def command(self) -> list[str]:
        run = [self.wheel + "/pip"] if self.wheel else ["-m", "pip"]
        return [self.interpreter, "-I", *run]  # a wheel runs as it is, not unpacked


def find_pip(environment: Mapping[str, str], timeout: float = 60) -> Pip:
    find = (
        "import importlib.util as u, pathlib as p\n"
        "if u.find_spec('pip'): print('pip')\n"
        "else:\n"
        " import ensurepip as e\n"
        " d = getattr(e, '_WHEEL_PKG_DIR', None) or p.Path(e.__file__).parent / '_bundled'\n"
        " print(next(p.Path(d).glob('pip-*.whl')))"
    )
    for interpreter in dict.fromkeys((_base_python(), sys.executable)):
        done = subprocess.run(
            [interpreter, "-I", "-c", find],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        found = done.stdout.strip()
        if done.returncode == 0:
            return Pip(interpreter, None if found == "pip" else found)
    raise BuildError(
        f"{_base_python()} has neither pip nor ensurepip",
        hint="install python3-pip or python3-venv, or uv",
    )


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    timeout: float,
    cwd: Path | None = None,
    what: str = "installing Python packages",
) -> None:
    """Runs an installer's command; BuildError with its last lines when it fails."""
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{what} took longer than {timeout:.0f} s") from error
    except OSError as error:
        raise BuildError(f"{what} failed: {error}") from error
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        raise BuildError(
            f"{what} failed (exit status {done.returncode})",
            hint="the installer's last lines follow",
            details=lines[-_LAST_LINES:],
        )


def _link(site: Path, paths: Sequence[Path], over: Path | None) -> None:
    lines = [str(path.resolve()) for path in paths]
    if over:
        below = site_packages(over)
        lines.append(str(below))
        link = below / "_pymacaron.pth"  # a .pth in a folder that a .pth names isn't read
        if link.exists():
            lines += link.read_text(encoding="utf-8").splitlines()
    if lines:
        (site / "_pymacaron.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_scripts(site: Path, python: Path) -> None:
    """--target leaves scripts that start the outer interpreter; these start the inner one."""
    shutil.rmtree(site / "bin", ignore_errors=True)
    for file in sorted(site.glob("*.dist-info/entry_points.txt")):
        for name, module, function in console_scripts(file.read_text(encoding="utf-8")):
            script = python.parent / name
            script.write_text(
                _SCRIPT.format(
                    python=python, module=module, first=function.split(".")[0], function=function
                ),
                encoding="utf-8",
            )
            script.chmod(0o755)


def console_scripts(entry_points: str) -> Iterator[tuple[str, str, str]]:
    """The commands that a package's entry_points.txt names: name, module, function."""
    import configparser

    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(entry_points)
    if not parser.has_section("console_scripts"):
        return
    for name, target in parser.items("console_scripts"):
        module, _, function = (part.strip() for part in target.split("[")[0].partition(":"))
        if re.fullmatch(r"[\w.-]+", name) and re.fullmatch(r"[\w.]+", function):
            yield name, module, function
