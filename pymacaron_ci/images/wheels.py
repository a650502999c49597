"""Wheels as files of an image: unpacked as specified, without a trace of this machine."""

from __future__ import annotations

import configparser
import email
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pymacaron_ci.context import Entry
from pymacaron_ci.errors import BuildError

_SHEBANG = b"#!/usr/bin/env python3\n"
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


def unpack(wheels: Iterable[Path], folder: Path) -> None:
    """Puts the wheels' modules into `folder`, their scripts into `folder`/bin."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                place = _place(info.filename, wheel.name)
                if place is None or info.is_dir():
                    continue
                file = folder / place
                file.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, file.open("wb") as out:
                    start = source.read(9)
                    if place.parts[0] == "bin" and start.startswith(b"#!python"):
                        rest = start + source.read()
                        out.write(_SHEBANG + rest.partition(b"\n")[2])
                    else:
                        out.write(start)
                        shutil.copyfileobj(source, out)
                program = place.parts[0] == "bin" or (info.external_attr >> 16) & 0o100
                file.chmod(0o755 if program else 0o644)
    for name, module, function in _console_scripts(folder):
        script = folder / "bin" / name
        script.parent.mkdir(exist_ok=True)
        text = _SCRIPT.format(module=module, first=function.split(".")[0], function=function)
        script.write_bytes(_SHEBANG + text.encode())
        script.chmod(0o755)


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


def _console_scripts(folder: Path) -> Iterator[tuple[str, str, str]]:
    for file in sorted(folder.glob("*.dist-info/entry_points.txt")):
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read_string(file.read_text(encoding="utf-8"))
        for name, entry in parser["console_scripts"].items() if "console_scripts" in parser else ():
            module, _, function = (part.strip() for part in entry.split("[")[0].partition(":"))
            if re.fullmatch(r"[\w.-]+", name) and re.fullmatch(r"[\w.]+", function):
                yield name, module, function


def entries(folder: Path) -> Sequence[Entry]:
    """The files below a folder as entries of a layer."""
    return [
        Entry(
            path=file.relative_to(folder).as_posix(),
            content=file,
            program=bool(file.stat().st_mode & 0o100),
        )
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]
