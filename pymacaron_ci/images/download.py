"""Files with known digests from package indexes, several at once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from pymacaron_ci.context import Entry
from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import transport

_AT_ONCE = 8
_PIECE = 1 << 20
_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Link:
    """A file and where it lies: a web address, or a path."""

    name: str
    where: str
    sha256: str


def all_of(links: Sequence[Link], folder: Path) -> bool:
    """Whether each is in `folder` now, and is what its digest says."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return all(pool.map(lambda link: _one(link, folder / link.name), links))


def _one(link: Link, file: Path) -> bool:
    for _ in range(_TRIES):
        try:
            with file.open("wb") as out:
                _copy(link.where, out)
            if Entry(path=link.name, content=file).digest() == link.sha256:
                return True
        except (transport.HTTPError, BuildError, OSError):
            continue
    file.unlink(missing_ok=True)
    return False


def _copy(where: str, out: IO[bytes]) -> None:
    if urlsplit(where).scheme not in ("http", "https"):
        with Path(unquote(where.removeprefix("file://"))).open("rb") as content:
            shutil.copyfileobj(content, out)
        return
    answer = transport.send("GET", where, headers={}, stream=True)
    try:
        if answer.status != 200:
            raise transport.HTTPError(f"{where} answered {answer.status}")
        for piece in answer.stream(_PIECE, decode_content=False):
            out.write(piece)
    finally:
        answer.release_conn()
