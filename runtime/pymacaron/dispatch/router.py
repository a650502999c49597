"""Method and path → operation, as Flask's router finds it; where it might find something else, a
redirect or an error, this one finds nothing and leaves the request to Flask."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from werkzeug.routing import Rule

from pymacaron.routes import TEMPLATE

if TYPE_CHECKING:
    from pymacaron.endpoint import Endpoint

# A whole segment, with the converter that takes anything.
VARIABLE = re.compile(r"<[a-zA-Z_][a-zA-Z0-9_]*>")


class Found(NamedTuple):
    """An operation, where in the path its values stand, (segment, name), and Flask's rule with the
    names it has for them."""

    endpoint: Endpoint
    places: tuple[tuple[int, str], ...]
    rule: Rule
    variables: tuple[str, ...]

    def route(self, values: Mapping[str, str]) -> tuple[Rule, dict[str, str]]:
        """What Flask knows of a request with these values."""
        return self.rule, dict(zip(self.variables, values.values(), strict=False))


@dataclass
class Node:
    """What has been read of a path so far, and how it may go on."""

    static: dict[str, Node] = field(default_factory=dict)
    dynamic: Node | None = None
    # None: no rule ends here; FLASK: Flask knows.
    end: Found | None = None
    # Rules go on from here in a way that only Flask understands.
    other: bool = False


FLASK = Found(None, (), None, ())  # type: ignore[arg-type]


class Router:
    """The rules of one method. Built like werkzeug's state machine, and searched in its order:
    static segments first, then variable ones, with a step back where that leads nowhere."""

    def __init__(self) -> None:
        self._root = Node()
        self._static: dict[str, Found] = {}

    def add(self, rule: str, found: Found) -> None:
        """`found` may be FLASK."""
        node = self._root
        for segment in rule.split("/")[1:]:
            if "<" not in segment:
                node = node.static.setdefault(segment, Node())
            elif VARIABLE.fullmatch(segment):
                node.dynamic = node = node.dynamic or Node()
            else:
                node.other = True
                return
        # Which of two rules for the same path comes first is for Flask to know.
        node.end = found if node.end is None else FLASK
        if "<" not in rule:
            self._static[rule] = node.end

    def find(self, path: str) -> tuple[Found, dict[str, str]] | None:
        """The operation, and its path's values in their order there."""
        found = self._static.get(path)
        if found is not None:
            return (found, {}) if found is not FLASK else None
        parts = path.split("/")
        if parts[0]:
            return None
        found = _search(self._root, parts, 1)
        if found is None or found is FLASK:
            return None
        return found, {name: parts[place] for place, name in found.places}


def _search(node: Node, parts: list[str], place: int) -> Found | None:
    for part in parts[place:]:
        place += 1
        child = node.static.get(part)
        if child is not None:
            if node.dynamic is None and not node.other:
                node = child
                continue
            found = _search(child, parts, place)
            if found is not None:
                return found
        if node.other:
            return FLASK
        if node.dynamic is None or not part:
            return None
        node = node.dynamic
    if node.end is not None:
        return node.end
    slash = node.static.get("")
    # Flask redirects to the path with a slash.
    return FLASK if slash is not None and slash.end is not None else None


def sample_of(path: str) -> str:
    """A path that an operation's template stands for, and hardly another one."""
    return TEMPLATE.sub("\0", path)


def routers(
    rules: Iterable[Rule], operations: Mapping[str, tuple[Endpoint, tuple[str, ...]]]
) -> dict[str, Router]:
    """A router for each method that operations have. `operations`: by the rule's endpoint, with the
    names of the values in the path."""
    made: dict[str, Router] = {e.operation.method: Router() for e, _ in operations.values()}
    for rule in rules:
        for method, router in made.items():
            if rule.methods is not None and method not in rule.methods:
                continue
            endpoint, names = operations.get(rule.endpoint, (None, ()))
            if endpoint is None or endpoint.operation.method != method:
                router.add(rule.rule, FLASK)
                if not rule.strict_slashes:
                    router.add(f"{rule.rule}/", FLASK)
                continue
            segments = rule.rule.split("/")
            places = [i for i, segment in enumerate(segments) if "<" in segment]
            variables = tuple(segments[place][1:-1] for place in places)
            named = tuple(zip(places, names, strict=False))
            router.add(rule.rule, Found(endpoint, named, rule, variables))
    return made
