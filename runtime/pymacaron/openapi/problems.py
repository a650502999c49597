"""What is wrong with an OpenAPI file, and where: file, line and JSON pointer. All problems of a
file at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something the author of the file can mend. `pointer` is an RFC 6901 fragment such as
    `/paths/~1pets/get`."""

    text: str
    file: str
    line: int | None = None
    pointer: str = ""

    def __str__(self) -> str:
        line = f":{self.line}" if self.line is not None else ""
        pointer = f" (at #{self.pointer})" if self.pointer else ""
        return f"{self.file}{line}: {self.text}{pointer}"


class SpecError(Exception):
    """An OpenAPI file that can't be served as it is; `problems` holds every reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


def escape(token: str) -> str:
    """A key as one token of a JSON pointer."""
    return token.replace("~", "~0").replace("/", "~1")


def unescape(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")
