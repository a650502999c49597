"""Layers compressed on every core, to the same bytes on every machine."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import IO

_PIECE = 1 << 20
# The level is part of a layer's identity: this one takes half the time of 6, for 4 % more bytes.
_LEVEL = 4
# No name, no time, no operating system; zlib and gzip.py would each write their own.
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


class Gzipped:
    """Writes what it is given, compressed, to a stream, and knows the digests of both.

    Each megabyte is a gzip member of its own (RFC 1952, 2.2; eStargz's layers are made so, too), so
    that they can be compressed side by side; where they end does not depend on the machine.
    """

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._held = bytearray()
        self._inner, self._outer = hashlib.sha256(), hashlib.sha256()
        self._taken = 0
        self._at_once = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._at_once)
        self._waiting: deque[Future[bytes]] = deque()
        self.size = 0  # of what was written to the stream

    @property
    def diff_id(self) -> str:
        """The digest of what was compressed."""
        return f"sha256:{self._inner.hexdigest()}"

    @property
    def digest(self) -> str:
        return f"sha256:{self._outer.hexdigest()}"

    def write(self, data: bytes) -> int:
        self._held += data
        self._taken += len(data)
        while len(self._held) >= _PIECE:
            piece = bytes(self._held[:_PIECE])
            del self._held[:_PIECE]
            self._inner.update(piece)
            self._waiting.append(self._pool.submit(_member, piece))
            if len(self._waiting) > self._at_once:
                self._emit(self._waiting.popleft().result())
        return len(data)

    def tell(self) -> int:
        return self._taken

    def __enter__(self) -> Gzipped:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        with self._pool:
            if kind is None:
                self._finish()

    def _finish(self) -> None:
        while self._waiting:
            self._emit(self._waiting.popleft().result())
        if self._held or not self._taken:
            self._inner.update(self._held)
            self._emit(_member(bytes(self._held)))

    def _emit(self, member: bytes) -> None:
        self._outer.update(member)
        self.size += len(member)
        self._out.write(member)


def _member(piece: bytes) -> bytes:
    deflate = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS)
    trailer = struct.pack("<II", zlib.crc32(piece), len(piece))
    return b"".join((_HEADER, deflate.compress(piece), deflate.flush(), trailer))
