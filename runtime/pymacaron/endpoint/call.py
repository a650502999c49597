"""A request as an endpoint sees it, whoever received it; and the answer it gives."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from pymacaron.model.keywords import Fault


class Answer(NamedTuple):
    """An answer's status, Content-Type and body, ready to be sent; and further headers."""

    status: int
    type: str | None
    body: bytes
    headers: Sequence[tuple[str, str]] = ()


class Call(Protocol):
    """One request: its WSGI environment, the path's values, and its body read in full. `by_flask`:
    Flask serves it, whose error handlers are asked."""

    by_flask: ClassVar[bool]

    environ: dict[str, Any]
    values: dict[str, str]

    def body(self) -> bytes: ...


@dataclass
class Problems:
    """Everything that is wrong with a request, by where it was found."""

    found: list[str]

    def add(self, where: str, faults: list[Fault]) -> None:
        for fault in faults:
            place = f"{where} {fault.pointer}" if fault.pointer else where
            self.found.append(f"{place}: {fault.text}")


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """The body of a request that says Content-Encoding; refuses what grows past the limit."""
    for name in reversed([e.strip().lower() for e in encoding.split(",")]):
        if name in ("", "identity"):
            continue
        if name not in ("gzip", "x-gzip", "deflate"):
            raise UnsupportedMediaType(f"the content encoding {name} is not supported: gzip is")
        worker = zlib.decompressobj(wbits=47 if name != "deflate" else 15)
        try:
            body = worker.decompress(body, limit + 1)
        except zlib.error as error:
            raise BadRequest(f"the body is no valid {name} data") from error
        if len(body) > limit:
            raise RequestEntityTooLarge()
        if not worker.eof or worker.unused_data:
            raise BadRequest(f"the body is no complete {name} data")
    return body
