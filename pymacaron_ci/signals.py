"""SIGINT and SIGTERM become `Stopped`, once; what must be finished or undone is not interrupted."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pymacaron_ci.errors import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """Turns the first signal into an exception; announces, and otherwise ignores, further ones."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce
        self._held = 0
        self._stopped = False

    @contextmanager
    def installed(self) -> Iterator[Signals]:
        former = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Signals that arrive meanwhile are announced, not obeyed."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        name = signal.Signals(signum).name
        if self._held or self._stopped:
            self._announce(f"{name}: please wait, what was begun is being finished or undone")
            return
        self._stopped = True
        self._announce(f"{name}: stopping")
        raise Stopped(signum)
