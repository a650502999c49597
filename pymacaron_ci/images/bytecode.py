"""Bytecode, where it is asked for: by the very Python that will run it, so that it is the same
bytes on every machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pymacaron_ci import installer
from pymacaron_ci.context import Entry
from pymacaron_ci.errors import BuildError

_TIMEOUT = 600
_VERSION = "import sys; print('.'.join(map(str, sys.version_info[:3])))"


def compiler(python: str, environ: Mapping[str, str]) -> str:
    """An interpreter of the version `3.13.5` (`3.13` where a base image tells no more).

    Raises BuildError where none is: another one's bytecode, or none, would be another image.
    """
    tried = set()
    for interpreter in _interpreters(python, environ):
        found = _output([interpreter, "-I", "-c", _VERSION], environ)
        if found == python or found.startswith(f"{python}."):
            return interpreter
        tried.add(found)
    here = f"; there is {', '.join(sorted(tried - {''}))}" if tried - {""} else ""
    raise BuildError(
        f"`bytecode: true` needs Python {python} on this machine, the base image's version{here}",
        hint=f"uv python install {python}, or leave `bytecode` out",
    )


def _interpreters(python: str, environ: Mapping[str, str]) -> Iterator[str]:
    yield str(getattr(sys, "_base_executable", None) or sys.executable)
    path = environ.get("PATH")
    named = shutil.which(f"python{'.'.join(python.split('.')[:2])}", path=path)
    if named:
        yield named
    uv = shutil.which("uv", path=path)
    found = _output([uv, "python", "find", "--no-project", "-q", python], environ) if uv else ""
    if found:
        yield found


def _output(command: Sequence[str], environ: Mapping[str, str]) -> str:
    done = subprocess.run(
        command,
        env=installer.allowed(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=_TIMEOUT,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def made(entries: Iterable[Entry], interpreter: str, home: str, scratch: Path) -> list[Entry]:
    """The bytecode of modules that will lie in `home`; its files are in `scratch`."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    for entry in entries:
        if entry.path.endswith(".py") and entry.link is None:
            file = folder / entry.path
            file.parent.mkdir(parents=True, exist_ok=True)
            with entry.open() as content, file.open("wb") as out:
                shutil.copyfileobj(content, out)
    _compile_all(interpreter, folder, home)
    return [
        Entry(path=file.relative_to(folder).as_posix(), content=file)
        for file in folder.rglob("*.pyc")
    ]


def _compile_all(interpreter: str, folder: Path, home: str) -> None:
    # Fresh processes, each with the same files in the same order on every machine: what else was in
    # memory shows in the bytes that marshal writes. Two are twice as fast and no more than CI has.
    top = sorted(path.name for path in folder.iterdir())
    command = [interpreter, "-I", "-m", "compileall", "-q", "-j", "1"]
    command += ["--invalidation-mode", "unchecked-hash", "-s", str(folder), "-p", home]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda part: _compile(command, folder, part), (top[::2], top[1::2])))


def _compile(command: Sequence[str], folder: Path, names: Sequence[str]) -> None:
    if not names:
        return
    subprocess.run(
        [*command, *(str(folder / name) for name in names)],
        env={"PYTHONHASHSEED": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,  # modules for other Python versions don't compile; they don't have to
        timeout=_TIMEOUT,
        check=False,
    )
