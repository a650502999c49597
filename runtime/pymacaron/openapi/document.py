"""A YAML or JSON file as plain data that knows the line of every JSON pointer. YAML is read as YAML
1.2 reads it: `on` and `no` are texts, dates stay texts, keys are always texts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import BaseConstructor
from yaml.events import CollectionEndEvent, CollectionStartEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.resolver import BaseResolver

from pymacaron.openapi.problems import Problem, SpecError, escape, unescape

MAX_BYTES = 64 * 1024 * 1024
MAX_NODES = 5_000_000  # counted with every alias written out: a "billion laughs" file ends here
MAX_DEPTH = 200

NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
TRUE = re.compile(r"^(?:true|True|TRUE)$")
FALSE = re.compile(r"^(?:false|False|FALSE)$")
INTEGER = re.compile(r"^[-+]?[0-9]{1,4000}$")
OCTAL = re.compile(r"^0o[0-7]{1,4000}$")
HEX = re.compile(r"^0x[0-9a-fA-F]{1,4000}$")
FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
INFINITE = re.compile(r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$")
TEXT = "tag:yaml.org,2002:str"
TAGS = {f"tag:yaml.org,2002:{t}" for t in ("str", "int", "float", "bool", "null", "map", "seq")}
TAGS |= {"tag:yaml.org,2002:timestamp", "!"}

try:
    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    class _Loader(CParser, BaseConstructor, BaseResolver):
        """libyaml's parser without PyYAML's YAML 1.1 conversions."""

        def __init__(self, stream: str) -> None:
            CParser.__init__(self, stream)
            BaseConstructor.__init__(self)
            BaseResolver.__init__(self)

except ImportError:  # PyYAML without libyaml: the same, slower
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class _Loader(Reader, Scanner, Parser, Composer, BaseConstructor, BaseResolver):  # type: ignore[no-redef]
        def __init__(self, stream: str) -> None:
            Reader.__init__(self, stream)
            Scanner.__init__(self)
            Parser.__init__(self)
            Composer.__init__(self)
            BaseConstructor.__init__(self)
            BaseResolver.__init__(self)


class Document:
    """One file: `data`, and `line(pointer)` for messages."""

    def __init__(self, path: Path, name: str, text: str) -> None:
        self.path = path
        self.name = name
        self.problems: list[Problem] = []
        self._text = text
        self._root: Node | None = None
        self._composed = False
        self.data: Any = self._read()

    def line(self, pointer: str) -> int | None:
        """The line of the key (or the list entry) that a pointer names; of its nearest parent if it
        has none."""
        node = self._compose() if not self._composed else self._root
        if node is None:
            return None
        line = int(node.start_mark.line) + 1
        for token in pointer.split("/")[1:]:
            wanted = unescape(token)
            if isinstance(node, MappingNode):
                for key, value in node.value:
                    if key.value == wanted:
                        line, node = int(key.start_mark.line) + 1, value
                        break
                else:
                    return line
            elif isinstance(node, SequenceNode) and wanted.isdigit():
                if int(wanted) >= len(node.value):
                    return line
                node = node.value[int(wanted)]
                line = int(node.start_mark.line) + 1
            else:
                return line
        return line

    def problem(self, text: str, pointer: str = "") -> Problem:
        return Problem(text=text, file=self.name, line=self.line(pointer), pointer=pointer)

    def _read(self) -> Any:
        if self._text.lstrip()[:1] in ("{", "["):
            try:
                return json.loads(self._text, object_pairs_hook=self._pairs)
            except (ValueError, RecursionError):
                self.problems.clear()  # flow style YAML, or broken: the YAML parser says which
        root = self._compose()
        if self.problems:
            raise SpecError(self.problems)
        if root is None:
            return None
        return _Builder(self).build(root)

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            names = [name for name, _ in pairs]
            repeated = sorted({name for name in names if names.count(name) > 1})
            self.problems.append(
                Problem(text=f"the key {repeated[0]!r} is repeated in one object", file=self.name)
            )
        return result

    def _compose(self) -> Node | None:
        self._composed = True
        try:
            if looks_deep(self._text) and _depth(self._text) > MAX_DEPTH:
                # The composer recurses in C, where nothing would stop it.
                self.problems.append(
                    Problem(text=f"nested more than {MAX_DEPTH} levels deep", file=self.name)
                )
                return None
            loader = _Loader(self._text)
            try:
                self._root = loader.get_single_node()
            finally:
                loader.dispose()
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            reason = getattr(error, "problem", None) or str(error).splitlines()[0]
            self.problems.append(
                Problem(
                    text=f"not valid YAML: {reason}",
                    file=self.name,
                    line=mark.line + 1 if mark is not None else None,
                )
            )
        except RecursionError:
            self.problems.append(Problem(text="nested too deeply", file=self.name))
        return self._root


BRACKETS = re.compile(r"[\[\]{}]")
BLOCK_DEPTH = re.compile(r"(?:[-?:][ \t]+){100}|^[ ]{200}", re.MULTILINE)


def looks_deep(text: str) -> bool:
    """A quick guess that may be wrong towards yes."""
    depth = deepest = 0
    for found in BRACKETS.finditer(text):
        depth += 1 if found.group() in "[{" else -1
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH or BLOCK_DEPTH.search(text) is not None


def _depth(text: str) -> int:
    depth = deepest = 0
    loader = _Loader(text)
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, CollectionStartEvent):
                depth += 1
                deepest = max(deepest, depth)
                if deepest > MAX_DEPTH:
                    break
            elif isinstance(event, CollectionEndEvent):
                depth -= 1
    finally:
        loader.dispose()
    return deepest


class _Builder:
    """YAML nodes → data. A node that is aliased is built once and shared."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.done: dict[int, tuple[Any, int]] = {}
        self.open: set[int] = set()

    def build(self, root: Node) -> Any:
        return self._build(root, "", 0)[0]

    def _build(self, node: Node, pointer: str, depth: int) -> tuple[Any, int]:
        if isinstance(node, ScalarNode):
            return self._scalar(node, pointer), 1
        found = self.done.get(id(node))
        if found is not None:
            return found
        if id(node) in self.open:
            self._give_up("an alias that contains itself", pointer)
        if depth > MAX_DEPTH:
            self._give_up(f"nested more than {MAX_DEPTH} levels deep", pointer)
        self._check_tag(node, pointer)
        self.open.add(id(node))
        result: Any
        size = 1
        if isinstance(node, MappingNode):
            result = {}
            for key_node, value_node in self._flat(node, pointer):
                key = key_node.value
                if not isinstance(key, str):
                    self._report("a key must be a text", pointer)
                    continue
                at = f"{pointer}/{escape(key)}"
                if key in result:
                    line = key_node.start_mark.line + 1
                    self.document.problems.append(
                        Problem(
                            text=f"the key {key!r} is repeated",
                            file=self.document.name,
                            line=line,
                            pointer=at,
                        )
                    )
                result[key], more = self._build(value_node, at, depth + 1)
                size += more
        else:
            result = []
            for index, item in enumerate(node.value):
                value, more = self._build(item, f"{pointer}/{index}", depth + 1)
                result.append(value)
                size += more
        if size > MAX_NODES:
            self._give_up("the aliases of this file expand to too much", pointer)
        self.open.discard(id(node))
        self.done[id(node)] = (result, size)
        return result, size

    def _flat(self, node: MappingNode, pointer: str) -> list[tuple[Node, Node]]:
        """The pairs of a mapping; `<<: *anchor` is spelt out, what the mapping says itself wins."""
        pairs: list[tuple[Node, Node]] = [p for p in node.value if p[0].value != "<<"]
        if len(pairs) == len(node.value):
            return pairs
        own = {key.value for key, _ in pairs}
        for key, value in node.value:
            if key.value != "<<":
                continue
            sources = value.value if isinstance(value, SequenceNode) else [value]
            for source in sources:
                if not isinstance(source, MappingNode):
                    self._report("<< must name a mapping", pointer)
                    continue
                if id(source) in self.open:
                    self._give_up("an alias that contains itself", pointer)
                for more_key, more in self._flat(source, pointer):
                    if more_key.value not in own:
                        own.add(more_key.value)
                        pairs.append((more_key, more))
        return pairs

    def _scalar(self, node: ScalarNode, pointer: str) -> Any:
        text: str = node.value
        if node.tag not in (TEXT, "!"):
            self._check_tag(node, pointer)
        elif node.style not in (None, ""):
            return text
        return plain(text)

    def _check_tag(self, node: Node, pointer: str) -> None:
        if node.tag not in TAGS:
            self._report(f"the tag {node.tag} can't be used in an OpenAPI file", pointer)

    def _report(self, text: str, pointer: str) -> None:
        self.document.problems.append(self.document.problem(text, pointer))

    def _give_up(self, text: str, pointer: str) -> None:
        self._report(text, pointer)
        raise SpecError(self.document.problems)


def plain(text: str) -> Any:
    """The value of an unquoted YAML 1.2 scalar (core schema)."""
    first = text[:1]
    if first.isalpha() or first in ("~", ""):
        if NULL.match(text):
            return None
        if TRUE.match(text):
            return True
        if FALSE.match(text):
            return False
        return text
    if INTEGER.match(text):
        return int(text)
    if FLOAT.match(text):
        return float(text)
    if OCTAL.match(text):
        return int(text, 8)
    if HEX.match(text):
        return int(text, 16)
    if INFINITE.match(text):
        return float(text.replace(".", "", 1).replace("+", ""))
    return text


def read(path: Path, name: str | None = None) -> Document:
    """Raises SpecError when the file is missing, too large, no text or no YAML."""
    shown = name or str(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError([Problem(text="larger than 64 MiB", file=shown)])
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or "can't be read"
        raise SpecError([Problem(text=f"can't be read: {reason.lower()}", file=shown)]) from error
    except UnicodeDecodeError as error:
        raise SpecError([Problem(text="not UTF-8 text", file=shown)]) from error
    document = Document(path, shown, text)
    if document.problems:
        raise SpecError(document.problems)
    return document
