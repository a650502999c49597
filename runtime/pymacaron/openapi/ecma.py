"""ECMA-262 regular expressions, as JSON Schema writes them, for Rust's linear-time engine; Python's
`re` takes what needs look-around or back-references. Source: ECMA-262 §22.2, JSON Schema Validation
§6.3.3."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import groupby

from pydantic_core import SchemaError, SchemaValidator, core_schema

SPACES = "\\x09-\\x0d\\x20\\xa0" + "\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
NOT_SPACES = (
    "\\x00-\\x08\\x0e-\\x1f\\x21-\\x9f\xa1-\u167f\u1681-\u1fff\u200b-\u2027\u202a-\u202e"
    "\u2030-\u205e\u2060-\u2fff\u3001-\ufefe\uff00-\U0010ffff"
)
SETS = {
    "d": "0-9",
    "D": "\\x00-\\x2f\\x3a-\U0010ffff",
    "w": "A-Za-z0-9_",
    "W": "\\x00-\\x2f\\x3a-\\x40\\x5b-\\x5e\\x60\\x7b-\U0010ffff",
    "s": SPACES,
    "S": NOT_SPACES,
}
CONTROLS = {"t": "\\x09", "n": "\\x0a", "v": "\\x0b", "f": "\\x0c", "r": "\\x0d"}
ANY = "[^\\x0a\\x0d\u2028\u2029]"
QUANTIFIER = re.compile(r"\{\d+(?:,\d*)?\}")
GROUP_NAME = re.compile(r"\?<([A-Za-z_$][\w$]*)>")
LONG_CATEGORIES = {
    "Letter": "L",
    "Uppercase_Letter": "Lu",
    "Lowercase_Letter": "Ll",
    "Titlecase_Letter": "Lt",
    "Modifier_Letter": "Lm",
    "Other_Letter": "Lo",
    "Mark": "M",
    "Number": "N",
    "Decimal_Number": "Nd",
    "digit": "Nd",
    "Punctuation": "P",
    "punct": "P",
    "Symbol": "S",
    "Separator": "Z",
    "Space_Separator": "Zs",
    "Other": "C",
    "Control": "Cc",
}
SHORT_CATEGORIES = frozenset(
    [
        "L",
        "Lu",
        "Ll",
        "Lt",
        "Lm",
        "Lo",
        "M",
        "Mn",
        "Mc",
        "Me",
        "N",
        "Nd",
        "Nl",
        "No",
        "P",
        "Pc",
        "Pd",
        "Ps",
        "Pe",
        "Pi",
        "Pf",
        "Po",
        "S",
        "Sm",
        "Sc",
        "Sk",
        "So",
        "Z",
        "Zs",
        "Zl",
        "Zp",
        "C",
        "Cc",
        "Cf",
        "Cs",
        "Co",
        "Cn",
    ]
)


class BadPattern(ValueError):
    """A pattern that is no ECMA-262 pattern, or one that neither engine can match."""


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """A function that says whether a text contains a match. Raises BadPattern."""
    rust = rust_pattern(pattern)
    if rust is not None:
        matches = SchemaValidator(core_schema.str_schema(pattern=rust)).isinstance_python

        def search(text: str) -> bool:
            return matches(text)

        return search
    compiled = _python(pattern)

    def search_python(text: str) -> bool:
        return compiled.search(text) is not None

    return search_python


@lru_cache(maxsize=4096)
def rust_pattern(pattern: str) -> str | None:
    """The same pattern for Rust's engine; None if it can't express it."""
    translated = _Translator(pattern).translate()
    rust = translated.replace("\0END", "\\z").replace("\0WORD", "(?-u:\\b)")
    if "\0" in rust:
        return None
    try:
        SchemaValidator(core_schema.str_schema(pattern=rust))
    except SchemaError:
        return None
    return rust


def _python(pattern: str) -> re.Pattern[str]:
    translated = _Translator(pattern).translate()
    text = (
        translated.replace("\0END", "\\Z").replace("\0WORD", "\\b").replace("\0NOTWORD", "\\B")
    ).replace("\0", "")
    try:
        return re.compile(text, re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise BadPattern(str(error)) from error


class _Translator:
    """One pass over the pattern; what the engines write differently is marked with NUL."""

    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0
        self.out: list[str] = []

    def translate(self) -> str:
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if char == "\\":
                self.out.append(self._escape(inside=False))
            elif char == "[":
                self.out.append(self._set())
            elif char == "(":
                self.out.append(self._group())
            elif char == ".":
                self.out.append(ANY)
            elif char == "$":
                self.out.append("\0END")
            elif char in "*+?":
                self._quantified(char)
            elif char == "{":
                self._braces()
            elif char in "^|)":
                self.out.append(char)
            else:
                self.out.append(_literal(char))
        return "".join(self.out)

    def _quantified(self, char: str) -> None:
        self.out.append(char)
        follow = self.text[self.at : self.at + 1]
        if follow == "?":
            self.out.append("?")
            self.at += 1
            follow = self.text[self.at : self.at + 1]
        if follow in ("*", "+", "?") and follow:
            raise BadPattern(f"nothing to repeat at position {self.at}")

    def _braces(self) -> None:
        found = QUANTIFIER.match(self.text, self.at - 1)
        if found is None:
            self.out.append(_literal("{"))
            return
        self.at = found.end()
        self._quantified(found.group())

    def _group(self) -> str:
        rest = self.text[self.at : self.at + 3]
        for opening in ("?:", "?=", "?!", "?<=", "?<!"):
            if rest.startswith(opening):
                self.at += len(opening)
                return "(" + opening
        name = GROUP_NAME.match(self.text, self.at)
        if name:
            self.at = name.end()
            return f"(?P<{name.group(1).replace('$', '_')}>"
        if rest.startswith("?"):
            raise BadPattern(f"(?{rest[1:2]} is not part of ECMA-262")
        return "("

    def _set(self) -> str:
        negated = self.text.startswith("^", self.at)
        self.at += negated
        items: list[str] = []
        while True:
            if self.at >= len(self.text):
                raise BadPattern("a [ without its ]")
            char = self.text[self.at]
            self.at += 1
            if char == "]":
                break
            if char == "\\":
                items.append(self._escape(inside=True))
            elif char == "-" and items and self.text[self.at : self.at + 1] not in ("]", ""):
                items.append("-" if len(items[-1]) != 0 and _single(items[-1]) else "\\x2d")
            else:
                items.append(_literal(char))
        if not items:
            return "[\\x00-\U0010ffff]" if negated else "[^\\x00-\U0010ffff]"
        return ("[^" if negated else "[") + "".join(items) + "]"

    def _escape(self, *, inside: bool) -> str:
        if self.at >= len(self.text):
            raise BadPattern("it ends with a backslash")
        char = self.text[self.at]
        self.at += 1
        if char in SETS:
            return SETS[char] if inside else f"[{SETS[char]}]"
        if char in CONTROLS:
            return CONTROLS[char]
        if char == "b":
            return "\\x08" if inside else "\0WORD"
        if char == "B" and not inside:
            return "\0NOTWORD"
        if char == "c":
            letter = self._take(1)
            if not letter.isascii() or not letter.isalpha():
                raise BadPattern("\\c needs a letter")
            return f"\\x{ord(letter.upper()) - 64:02x}"
        if char == "x":
            return _literal(chr(self._hex(2)))
        if char == "u":
            return self._unicode()
        if char in "pP":
            return self._property(char == "P", inside)
        if char == "0" and not self.text[self.at : self.at + 1].isdigit():
            return "\\x00"
        if char == "k" and not inside:
            found = re.compile(r"<([\w$]+)>").match(self.text, self.at)
            if not found:
                raise BadPattern("\\k needs the name of a group")
            self.at = found.end()
            return f"\0(?P={found.group(1).replace('$', '_')})"
        if char.isdigit() and not inside:
            number = char
            while self.text[self.at : self.at + 1].isdigit():
                number += self._take(1)
            return f"\0(?:\\{number})"
        if char.isalnum():
            hint = ": use ^ and $" if char in "AzZ" else ""
            raise BadPattern(f"\\{char} is not part of ECMA-262{hint}")
        return _literal(char)

    def _take(self, count: int) -> str:
        taken = self.text[self.at : self.at + count]
        self.at += count
        return taken

    def _hex(self, count: int) -> int:
        digits = self._take(count)
        if len(digits) != count or not all(c in "0123456789abcdefABCDEF" for c in digits):
            raise BadPattern(f"an escape needs {count} hexadecimal digits")
        return int(digits, 16)

    def _unicode(self) -> str:
        if self.text.startswith("{", self.at):
            end = self.text.find("}", self.at)
            try:
                code = int(self.text[self.at + 1 : end], 16)
                self.at = end + 1
                return _literal(chr(code))
            except (ValueError, OverflowError) as error:
                raise BadPattern("\\u{...} needs a code point") from error
        code = self._hex(4)
        if 0xD800 <= code < 0xDC00 and self.text.startswith("\\u", self.at):
            self.at += 2
            low = self._hex(4)
            if 0xDC00 <= low < 0xE000:
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        return _literal(chr(code))

    def _property(self, negated: bool, inside: bool) -> str:
        found = re.compile(r"\{([\w=]+)\}").match(self.text, self.at)
        if not found:
            raise BadPattern("\\p needs a property in braces")
        self.at = found.end()
        name = found.group(1)
        for prefix in ("General_Category=", "gc="):
            name = name.removeprefix(prefix)
        category = LONG_CATEGORIES.get(name, name)
        if category not in SHORT_CATEGORIES:
            raise BadPattern(f"\\p{{{name}}} is not supported; general categories are")
        ranges = _category(category, negated)
        return ranges if inside else f"[{ranges}]"


def _single(item: str) -> bool:
    """Whether an item of a set is one character, so that a - after it makes a range."""
    return len(item) == 1 or (len(item) == 4 and item.startswith("\\x"))


def _literal(char: str) -> str:
    if char.isascii() and not char.isalnum() and char != "_":
        return f"\\x{ord(char):02x}"
    return char


@lru_cache(maxsize=64)
def _category(category: str, negated: bool) -> str:
    """The characters of a Unicode general category as ranges of a set."""
    found: list[list[int]] = []
    for first, last, own in _runs():
        if own == "Cs" or own.startswith(category) == negated:
            continue
        if found and found[-1][1] == first - 1:
            found[-1][1] = last
        else:
            found.append([first, last])
    texts = ((_literal(chr(first)), _literal(chr(last))) for first, last in found)
    return "".join(first if first == last else f"{first}-{last}" for first, last in texts)


@cache
def _runs() -> list[tuple[int, int, str]]:
    """All of Unicode as runs of one general category: first and last character, category."""
    runs = []
    start = 0
    for category, run in groupby(map(unicodedata.category, map(chr, range(0x110000)))):
        end = start + sum(1 for _ in run)
        runs.append((start, end - 1, category))
        start = end
    return runs
