"""Lines that are written a moment later, many at a time, by a thread of their own: a request need
not wait for the log, nor hand over Python's lock in the middle of its work to write a line."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable

PAUSE = 0.05
"""Seconds; what a killed process has not written, at most."""
ATOMIC = 4096
"""Bytes that a pipe takes in one piece (PIPE_BUF): other processes write to it, too."""
MOST_WAITING = 20_000


class Behind:
    """`write` gets whole lines, at most ATOMIC bytes of them at a time, or a longer single one."""

    def __init__(self, write: Callable[[str], object], pause: float = PAUSE) -> None:
        self._write, self._pause = write, pause
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lines: deque[str] = deque()
        self._writing = threading.Lock()
        self._something = threading.Event()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def add(self, line: str) -> None:
        self._lines.append(line)
        if not self._something.is_set():
            self._something.set()
        elif len(self._lines) > MOST_WAITING:
            self.flush()  # whoever reads the log is slow: now the requests have to wait for it

    def flush(self) -> None:
        with self._writing:
            group, size = "", 0
            while self._lines:
                line = self._lines.popleft()
                length = len(line) if line.isascii() else len(line.encode())
                if group and size + length > ATOMIC:
                    self._write(group)
                    group, size = "", 0
                group += line
                size += length
            if group:
                self._write(group)

    def _run(self) -> None:
        while True:
            self._something.wait()
            self._something.clear()
            time.sleep(self._pause)
            self.flush()
