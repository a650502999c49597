"""What fields an object may have and how its lists are merged: OpenAPI of Kubernetes."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymacaron_ci.simulator.kubernetes.objects import Json, is_quantity
from pymacaron_ci.simulator.kubernetes.resources import Resource

HERE = Path(__file__).parent
# served and generated; Kubernetes Engine's own, written by hand
FILES = ("schema.json", "crds.json")
QUANTITY = "quantity"
OPEN: Json = {"x-kubernetes-preserve-unknown-fields": True}


@functools.cache
def schemas() -> Mapping[str, Json]:
    """All definitions by their name."""
    found: dict[str, Json] = {}
    for file in FILES:
        found |= json.loads((HERE / file).read_text(encoding="utf-8"))["schemas"]
    return found


@dataclass(frozen=True)
class Node:
    """The schema of one value."""

    data: Json

    @classmethod
    def of(cls, resource: Resource) -> Node:
        return cls.named(resource.schema)

    @classmethod
    def named(cls, name: str) -> Node:
        return cls(schemas()[name])

    @classmethod
    def _resolved(cls, data: Json) -> Node:
        reference = data.get("$ref")
        return cls(schemas()[reference.rpartition("/")[2]] if reference else data)

    @property
    def fields(self) -> Mapping[str, Json]:
        found: Mapping[str, Json] = self.data.get("properties") or {}
        return found

    @property
    def type(self) -> str:
        """An OpenAPI type; "" for a value of any or of several types."""
        return str(self.data.get("type", ""))

    @property
    def is_struct(self) -> bool:
        """A closed set of fields: others are unknown."""
        return bool(self.fields) and not self.is_open

    @property
    def is_open(self) -> bool:
        return bool(self.data.get("x-kubernetes-preserve-unknown-fields"))

    @property
    def is_atomic(self) -> bool:
        """Replaced as a whole, and owned as a whole."""
        if self.type == "array":
            return bool(self.data.get("x-kubernetes-list-type", "atomic") == "atomic")
        if self.data.get("x-kubernetes-map-type") == "atomic":
            return True
        known = "additionalProperties" in self.data or self.fields or self.is_open
        return self.type == "object" and not known

    @property
    def keys(self) -> Sequence[str]:
        """The fields that tell a list's items apart; none for another list."""
        found: Sequence[str] = self.data.get("x-kubernetes-list-map-keys") or ()
        return found if self.data.get("x-kubernetes-list-type") == "map" else ()

    @property
    def is_set(self) -> bool:
        return self.data.get("x-kubernetes-list-type") == "set"

    @property
    def merge_key(self) -> str | None:
        """Of a list that a strategic merge patch merges; "" where its items are plain values."""
        if "merge" not in str(self.data.get("x-kubernetes-patch-strategy", "")):
            return None
        return str(self.data.get("x-kubernetes-patch-merge-key", ""))

    @property
    def is_quantity(self) -> bool:
        return {"type": "number"} in (self.data.get("oneOf") or ())

    @property
    def required(self) -> Sequence[str]:
        found: Sequence[str] = self.data.get("required") or ()
        return found

    @property
    def items(self) -> Node:
        return self._resolved(self.data.get("items") or OPEN)

    def child(self, name: str) -> Node:
        """The schema of a field, or of a map's values."""
        if name in self.fields:
            return self._resolved(self.fields[name])
        values = self.data.get("additionalProperties")
        return self._resolved(values if isinstance(values, dict) else OPEN)


# a list's items are told apart by fields that may be left out
KEY_DEFAULTS: Mapping[str, Any] = {"protocol": "TCP"}


def item_key(keys: Sequence[str], item: Mapping[str, Any]) -> dict[str, Any]:
    return {k: item.get(k, KEY_DEFAULTS.get(k)) for k in keys if k in item or k in KEY_DEFAULTS}


@dataclass(frozen=True)
class Misfit:
    """A value that its schema does not know: an unknown field, or a wrong type."""

    path: str
    unknown: bool
    want: str = ""
    got: str = ""


def misfits(value: Any, node: Node, path: str = "") -> Iterator[Misfit]:
    if value is None:
        return
    if not _fits(value, node):
        yield Misfit(path, False, _go_type(node), _json_type(value))
        return
    if isinstance(value, dict):
        for name, child in value.items():
            inner = f"{path}.{name}" if path else name
            if node.is_struct and name not in node.fields:
                yield Misfit(inner, True)
            else:
                yield from misfits(child, node.child(name), inner)
    elif isinstance(value, list) and node.type == "array":
        for index, item in enumerate(value):
            yield from misfits(item, node.items, f"{path}[{index}]")


def without_unknown(value: Any, node: Node) -> Any:
    """A copy that has only fields of the schema, and no nulls."""
    if isinstance(value, dict):
        return {
            name: without_unknown(child, node.child(name))
            for name, child in value.items()
            if child is not None and not (node.is_struct and name not in node.fields)
        }
    if isinstance(value, list):
        empty: Any = {} if node.items.fields else ""  # as Go reads a null in a list
        return [empty if item is None else without_unknown(item, node.items) for item in value]
    return value


def _fits(value: Any, node: Node) -> bool:
    if node.is_quantity and isinstance(value, str):
        return is_quantity(value)
    if "oneOf" in node.data:
        return any(_fits(value, Node(option)) for option in node.data["oneOf"])
    kinds: Mapping[str, tuple[type, ...]] = {
        "object": (dict,),
        "array": (list,),
        "string": (str,),
        "boolean": (bool,),
        "integer": (int,),
        "number": (int, float),
    }
    if node.type not in kinds:
        return True
    if isinstance(value, bool) and node.type != "boolean":
        return False
    return isinstance(value, kinds[node.type])


def _go_type(node: Node) -> str:
    if node.is_quantity:
        return QUANTITY
    names = {"boolean": "bool", "integer": node.data.get("format", "int64"), "array": "[]"}
    return str(names.get(node.type, node.type or "string"))


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "string"
