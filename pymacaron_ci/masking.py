"""The lines of a configuration, fit to be shown: what may be a secret becomes asterisks."""

from __future__ import annotations

import re

from pymacaron_ci import document
from pymacaron_ci.document import Document, lines
from pymacaron_ci.errors import ConfigError
from pymacaron_ci.findings import secret_names
from pymacaron_ci.findings.secrecy import is_secret, is_secret_name
from pymacaron_ci.quoting import SECRET_VALUE
from pymacaron_ci.yaml_nodes import Span

MASK = "********"
_KEY = re.compile(r"""\s*["']?[\w.-]+["']?\s*:(\s|$)""")
_WORD = re.compile(r"[\w.-]+")
_SEPARATOR = re.compile(r"""["']?\s*[:=]?\s*""")


def masked_lines(text: str) -> list[str]:
    """Each line of the text; columns before a masked value stay what they are."""
    shown = lines(text)
    try:
        read = document.parse(text.encode("utf-8", "replace"), "")
    except ConfigError:
        return _masked_by_eye(shown)
    for span in _secret_spans(read):
        _mask(shown, span)
    return shown


def _secret_spans(read: Document) -> list[Span]:
    listed = secret_names(read.data)
    found = {span for where, value, span in read.scalars if is_secret(where, value, listed)}
    # From the end, so that a span's columns still hold when it is its turn.
    return sorted(found, key=lambda s: (s.line, s.column), reverse=True)


def _mask(shown: list[str], span: Span) -> None:
    last = min(span.end_line, len(shown))
    for number in range(span.line, last + 1):
        line = shown[number - 1]
        start = span.column - 1 if number == span.line else len(line) - len(line.lstrip())
        end = span.end_column - 1 if number == span.end_line else len(line)
        if start < end:
            shown[number - 1] = line[:start] + MASK + line[end:]


def _masked_by_eye(shown: list[str]) -> list[str]:
    """For what is not YAML: masks what follows a secret-like key, up to the next as far left."""
    masked = []
    depth: int | None = None
    for line in shown:
        indent = len(line) - len(line.lstrip())
        if depth is not None and indent <= depth and _KEY.match(line):
            depth = None
        kept = indent if depth is not None else len(line)
        for word in _WORD.finditer(line):
            if is_secret_name(word[0]) or word[0] == "env_secrets":
                depth = indent if depth is None else depth
                kept = min(kept, _after_separator(line, word.end()))
        masked.append(line if not line[kept:].strip() else line[:kept] + MASK)
    return [SECRET_VALUE.sub(MASK, line) for line in masked]


def _after_separator(line: str, end: int) -> int:
    separator = _SEPARATOR.match(line, end)
    return separator.end() if separator else end
