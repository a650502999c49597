"""Request bodies as WSGI wants them: granian's own has no readline() to rely on, and tells of its
end and of a lost connection alike, with fewer bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import InputStream, WSGIEnvironment

SMALL = 256 * 1024
"""Bytes up to which a body is read before the application asks for it."""


class Source(Protocol):
    """granian's body. Waits for so many bytes, or the end."""

    def read(self, size: int, /) -> bytes: ...


def sized(source: Source, length: int) -> InputStream:
    if length <= SMALL:
        return io.BytesIO(source.read(length))
    return io.BufferedReader(_Raw(source), SMALL)


def chunked(source: Source, environ: WSGIEnvironment, largest: int) -> bool:
    """Reads a body of unknown length into `environ`, as one of known length. False if it may be
    half of what was sent."""
    # One byte more than is allowed: the application finds it too large by its own rules.
    body = source.read(largest + 1)
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    del environ["HTTP_TRANSFER_ENCODING"]
    return len(body) > largest or ends_visibly(body, environ.get("CONTENT_TYPE", ""))


def ends_visibly(body: bytes, content_type: str) -> bool:
    """Whether half of it would be noticed: only of JSON (but for a bare number) and of multipart
    forms, which the application refuses if their end is missing."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("multipart/"):
        return body.rstrip().endswith(b"--")
    return body.lstrip()[:1] in (b"{", b"[", b'"', b"t", b"f", b"n") and "json" in (kind or "json")


class _Raw(io.RawIOBase):
    def __init__(self, source: Source) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        data = self._source.read(len(view))
        view[: len(data)] = data
        return len(data)
