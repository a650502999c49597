"""Sets of an object's fields, as managedFields write them (FieldsV1), and what differs between two.

A field is the path to it: `f:name`, for a list's item `k:{"name":"x"}` or, in a set, `v:"x"`.
https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pymacaron_ci.simulator.kubernetes.objects import Json, copied
from pymacaron_ci.simulator.kubernetes.schema import Node, item_key

Path = tuple[str, ...]
Fields = frozenset[Path]
# nobody owns these: the server writes them
SERVERS_OWN = frozenset(
    ("f:metadata", f"f:{name}")
    for name in (
        "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
        "managedFields", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds",
    )
) | {("f:apiVersion",), ("f:kind",), ("f:metadata",)}  # fmt: skip


def encoded(fields: Iterable[Path]) -> Json:
    """FieldsV1: `.` marks a field that is a member itself and has members below."""
    tree: Json = {}
    for path in sorted(fields):
        place = tree
        for step in path:
            place = place.setdefault(step, {})
        place["."] = {}
    return _without_lonely_dots(tree)


def _without_lonely_dots(tree: Json) -> Json:
    return {
        step: {} if below.keys() <= {"."} else _without_lonely_dots(below)
        for step, below in tree.items()
    }


def decoded(tree: Json, base: Path = ()) -> Iterator[Path]:
    for step, below in tree.items():
        if step == ".":
            yield base
        elif below:
            yield from decoded(below, (*base, step))
        else:
            yield (*base, step)


def _canonical(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def steps(value: Any, node: Node) -> Iterator[tuple[str, Any, Node]]:
    """The members of a value that is not atomic: how a path names each, and its schema."""
    if isinstance(value, dict):
        for name, child in value.items():
            yield f"f:{name}", child, node.child(name)
    elif node.keys:
        for item in value:
            yield f"k:{_canonical(item_key(node.keys, item))}", item, node.items
    else:
        for item in value:
            yield f"v:{_canonical(item)}", item, node.items


def _is_leaf(value: Any, node: Node) -> bool:
    return not isinstance(value, dict | list) or not value or node.is_atomic


def field_set(value: Json, node: Node) -> Fields:
    """All fields that a value sets, for its owner."""
    return frozenset(_members(value, node, ())) - SERVERS_OWN


def _members(value: Any, node: Node, base: Path) -> Iterator[Path]:
    if _is_leaf(value, node):
        yield base
        return
    for step, child, inner in steps(value, node):
        path = (*base, step)
        if step[0] in "kv":
            yield path
        yield from _members(child, inner, path)


def differences(old: Any, new: Any, node: Node, base: Path = ()) -> tuple[set[Path], set[Path]]:
    """The fields that were added or changed, and those that were removed."""
    if old == new:
        return set(), set()
    if _is_leaf(new, node) or _is_leaf(old, node) or type(old) is not type(new):
        changed, removed = set(_members(new, node, base)), set(_members(old, node, base))
        return changed, removed - changed
    before = {step: (child, inner) for step, child, inner in steps(old, node)}
    after = {step: (child, inner) for step, child, inner in steps(new, node)}
    changed, removed = set(), set()
    for step, (child, inner) in after.items():
        path = (*base, step)
        if step in before:
            more, less = differences(before[step][0], child, inner, path)
            changed |= more
            removed |= less
        else:
            changed |= set(_members(child, inner, path)) | ({path} if step[0] in "kv" else set())
    for step, (child, inner) in before.items():
        if step not in after:
            path = (*base, step)
            removed |= {path, *_members(child, inner, path)}
    return changed, removed


def combined(live: Any, applied: Any, node: Node) -> Any:
    """What is applied, on top of what is there: merged where the schema says so."""
    if _is_leaf(applied, node) or not isinstance(live, dict | list) or node.is_atomic:
        if isinstance(applied, list) and not applied and not node.is_atomic and live:
            return live
        if isinstance(applied, dict) and not applied and isinstance(live, dict):
            return live if not node.is_atomic else applied
        return copied(applied)
    if isinstance(applied, dict):
        found = dict(live) if isinstance(live, dict) else {}
        for name, value in applied.items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = combined(found.get(name), value, node.child(name))
        return found
    before = [(step, item) for step, item, _ in steps(live, node)]
    wanted = {step: item for step, item, _ in steps(applied, node)}
    kept = [
        combined(item, wanted.pop(step), node.items) if step in wanted else item
        for step, item in before
    ]
    return kept + [copied(item) for item in wanted.values()]


def with_parents(fields: Fields) -> Fields:
    """Also the named fields that these lie in: with the last of them they go, defaults and all."""
    return fields | {
        path[:length]
        for path in fields
        for length in range(1, len(path))
        if path[length - 1][0] == "f"
    }


def without(value: Any, gone: Fields, kept: Fields, node: Node, base: Path = ()) -> Any:
    """A value without the fields that are `gone`; what somebody else has below one is `kept`.

    None where nothing is left of it.
    """
    if _is_leaf(value, node):
        return None if base in gone else value
    left: list[tuple[str, Any]] = []
    for step, child, inner in steps(value, node):
        path = (*base, step)
        if path in gone and not any(owned[: len(path)] == path for owned in kept):
            continue
        below = any(field[: len(path)] == path for field in gone)
        rest = without(child, gone, kept, inner, path) if below else child
        if rest is not None:
            left.append((step, rest))
    if not left and base not in kept and base:
        return None
    if isinstance(value, dict):
        return {step[2:]: child for step, child in left}
    return [child for _, child in left]


def written(path: Path) -> str:
    """As messages write a path: `.spec.containers[name="x"].image`."""
    text = ""
    for step in path:
        kind, rest = step[0], step[2:]
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            pairs = (f"{k}={json.dumps(v)}" for k, v in json.loads(rest).items())
            text += f"[{','.join(pairs)}]"
        else:
            text += f"[={rest}]"
    return text
