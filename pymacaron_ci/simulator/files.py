"""Files of the state folder: each write is complete or did not happen, and only its owner reads
them.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from pymacaron_ci.errors import Failure


def make_folder(folder: Path) -> Path:
    """Makes a folder that only its owner enters. Raises `Failure` where that can't be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkdir says yes to a folder that is there but can't be written
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise Failure(
            f"the simulator's state folder {folder} can't be written: {error.strerror or error}",
            hint="make it writable, or name another one with --state",
        ) from error
    return folder


def write_atomic(path: Path, data: bytes) -> None:
    """Replaces a file in one step, so that a process killed at any moment leaves the old or the new
    one.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:  # a signal, too: half a file is not left behind
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def write_json(path: Path, value: object) -> None:
    """Dataclasses are written as objects. Without indentation, which costs several times as much:
    whole states are written after every change."""
    write_atomic(path, json.dumps(value, default=vars).encode())


def read_json(path: Path) -> Any:
    """What `write_json` wrote; None when there is no such file, or one that somebody damaged."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
