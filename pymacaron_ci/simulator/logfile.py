"""An instance's output, in a file that outlives it: one line of time and text for each line
written.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from pymacaron_ci.simulator.instances import LogLine

LINE_LIMIT = 64 * 1024
_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\S+Z) ?(.*)")


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class LogFile:
    """Written by one process at a time; read at any moment."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, text: str) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            for line in text.splitlines() or [""]:
                file.write(f"{now()} {line}\n")

    def tail(self, count: int) -> Sequence[LogLine]:
        try:
            with self.path.open(encoding="utf-8", errors="replace") as file:
                lines = deque(file, maxlen=count)
        except FileNotFoundError:
            return []
        found = (_LINE.match(line.rstrip("\n")) for line in lines)
        return [LogLine(match[1], match[2]) for match in found if match]

    def follow(self, pipe: BinaryIO) -> threading.Thread:
        """Copies a pipe to the file until its other end closes."""

        def copy() -> None:
            with pipe:
                for line in iter(lambda: pipe.readline(LINE_LIMIT), b""):
                    self.add(line.decode("utf-8", "replace").rstrip("\n"))

        thread = threading.Thread(target=copy, daemon=True, name=f"log-{self.path.stem}")
        thread.start()
        return thread
