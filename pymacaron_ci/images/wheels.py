"""Wheels as files of an image: unpacked as specified, without a trace of this machine."""

from __future__ import annotations

import email
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from pymacaron_ci.context import Entry
from pymacaron_ci.errors import BuildError
from pymacaron_ci.installer import console_scripts

_SHEBANG = b"#!/usr/bin/env python3\n"
_PLACEHOLDER = b"#!python"  # the first line of a wheel's own scripts
_SCRIPT = """import sys
from {module} import {first}
sys.exit({function}())
"""


@dataclass(frozen=True, kw_only=True)
class Package:
    """What a wheel says of itself, and the digest of its bytes."""

    name: str
    version: str
    file: str
    sha256: str
    license: str = ""
    homepage: str = ""
    requires: tuple[str, ...] = ()

    @property
    def pin(self) -> str:
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"

    @property
    def needs(self) -> set[str]:
        """Names of the packages that it can't do without on any platform."""
        unconditional = (line for line in self.requires if ";" not in line)
        names = (re.split(r"[<>=!~\[ (]", line.strip())[0] for line in unconditional)
        return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def describe(wheel: Path) -> Package:
    """Reads a wheel's metadata; raises BuildError for a file that is no wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)]
            metadata = email.message_from_string(archive.read(names[0]).decode("utf-8", "replace"))
    except (zipfile.BadZipFile, IndexError, OSError) as error:
        raise BuildError(f"{wheel.name} is not a wheel") from error
    return Package(
        name=re.sub(r"[-_.]+", "-", str(metadata["Name"])).lower(),
        version=str(metadata["Version"]),
        file=wheel.name,
        sha256=Entry(path=wheel.name, content=wheel).digest(),
        license=str(metadata["License-Expression"] or metadata["License"] or "").split("\n")[0],
        homepage=str(metadata["Home-page"] or ""),
        requires=tuple(str(line) for line in metadata.get_all("Requires-Dist") or ()),
    )


def repack(wheel: Path, folder: Path) -> Path:
    """The same files as a wheel in `folder` that shows neither time nor umask of its making."""
    made = folder / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(made, "w") as new:
        for info in sorted(old.infolist(), key=lambda each: each.filename):
            if info.is_dir():
                continue
            header = zipfile.ZipInfo(info.filename)
            program = (info.external_attr >> 16) & 0o100
            header.external_attr = (0o100755 if program else 0o100644) << 16
            with old.open(info) as source, new.open(header, "w") as out:
                shutil.copyfileobj(source, out)
    return made


@dataclass(frozen=True)
class _Member:
    """A file of a wheel, as long as the wheel is open."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    @property
    def size(self) -> int:
        return self.info.file_size

    def open(self) -> IO[bytes]:
        return self.archive.open(self.info)


@contextmanager
def installed(wheels: Iterable[Path]) -> Iterator[dict[str, Entry]]:
    """The wheels' modules, and their scripts in bin/, by path; nothing is unpacked before it is
    read, inside of the `with` block."""
    with ExitStack() as stack:
        found: dict[str, Entry] = {}
        for wheel in wheels:
            archive = stack.enter_context(zipfile.ZipFile(wheel))
            for info in archive.infolist():
                place = _place(info.filename, wheel.name)
                if place is not None and not info.is_dir():
                    found[str(place)] = _entry(place, _Member(archive, info))
        for name, module, function in _console_scripts(found.values()):
            text = _SCRIPT.format(module=module, first=function.split(".")[0], function=function)
            path = f"bin/{name}"
            found[path] = Entry(path=path, content=_SHEBANG + text.encode(), program=True)
        yield found


def _entry(place: PurePosixPath, member: _Member) -> Entry:
    if place.parts[0] != "bin":
        program = bool((member.info.external_attr >> 16) & 0o100)
        return Entry(path=str(place), content=member, program=program)
    with member.open() as source:
        if source.read(len(_PLACEHOLDER)) != _PLACEHOLDER:
            return Entry(path=str(place), content=member, program=True)
        rest = source.read().partition(b"\n")[2]
    return Entry(path=str(place), content=_SHEBANG + rest, program=True)


def _place(name: str, wheel: str) -> PurePosixPath | None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise BuildError(f"{wheel} wants to write outside of its folder: {name}")
    if not path.parts[0].endswith(".data"):
        return path
    kind, inner = path.parts[1], PurePosixPath(*path.parts[2:])
    if kind == "scripts":
        return PurePosixPath("bin") / inner
    return None if kind == "headers" else inner


def _console_scripts(entries: Iterable[Entry]) -> Iterator[tuple[str, str, str]]:
    for entry in sorted(entries, key=lambda each: each.path):
        if re.fullmatch(r"[^/]+\.dist-info/entry_points\.txt", entry.path):
            yield from console_scripts(entry.read().decode("utf-8"))
