"""How problems look: as text with the source line and a caret, or as JSON. Never shows a secret."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pymacaron_ci import masking
from pymacaron_ci.document import LARGEST
from pymacaron_ci.model import Location, Problem

WIDTH = 110
_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "caret": "\x1b[32m", "dim": "\x1b[2m"}
_END = "\x1b[0m"

Read = Callable[[str], str | None]


def render_text(
    problems: Sequence[Problem], *, color: bool = False, read: Read | None = None
) -> str:
    """`file:line:column: error: text`, the line with a caret under it, then what to do.

    `read` gives a file's text for its path; by default from the disk.
    """
    sources = _Sources(read or _read)
    return "\n".join(_one(problem, sources, color) for problem in problems)


def render_json(problems: Iterable[Problem]) -> list[dict[str, object]]:
    return [
        {
            "severity": p.severity,
            "text": p.text,
            "hint": p.hint,
            "file": p.location.file if p.location else None,
            "line": p.location.line if p.location else None,
            "column": p.location.column if p.location else None,
        }
        for p in problems
    ]


def counted(problems: Iterable[Problem]) -> str:
    """`2 errors, 1 warning`"""
    found = [p.severity for p in problems]
    parts = []
    for severity in ("error", "warning"):
        number = found.count(severity)
        if number:
            parts.append(f"{number} {severity}{'s' if number > 1 else ''}")
    return ", ".join(parts) or "no problems"


class _Sources:
    """Lines of the files that problems speak of, each file read and masked once."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._lines: dict[str, list[str]] = {}

    def line(self, location: Location) -> str | None:
        if location.line is None:
            return None
        if location.file not in self._lines:
            text = self._read(location.file)
            self._lines[location.file] = [] if text is None else masking.masked_lines(text)
        lines = self._lines[location.file]
        return lines[location.line - 1] if 0 < location.line <= len(lines) else None


def _read(path: str) -> str | None:
    try:
        if not Path(path).is_file():
            return None
        with Path(path).open("rb") as stream:
            return stream.read(LARGEST).decode("utf-8-sig", "replace")
    except (OSError, ValueError):
        return None


def _one(problem: Problem, sources: _Sources, color: bool) -> str:
    def paint(name: str, text: str) -> str:
        return f"{_COLORS[name]}{text}{_END}" if color else text

    where = f"{_printable(str(problem.location))}: " if problem.location else ""
    shown = [f"{where}{paint(problem.severity, problem.severity + ':')} {_printable(problem.text)}"]
    line = sources.line(problem.location) if problem.location else None
    if line is not None and line.strip() and problem.location:
        excerpt, caret = _excerpt(line, problem.location)
        shown += [f"    {excerpt}", f"    {paint('caret', caret)}"]
    if problem.hint:
        shown.append(paint("dim", f"    {_printable(problem.hint)}"))
    return "\n".join(shown)


def _excerpt(line: str, location: Location) -> tuple[str, str]:
    """The part of the line around the place, and the caret under it."""
    column = min((location.column or 1) - 1, len(line))
    start = 0 if column < WIDTH * 3 // 4 else column - WIDTH // 2
    part = _printable(line[start : start + WIDTH])
    before = part[: column - start]
    length = max(1, min(location.length, len(part) - len(before)))
    if part[len(before) :].startswith(masking.MASK):
        length = len(masking.MASK)  # the secret's own length is nobody's business
    padding = "".join(c if c == "\t" else " " * _cells(c) for c in before)
    under = sum(_cells(c) for c in part[len(before) : len(before) + length]) or 1
    head, tail = ("…" if start else ""), ("…" if start + WIDTH < len(line) else "")
    return f"{head}{part}{tail}", f"{' ' if head else ''}{padding}{'^' * under}"


def _cells(character: str) -> int:
    """Columns of a terminal that a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _printable(text: str) -> str:
    """One replacement for each character that could steer a terminal, so that columns stay."""
    return "".join(c if c == "\t" or c.isprintable() else "\ufffd" for c in text)
