"""Lines that are written a moment later, many at a time: a request need not wait for the log, and
asks the system only once for many lines."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

PAUSE = 0.05
"""Seconds; what a killed process has not written, at most."""
ATOMIC = 4096
"""Bytes that a pipe takes in one piece (PIPE_BUF): other processes write to it, too."""
TOGETHER = 16
"""Lines that are worth a piece; whoever adds that many writes them, unless that would take time."""
MOST_UNTIDY = 16 * TOGETHER
"""The same, where a server calls `tidy`."""
MOST_WAITING = 20_000

Line = tuple[Any, ...]
"""A function that makes it out of this, and what it needs: many made in a row take less time."""


def ready_made(text: str) -> Line:
    """A line that needs no making."""
    return (_text_of, text)


def _text_of(line: Line) -> str:
    return str(line[1])


class Behind:
    """`write` gets whole lines, at most ATOMIC bytes of them at a time, or a longer single one.
    `ready` tells whether it would do so without waiting."""

    def __init__(
        self, write: Callable[[str], object], ready: Callable[[], bool], pause: float = PAUSE
    ) -> None:
        self._write, self._ready, self._pause = write, ready, pause
        self._most = TOGETHER
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lines: deque[Line] = deque()
        self._writing = threading.Lock()
        self._something = threading.Event()
        self._told = False
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def add(self, line: Line) -> None:
        self._lines.append(line)
        if not self._told:
            self._told = True
            self._something.set()
        if len(self._lines) >= self._most:
            self._write_some()
            if len(self._lines) > MOST_WAITING:
                self.flush()  # whoever reads the log is slow: now the requests have to wait for it

    def let_tidy(self) -> Callable[[], object]:
        """What a server promises to call whenever it has answered. Lines are written then, while
        its clients think, and no longer by who adds them."""
        self._most = MOST_UNTIDY
        return self._tidy

    def _tidy(self) -> None:
        while len(self._lines) >= TOGETHER and self._write_some():
            pass

    def _write_some(self) -> bool:
        """Whether a piece could be written without waiting."""
        if not self._writing.acquire(blocking=False):
            return False
        try:
            ready = self._ready()
            if ready:
                self._write_piece()
            return ready
        finally:
            self._writing.release()

    def flush(self) -> None:
        with self._writing:
            while self._lines:
                self._write_piece()

    def _write_piece(self) -> None:
        pieces: list[str] = []
        size = 0
        while self._lines:
            line = _made(self._lines.popleft())
            size += len(line) if line.isascii() else len(line.encode())
            if pieces and size > ATOMIC:
                self._lines.appendleft(ready_made(line[:-1]))
                break
            pieces.append(line)
        if pieces:
            self._write("".join(pieces))

    def _run(self) -> None:
        while True:
            self._something.wait()
            self._something.clear()
            self._told = False
            time.sleep(self._pause)
            self.flush()


def _made(line: Line) -> str:
    try:
        return f"{line[0](line)}\n"
    except Exception as error:  # noqa: BLE001  (the others are written on)
        return f"a line of the log could not be put together: {error!r}\n"


def takes_more(handle: int) -> bool:
    """Whether a pipe or terminal takes a piece at once; files always do."""
    poll = select.poll()
    poll.register(handle, select.POLLOUT)
    return bool(poll.poll(0))
