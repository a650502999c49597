"""What must never be shown: known secret values, and fields whose names say that they hold one."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote, quote_plus

MASK = "***"
# Shorter values would blank out ordinary text all over the logs.
SHORTEST = 4
DEEPEST = 20

SENSITIVE_NAME = re.compile(
    r"pass(word|wd|phrase|code)?$|^pass|secret|token|authori[sz]ation|api[-_]?key|access[-_]?key"
    r"|private[-_]?key|credential|cookie|session[-_]?id|^pwd$|signature|^pin$|cvc|cvv|card[-_]?number",
    re.IGNORECASE,
)
# name=value, "name": "value", name: value, inside text that could not be parsed. Repetitions that
# could overlap are bounded: the text comes from outside, and may be made to keep a regex busy.
_PAIR = re.compile(
    r"""(?ix)
    ((?:password|passwd|passphrase|secret|token|authorization|api[-_]?key|access[-_]?key|cookie)
     [\w-]{0,40}["']?\s{0,5}[:=]\s{0,5})
    ( "(?:[^"\\]|\\.)*"? | '(?:[^'\\]|\\.)*'? | (?:bearer\s{1,5}|basic\s{1,5})?[^\s&;,}\]"']+ )
    """
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s{1,5}[A-Za-z0-9._~+/=-]{8,}")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{5,2000}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")


def is_sensitive(name: str) -> bool:
    """True when a field of this name is never shown."""
    return SENSITIVE_NAME.search(name) is not None


class Redactor:
    """Masks the values it was told, in whatever way they may come to be written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        # What was shown of a text holds as long as this stays the same.
        self.version = 0

    def hide(self, values: Iterable[str]) -> None:
        """Adds secret values; anything shown from now on is free of them."""
        new = {str(v) for v in values if len(str(v)) >= SHORTEST}
        with self._lock:
            if new <= self._values:
                return
            self._values = self._values | new
            forms = {form for value in self._values for form in _forms(value)}
            longest_first = sorted(forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(re.escape(f) for f in longest_first))
            self.version += 1

    def text(self, text: str) -> str:
        """The text without any known secret value."""
        pattern = self._pattern
        return text if pattern is None else pattern.sub(MASK, text)

    def shows_secret(self, text: str) -> bool:
        pattern = self._pattern
        return pattern is not None and pattern.search(text) is not None

    def free_text(self, text: str) -> str:
        """Text of unknown make (a body, a message): also what looks like a credential is masked."""
        text = self.text(text)
        text = _BEARER.sub(lambda m: f"{m.group(1)} {MASK}", text)
        text = _PAIR.sub(lambda m: m.group(1) + MASK, text)
        return _JWT.sub(MASK, text)

    def data(self, value: object) -> object:
        """A copy of free-form data, made of JSON types only, without secrets."""
        return self._data(value, self.text, 0)

    def foreign_data(self, value: object) -> object:
        """The same for data that a client sent: also what looks like a credential is masked."""
        return self._data(value, self.free_text, 0)

    def _data(self, value: object, shown: Callable[[str], str], depth: int) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, bytes):
            return shown(value.decode("utf-8", "backslashreplace"))
        if depth > DEEPEST:
            return "..."
        if isinstance(value, Mapping):
            return {
                self.text(str(k)): MASK
                if v is not None and is_sensitive(str(k))
                else self._data(v, shown, depth + 1)
                for k, v in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self._data(v, shown, depth + 1) for v in value]
        return shown(_clean(str(value)))


def _clean(text: str) -> str:
    """Without lone surrogates, which no UTF-8 sink could write."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _forms(value: str) -> Iterable[str]:
    """The ways a value is written in logs, tracebacks, JSON documents and URLs."""
    yield value
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="")
    yield quote_plus(value, safe="")
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        # A PEM key is a secret line by line, but its first and last lines are everybody's.
        yield from (line for line in lines if len(line) >= 12 and not line.startswith("-----"))


redactor = Redactor()
