"""YAML text → a tree of nodes with their places. No recursion, no user tags, no alias bombs.

Builds on PyYAML's event stream, not on its composer, which recurses and expands without bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import yaml

from pymacaron_ci.yaml_scalars import (
    PREFIX,
    Conversion,
    Scalar,
    construct,
    conversion,
    implicit_tag,
)

MOST_VALUES = 20_000
DEEPEST = 50

_KNOWN_TAGS = {"str", "int", "float", "bool", "null", "seq", "map"}

Kind = Literal["scalar", "list", "mapping"]
# libyaml is ten times quicker; a PyYAML built without it gives the same events.
FASTEST: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Span:
    """From a character to the one after the last; lines and columns count from 1."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True)
class Node:
    kind: Kind
    span: Span
    value: Scalar = None
    merge: bool = False
    conversion: Conversion | None = None
    items: tuple[Node, ...] = ()
    pairs: tuple[tuple[Node, Node], ...] = ()
    size: int = 1
    depth: int = 1


class Unreadable(Exception):
    """The text can't be read at all; says why and where."""

    def __init__(self, text: str, hint: str | None = None, span: Span | None = None) -> None:
        self.text, self.hint, self.span = text, hint, span
        super().__init__(text)


@dataclass
class _Open:
    """A list or mapping whose end has not been seen yet."""

    kind: Kind
    span: Span
    anchor: str | None
    children: list[Node] = field(default_factory=list)
    size: int = 1
    depth: int = 1


def read(text: str, loader: type = FASTEST) -> Node | None:
    """The only document in `text`; None when there is nothing in it. Raises Unreadable."""
    root: Node | None = None
    documents = 0
    stack: list[_Open] = []
    anchors: dict[str, Node] = {}
    for event in _events(text, loader):
        span = _span(event)
        node: Node | None = None
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise Unreadable(
                    "the file holds a second YAML document",
                    "remove everything from this `---` on: one file is one configuration",
                    span,
                )
        elif isinstance(event, yaml.CollectionStartEvent):
            kind: Kind = "list" if isinstance(event, yaml.SequenceStartEvent) else "mapping"
            _refuse_tag(event.tag, span, "seq" if kind == "list" else "map")
            stack.append(_Open(kind, span, anchor))
            if len(stack) > DEEPEST:
                raise _too_deep(span)
        elif isinstance(event, yaml.CollectionEndEvent):
            opened = stack.pop()
            anchor = opened.anchor
            node = _closed(opened, span)
        elif isinstance(event, yaml.ScalarEvent):
            node = _scalar(event, span)
        elif isinstance(event, yaml.AliasEvent):
            node, anchor = _aliased(event.anchor, anchors, stack, span), None
        if node is None:
            continue
        if anchor is not None:
            anchors[anchor] = node
        if not stack:
            root = node
            continue
        parent = stack[-1]
        parent.children.append(node)
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if parent.depth + len(stack) - 1 > DEEPEST:
            raise _too_deep(span)
        if sum(o.size for o in stack) > MOST_VALUES:
            raise Unreadable(
                f"the file holds more than {MOST_VALUES:,} values, counting each use of an alias",
                "a pym-config.yaml holds settings; keep data in a file of its own",
                span,
            )
    return root


def _events(text: str, made_by: type) -> Iterator[yaml.Event]:
    loader = None
    try:
        loader = made_by(text)
        while loader.check_event():
            yield loader.get_event()
    except yaml.MarkedYAMLError as error:
        raise _syntax(error) from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        text = str(error).splitlines()[0]
        raise Unreadable(f"this is not YAML: {text}", "see https://yaml.org") from error
    finally:
        if loader is not None:
            loader.dispose()


# What libyaml or PyYAML's own parser says → what we say, the same for both.
_SYNTAX: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("cannot start any token", "found a tab", "tab character"),
        "a character that can't stand here",
        "indent with spaces, never with a tab; put text that starts with @, ` or % in quotes",
    ),
    (
        ("mapping values are not allowed",),
        "a `:` where no key can be",
        "put a text that holds `: ` in quotes, and check the indentation",
    ),
    (
        ("could not find expected ':'",),
        "a line without a `:`",
        "every setting is `key: value`, with a space after the colon",
    ),
    (
        ("undefined alias",),
        "an alias (`*name`) without its anchor (`&name`)",
        "put a text that starts with * in quotes",
    ),
    (
        ("unexpected end of stream",),
        "a quotation mark is never closed",
        "close the quotes, or double a ' inside '…'",
    ),
    (
        ("',' or ']'", "',' or '}'"),
        "a bracket is never closed, or a comma is missing",
        "close the [ or {; put a text that starts with one in quotes",
    ),
    (
        ("expected <block end>", "did not find expected key", "expected '-' indicator"),
        "a line that does not fit the ones around it",
        "indent the keys of one mapping, and the dashes of one list, alike",
    ),
    (
        ("Unicode character escape code",),
        "an escape that is no character",
        "remove it, or put the text in single quotes",
    ),
    (
        ("escape", "expected escape sequence"),
        "a \\ in double quotes that starts nothing known",
        "double the backslash, or put the text in single quotes",
    ),
)


def _syntax(error: yaml.MarkedYAMLError) -> Unreadable:
    mark = error.problem_mark or error.context_mark
    span = Span(mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 2) if mark else None
    problem = str(error.problem or error.context or "syntax error")
    for marks, text, hint in _SYNTAX:
        if any(m in problem for m in marks):
            return Unreadable(f"this is not YAML: {text}", hint, span)
    hint = "check the indentation and the quotes around here"
    return Unreadable(f"this is not YAML: {problem}", hint, span)


def _span(event: yaml.Event) -> Span:
    start, end = event.start_mark, event.end_mark
    if start is None or end is None:
        return Span(1, 1, 1, 1)
    return Span(start.line + 1, start.column + 1, end.line + 1, end.column + 1)


def _too_deep(span: Span) -> Unreadable:
    return Unreadable(f"more than {DEEPEST} levels of nesting", "flatten this part", span)


def _refuse_tag(tag: str | None, span: Span, *allowed: str) -> None:
    if tag is None or tag == "!" or tag in {PREFIX + a for a in allowed}:
        return
    shown = "!!" + tag[len(PREFIX) :] if tag.startswith(PREFIX) else tag
    raise Unreadable(
        f"the tag {shown[:40]} is not allowed here",
        "remove it: plain YAML values are enough, and nothing else is ever constructed",
        span,
    )


def _closed(opened: _Open, end: Span) -> Node:
    start = opened.span
    span = Span(start.line, start.column, end.end_line, end.end_column)
    children = opened.children
    if opened.kind == "list":
        return Node("list", span, items=tuple(children), size=opened.size, depth=opened.depth)
    pairs = tuple(zip(children[::2], children[1::2], strict=True))
    return Node("mapping", span, pairs=pairs, size=opened.size, depth=opened.depth)


def _aliased(name: str | None, anchors: dict[str, Node], stack: list[_Open], span: Span) -> Node:
    name = name or ""
    if any(o.anchor == name for o in stack):
        raise Unreadable(f"the alias *{name[:40]} stands inside itself", "remove it", span)
    if name not in anchors:
        raise Unreadable(f"this is not YAML: {_SYNTAX[3][1]}", _SYNTAX[3][2], span)
    return _moved(anchors[name], span)


def _moved(node: Node, span: Span) -> Node:
    """The same value at the alias's own place; what is inside keeps its own."""
    return Node(
        node.kind, span, node.value, False, node.conversion,
        node.items, node.pairs, node.size, node.depth,
    )  # fmt: skip


def _scalar(event: yaml.ScalarEvent, span: Span) -> Node:
    raw: str = event.value
    if any("\ud800" <= c <= "\udfff" for c in raw):
        raise Unreadable(f"this is not YAML: {_SYNTAX[-2][1]}", _SYNTAX[-2][2], span)
    _refuse_tag(event.tag, span, "str", "int", "float", "bool", "null")
    plain = not event.style and event.implicit[0]
    tag = implicit_tag(raw) if plain else (event.tag or "").removeprefix(PREFIX)
    if tag == "value":
        raise Unreadable(
            "a lone `=` means something of its own in YAML", "write it in quotes", span
        )
    if tag == "merge":
        return Node("scalar", span, raw, merge=True)
    try:
        value = construct(tag, raw)
    except ValueError as error:
        raise Unreadable(str(error), "write it in quotes", span) from error
    surprise = conversion(tag, raw, value) if plain else None
    return Node("scalar", span, value, conversion=surprise)
