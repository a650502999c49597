"""Judges what a client sent against the schema, in the words of an API server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pymacaron_ci.simulator.kubernetes.fields import steps
from pymacaron_ci.simulator.kubernetes.objects import QUANTITY_RULE, Json
from pymacaron_ci.simulator.kubernetes.resources import Resource
from pymacaron_ci.simulator.kubernetes.schema import (
    QUANTITY,
    Misfit,
    Node,
    misfits,
    without_unknown,
)
from pymacaron_ci.simulator.kubernetes.statuses import (
    Fault,
    KubeError,
    bad_request,
    invalid,
    invalid_value,
    required,
    unsupported,
)

STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"


def checked(resource: Resource, thing: Json, validation: str) -> tuple[Json, list[str]]:
    """The object without unknown fields, and warnings about them. Raises 400."""
    found = list(misfits(thing, Node.of(resource)))
    wrong = next((misfit for misfit in found if not misfit.unknown), None)
    if wrong is not None:
        raise _wrong_type(resource, thing, wrong)
    unknown = [f'unknown field "{misfit.path}"' for misfit in found]
    if unknown and validation == STRICT:
        raise bad_request(f"{_handled(resource)}: strict decoding error: {', '.join(unknown)}")
    return without_unknown(thing, Node.of(resource)), unknown if validation == WARN else []


def _handled(resource: Resource) -> str:
    kind = resource.kind
    return f'{kind} in version "{resource.version}" cannot be handled as a {kind}'


def _wrong_type(resource: Resource, thing: Json, misfit: Misfit) -> KubeError:
    if misfit.want == QUANTITY:
        rule = f"quantities must match the regular expression '{QUANTITY_RULE}'"
        return bad_request(f"{_handled(resource)}: {rule}")
    path = re.sub(r"\[\d+\]", "", misfit.path)
    if resource.custom:
        name = str(thing.get("metadata", {}).get("name", ""))
        text = f"{misfit.path} in body must be of type {misfit.want}: {misfit.got!r}"
        return invalid(resource, name, [invalid_value(misfit.path, misfit.got, text)])
    owner = path.rpartition(".")[0].rpartition(".")[2] or resource.kind
    return bad_request(
        f"{_handled(resource)}: json: cannot unmarshal {misfit.got} into Go struct field "
        f"{owner[:1].upper()}{owner[1:]}.{path} of type {misfit.want}"
    )


def check_applied(resource: Resource, thing: Json) -> None:
    """What server-side apply can't read is answered in words of its own."""
    node = Node.of(resource)
    problem = next(_untypable(thing, node, ""), None)
    if problem is None:
        return
    metadata = thing.get("metadata", {})
    name = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
    where = f"{name}; {resource.api_version}, Kind={resource.kind}"
    raise KubeError(500, "", f"failed to create typed patch object ({where}): {problem}")


def _untypable(value: Any, node: Node, path: str) -> Iterator[str]:
    if value is None:
        return
    misfit = next(
        misfits(value if not isinstance(value, dict | list) else type(value)(), node), None
    )
    if misfit is not None:
        yield f"{path}: expected {_wanted(misfit.want)}, got {value!r}"
    elif isinstance(value, dict):
        for name, child in value.items():
            if node.is_struct and name not in node.fields:
                yield f"{path}.{name}: field not declared in schema"
            else:
                yield from _untypable(child, node.child(name), f"{path}.{name}")
    elif isinstance(value, list):
        yield from _untypable_list(value, node, path)


def _untypable_list(value: list[Any], node: Node, path: str) -> Iterator[str]:
    for index, item in enumerate(value):
        if node.keys and not isinstance(item, dict):
            text = "associative list with keys may not have non-map elements"
            yield f"{path}: element {index}: {text}"
            return
        missing = [k for k in node.keys if k not in item]
        missing = [k for k in missing if k != "protocol"]  # has a default
        if missing:
            yield (
                f"{path}: element {index}: associative list with keys has an element that omits "
                f'key field "{missing[0]}" (and doesn\'t have default value)'
            )
            return
    if not node.keys and not node.is_set:
        for index, item in enumerate(value):
            yield from _untypable(item, node.items, f"{path}[{index}]")
        return
    seen = set()
    for step, item, inner in steps(value, node):
        from pymacaron_ci.simulator.kubernetes.fields import written

        place = written((step,))
        if step in seen:
            yield f"{path}: duplicate entries for key {place}"
        seen.add(step)
        yield from _untypable(item, inner, path + place)


def _wanted(kind: str) -> str:
    numbers = ("int32", "int64", "number")
    return "numeric (int or float)" if kind in numbers else {"object": "map"}.get(kind, kind)


def custom_faults(value: Any, node: Node, path: str = "") -> Iterator[Fault]:
    """What a CustomResourceDefinition's own schema demands of values."""
    if isinstance(value, dict):
        for name in node.required:
            if name not in value:
                yield required(f"{path}.{name}" if path else name)
        for name, child in value.items():
            yield from custom_faults(child, node.child(name), f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from custom_faults(item, node.items, f"{path}[{index}]")
    elif isinstance(value, str):
        pattern, longest = node.data.get("pattern"), node.data.get("maxLength")
        if "enum" in node.data and value not in node.data["enum"]:
            yield unsupported(path, value, node.data["enum"])
        if longest is not None and len(value) > longest:
            yield Fault(
                "FieldValueTooLong", path, f"Too long: may not be more than {longest} bytes"
            )
        if pattern and not re.search(pattern, value):
            yield invalid_value(path, value, f"{path} in body should match '{pattern}'")
