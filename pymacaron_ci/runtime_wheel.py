"""The runtime's wheel out of this very checkout (or installation): the same bytes each time."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from pymacaron_ci.errors import BuildError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PACKAGES = ("pymacaron", "pymacaron_async", "pymacaron_dynamodb")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can tell


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """`record` has the digest of every file; the wheel itself is packed when it is asked for."""

    name: str
    version: str
    metadata: str
    record: bytes
    files: Mapping[str, bytes] = field(repr=False)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.record).hexdigest()

    @cached_property
    def content(self) -> bytes:
        return _zip(self.files)

    @property
    def size(self) -> int:
        return len(self.content)

    def open(self) -> IO[bytes]:
        return io.BytesIO(self.content)


def build(
    sources: Path | None = None, name: str = "pymacaron", packages: Sequence[str] = _PACKAGES
) -> Wheel:
    """The wheel of a pure Python distribution; `sources` holds pyproject.toml and the packages."""
    folder = sources or find_sources()
    with (folder / "pyproject.toml").open("rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    version = _version(folder / packages[0])
    files = dict(_package_files(folder, packages))
    info = f"{name}-{version}.dist-info"
    metadata = _metadata(project, name, version)
    files[f"{info}/METADATA"] = metadata.encode()
    files[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: pymacaron-ci\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    if project.get("scripts"):
        lines = [f"{script} = {target}" for script, target in sorted(project["scripts"].items())]
        files[f"{info}/entry_points.txt"] = "\n".join(["[console_scripts]", *lines, ""]).encode()
    record = [f"{path},{_hash(content)},{len(content)}" for path, content in sorted(files.items())]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    return Wheel(
        name=f"{name}-{version}-py3-none-any.whl",
        version=version,
        metadata=metadata,
        record=files[f"{info}/RECORD"],
        files=files,
    )


def find_sources() -> Path:
    """The runtime's sources: inside the installed tool, or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    for folder in (here / "_runtime", here.parent / "runtime"):
        if (folder / "pyproject.toml").is_file() and (folder / "pymacaron").is_dir():
            return folder
    raise BuildError(
        "the runtime's sources are not beside the tool",
        hint="install pymacaron-ci from a release, or pin pymacaron in requirements.txt",
    )


def _version(package: Path) -> str:
    text = (package / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r"^__version__\s*=\s*[\"']([^\"']+)", text, re.MULTILINE)
    if not found:
        raise BuildError(f"{package / '__init__.py'} names no __version__")
    return found[1]


def _package_files(folder: Path, packages: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for package in packages:
        for parent, folders, names in os.walk(folder / package):
            folders[:] = [name for name in folders if name != "__pycache__"]
            here = Path(parent)
            place = here.relative_to(folder).as_posix()
            for name in names:
                if not name.endswith((".pyc", ".pyo")):
                    yield f"{place}/{name}", (here / name).read_bytes()


def _metadata(project: dict[str, Any], name: str, version: str) -> str:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        f"Summary: {project['description']}",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {requirement}" for requirement in project["dependencies"]),
    ]
    for extra, requirements in sorted(project.get("optional-dependencies", {}).items()):
        lines.append(f"Provides-Extra: {extra}")
        for requirement in requirements:
            wanted, _, marker = requirement.partition(";")
            only = f"({marker.strip()}) and extra == '{extra}'" if marker else f"extra == '{extra}'"
            lines.append(f"Requires-Dist: {wanted.strip()} ; {only}")
    return "\n".join([*lines, ""])


def _hash(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


def _zip(files: Mapping[str, bytes]) -> bytes:
    """Stored, not deflated: another zlib would give other bytes, and layers are compressed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files, key=lambda p: (".dist-info/" in p, p)):
            header = zipfile.ZipInfo(path, _EPOCH)
            header.create_system, header.external_attr = 3, 0o100644 << 16
            archive.writestr(header, files[path])
    return stream.getvalue()
