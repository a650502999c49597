"""JSON patch, JSON merge patch and Kubernetes' strategic merge patch."""

from __future__ import annotations

from typing import Any

from pymacaron_ci.simulator.kubernetes.objects import Json, copied
from pymacaron_ci.simulator.kubernetes.schema import Node
from pymacaron_ci.simulator.kubernetes.statuses import KubeError, bad_request

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
DIRECTIVE, RETAIN = "$patch", "$retainKeys"
DELETED, ORDER = "$deleteFromPrimitiveList/", "$setElementOrder/"


def merged(former: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return copied(patch)
    found = dict(former) if isinstance(former, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


def strategically_merged(former: Any, patch: Any, node: Node) -> Any:
    if not isinstance(patch, dict) or not isinstance(former, dict):
        return _undirected(patch)
    if patch.get(DIRECTIVE) == "replace":
        return _undirected({k: v for k, v in patch.items() if k != DIRECTIVE})
    if patch.get(DIRECTIVE) == "delete":
        return {}
    found = dict(former)
    if RETAIN in patch:
        found = {name: value for name, value in found.items() if name in patch[RETAIN]}
    for name, value in patch.items():
        if name in (DIRECTIVE, RETAIN) or name.startswith(ORDER):
            continue
        if name.startswith(DELETED):
            field = name.removeprefix(DELETED)
            found[field] = [item for item in found.get(field) or () if item not in value]
        elif value is None:
            found.pop(name, None)
        elif isinstance(value, list):
            found[name] = _merged_list(found.get(name) or [], value, node.child(name))
            order = patch.get(ORDER + name)
            if order:
                _put_in_order(found[name], order, node.child(name).merge_key or "")
        else:
            found[name] = strategically_merged(found.get(name, {}), value, node.child(name))
    return found


def _merged_list(former: list[Any], patch: list[Any], node: Node) -> list[Any]:
    key = node.merge_key
    replace = {DIRECTIVE: "replace"}
    if key is None or replace in patch:
        return [_undirected(item) for item in patch if item != replace]
    if not key:
        return [*former, *(item for item in patch if item not in former)]
    if not all(isinstance(item, dict) for item in patch):
        raise bad_request(f"map: {patch} does not contain declared merge key: {key}")
    found = list(former)
    for item in patch:
        where = next((n for n, old in enumerate(found) if old.get(key) == item.get(key)), None)
        if item.get(DIRECTIVE) == "delete":
            if where is not None:
                del found[where]
        elif where is None:
            found.append(_undirected(item))
        else:
            found[where] = strategically_merged(found[where], item, node.items)
    return found


def _put_in_order(items: list[Any], order: list[Any], key: str) -> None:
    def place(item: Any) -> int:
        wanted = {key: item.get(key)} if key else item
        return order.index(wanted) if wanted in order else len(order)

    items.sort(key=place)


def _undirected(value: Any) -> Any:
    """A patch as a value of its own: without directives and nulls."""
    if isinstance(value, dict):
        return {
            name: _undirected(child)
            for name, child in value.items()
            if not name.startswith("$") and child is not None
        }
    if isinstance(value, list):
        return [
            _undirected(item)
            for item in value
            if not (isinstance(item, dict) and item.get(DIRECTIVE))
        ]
    return value


def json_patched(former: Json, operations: Any) -> Json:
    """RFC 6902. Raises 400 for what is no patch, 422 for one that does not fit."""
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    found: Any = copied(former)
    for operation in operations:
        try:
            found = _operated(found, operation)
        except (LookupError, AttributeError, TypeError, ValueError) as error:
            path = operation.get("path") if isinstance(operation, dict) else operation
            text = f"the server rejected our request due to an error in our request: {path}"
            raise KubeError(422, "Invalid", text, details={}) from error
    result: Json = found
    return result


def _operated(found: Any, operation: Json) -> Any:
    verb, path = operation["op"], _pointer(operation["path"])
    if verb == "test":
        if _value(found, path) != operation.get("value"):
            raise ValueError("testing failed")
        return found
    if verb in ("move", "copy"):
        value = copied(_value(found, _pointer(operation["from"])))
        if verb == "move":
            found = _operated(found, {"op": "remove", "path": operation["from"]})
        return _operated(found, {"op": "add", "path": operation["path"], "value": value})
    if not path:
        return copied(operation["value"])
    parent, last = _value(found, path[:-1]), path[-1]
    if isinstance(parent, list):
        index = len(parent) if last == "-" else int(last)
        if verb == "add":
            parent.insert(index, copied(operation["value"]))
        elif verb == "remove":
            del parent[index]
        else:
            parent[index] = copied(operation["value"])
    elif verb == "remove":
        del parent[last]
    elif verb == "replace" and last not in parent:
        raise KeyError(last)
    elif verb in ("add", "replace"):
        parent[last] = copied(operation["value"])
    else:
        raise ValueError(verb)
    return found


def _pointer(text: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _value(found: Any, path: list[str]) -> Any:
    for step in path:
        found = found[int(step)] if isinstance(found, list) else found[step]
    return found
