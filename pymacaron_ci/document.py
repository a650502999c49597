"""A YAML file the user wrote → its data and the place of every key and value. Knows no setting."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pymacaron_ci import yaml_nodes
from pymacaron_ci.errors import ConfigError
from pymacaron_ci.model import Location, Problem
from pymacaron_ci.yaml_nodes import Node, Span, Unreadable
from pymacaron_ci.yaml_scalars import Conversion, Scalar

LARGEST = 256 * 1024

Where = tuple[object, ...]

# YAML 1.1 counts these as line breaks; a caret must stand on the same line that YAML speaks of.
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True)
class Document:
    """Data of a file, with places: `("env_secrets", 0)` is the first entry of the list there."""

    file: str
    text: str = field(repr=False)
    data: Mapping[str, object] = field(repr=False)
    keys: Mapping[Where, Span] = field(default_factory=dict, repr=False)
    values: Mapping[Where, Span] = field(default_factory=dict, repr=False)
    conversions: Mapping[Where, Conversion] = field(default_factory=dict, repr=False)
    # Every value as it is written, those under a repeated key too.
    scalars: tuple[tuple[Where, Scalar, Span], ...] = field(default=(), repr=False)
    problems: tuple[Problem, ...] = ()

    def key_location(self, *where: object) -> Location:
        """The place of a key; of the nearest thing around it when it isn't written in the file."""
        return self._location(self.keys, where)

    def value_location(self, *where: object) -> Location:
        return self._location(self.values, where)

    def _location(self, places: Mapping[Where, Span], where: Where) -> Location:
        while where:
            span = places.get(where) or self.values.get(where)
            if span:
                return location(self.file, span)
            where = where[:-1]
        return Location(file=self.file, line=1, column=1)


def location(file: str, span: Span) -> Location:
    one_line = span.line == span.end_line
    length = max(1, span.end_column - span.column) if one_line else 1
    return Location(file=file, line=span.line, column=span.column, length=length)


def lines(text: str) -> list[str]:
    """The lines of a text as YAML counts them."""
    return _LINE_BREAK.split(text)


def load(path: Path) -> Document:
    """Reads a file that must hold one mapping. Raises ConfigError for what can't be read at all."""
    return parse(read(path), str(path))


def read(path: Path) -> bytes:
    """The content of a file of a reasonable size. Raises ConfigError."""
    try:
        if path.is_dir():
            raise _refusal(path, "is a directory, not a file")
        if path.exists() and not path.is_file():
            raise _refusal(path, "is not a regular file")
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise _refusal(path, "does not exist") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _refusal(path, f"can't be read: {reason}") from error
    if len(content) > LARGEST:
        raise _refusal(
            path,
            f"is larger than {LARGEST // 1024} KiB",
            "a pym-config.yaml holds settings; keep data in a file of its own",
        )
    return content


def parse(content: bytes, file: str) -> Document:
    """Raises ConfigError when `content` holds no mapping; other findings are its `problems`."""
    text = _decode(content, file)
    try:
        root = yaml_nodes.read(text)
        if root is None or (root.kind == "scalar" and root.value is None):
            raise Unreadable("the file is empty", "it needs at least `name: …` and `live_url: …`")
        if root.kind != "mapping":
            what = "a list" if root.kind == "list" else "a single value"
            raise Unreadable(
                f"the file holds {what}, not settings",
                "every setting is `key: value`, with a space after the colon",
                root.span,
            )
        builder = _Builder(file)
        data = builder.mapping(root, ())
    except Unreadable as error:
        where = location(file, error.span) if error.span else Location(file=file, line=1, column=1)
        problem = Problem(text=error.text, hint=error.hint, location=where)
        raise ConfigError(problems=[problem]) from error
    for key in [k for k in data if not isinstance(k, str)]:
        builder.key_is_no_text(key)
        del data[key]
    return Document(
        file=file,
        text=text,
        data={str(k): v for k, v in data.items()},
        keys=builder.keys,
        values=builder.values,
        conversions=builder.conversions,
        scalars=tuple(builder.scalars),
        problems=tuple(builder.problems),
    )


def _refusal(path: Path, text: str, hint: str | None = None) -> ConfigError:
    location = Location(file=str(path))
    return ConfigError(problems=[Problem(text=f"{path.name} {text}", hint=hint, location=location)])


def _decode(content: bytes, file: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        at = _place(before, file)
        hint = "save the file as UTF-8"
        if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            hint = "it is UTF-16: save it as UTF-8"
        problem = Problem(text="the file is not UTF-8 text", hint=hint, location=at)
        raise ConfigError(problems=[problem]) from error
    found = _NOT_YAML.search(text)
    if found:
        problem = Problem(
            text=f"a control character (U+{ord(found[0]):04X}), which YAML does not allow",
            hint="remove it",
            location=_place(text[: found.start()], file),
        )
        raise ConfigError(problems=[problem])
    return text


def _place(before: str, file: str) -> Location:
    broken = lines(before)
    return Location(file=file, line=len(broken), column=len(broken[-1]) + 1)


class _Builder:
    """Walks the tree once. Depth and size are bounded by yaml_nodes, so that recursion is safe."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.keys: dict[Where, Span] = {}
        self.values: dict[Where, Span] = {}
        self.conversions: dict[Where, Conversion] = {}
        self.scalars: list[tuple[Where, Scalar, Span]] = []
        self.problems: list[Problem] = []

    def mapping(self, node: Node, where: Where) -> dict[object, object]:
        made: dict[object, object] = {}
        written: dict[object, Span] = {}
        for key_node, value_node in self._merged(node):
            key = self._key(key_node)
            at = (*where, key)
            if key in written:
                self.repeated(key, key_node, written[key])
            written[key] = key_node.span
            self.keys[at] = key_node.span
            made[key] = self.value(value_node, at)
        for key_node, value_node in self._inherited(node):
            key = self._key(key_node)
            if key not in made:
                at = (*where, key)
                self.keys[at] = key_node.span
                made[key] = self.value(value_node, at)
        return made

    def value(self, node: Node, where: Where) -> object:
        self.values[where] = node.span
        if node.conversion:
            self.conversions[where] = node.conversion
        if node.kind == "mapping":
            return self.mapping(node, where)
        if node.kind == "list":
            return [self.value(item, (*where, i)) for i, item in enumerate(node.items)]
        self.scalars.append((where, node.value, node.span))
        return node.value

    def repeated(self, key: object, again: Node, first: Span) -> None:
        self.problems.append(
            Problem(
                text=f"the key {key} is repeated: it is already set on line {first.line}",
                hint="keep one of them; YAML takes the last in silence",
                location=location(self.file, again.span),
            )
        )

    def key_is_no_text(self, key: object) -> None:
        kinds = {bool: "true or false", int: "a number", float: "a number", type(None): "nothing"}
        kind = kinds.get(type(key), "a date")
        self.problems.append(
            Problem(
                text=f"a key that is not a text: YAML reads it as {kind}",
                hint="write it in quotes",
                location=location(self.file, self.keys[(key,)]),
            )
        )

    def _key(self, node: Node) -> object:
        if node.kind != "scalar":
            raise Unreadable(
                "a key that is a list or a mapping",
                "a key is a plain name; put a value that starts with { or [ in quotes",
                node.span,
            )
        return node.value

    def _merged(self, node: Node) -> Iterator[tuple[Node, Node]]:
        return (pair for pair in node.pairs if not pair[0].merge)

    def _inherited(self, node: Node) -> Iterator[tuple[Node, Node]]:
        """What `<<: *other` brings in; the first mapping named wins, as YAML has it."""
        for key, value in node.pairs:
            if not key.merge:
                continue
            for source in value.items if value.kind == "list" else (value,):
                if source.kind != "mapping":
                    raise Unreadable(
                        "`<<` merges mappings, and this is none", "remove it", source.span
                    )
                yield from self._merged(source)
                yield from self._inherited(source)
