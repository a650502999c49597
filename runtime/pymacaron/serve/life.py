"""What a worker lets its master see, and how both hear signals."""

from __future__ import annotations

import mmap
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress

BOOTS, SERVES, LEAVES, DEAF = range(4)
_FORMAT = struct.Struct("=Bd")


class Life:
    """A worker's state and last sign of life, in memory that it shares with its master."""

    def __init__(self) -> None:
        self.parent = os.getpid()
        self._memory = mmap.mmap(-1, _FORMAT.size)
        self._set(BOOTS)

    @property
    def state(self) -> int:
        return int(_FORMAT.unpack_from(self._memory)[0])

    def silent_for(self) -> float:
        return time.monotonic() - float(_FORMAT.unpack_from(self._memory)[1])

    def beat(self) -> None:
        self._set(self.state)

    def serves(self) -> None:
        self._tell(SERVES)

    def leaves(self) -> None:
        self._tell(LEAVES)

    def deaf(self) -> None:
        """It takes no more connections."""
        self._tell(DEAF)

    def _set(self, state: int) -> None:
        _FORMAT.pack_into(self._memory, 0, state, time.monotonic())

    def _tell(self, state: int) -> None:
        self._set(state)
        if os.getppid() == self.parent:
            with suppress(ProcessLookupError):
                os.kill(self.parent, signal.SIGUSR1)


class Mailbox:
    """The signals that came, one after the other: nothing is done inside of a handler."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._in, self._out = socket.socketpair()
        self._in.setblocking(False)
        self._out.setblocking(False)
        signal.set_wakeup_fd(self._in.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: None)

    def wait(self, seconds: float) -> list[int]:
        select.select([self._out], [], [], seconds)
        with suppress(BlockingIOError):
            return list(self._out.recv(4096))
        return []
