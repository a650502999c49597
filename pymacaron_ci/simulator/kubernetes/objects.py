"""What all objects of a cluster have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

Json = dict[str, Any]


def timestamp(moment: datetime | None = None) -> str:
    return (moment or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """The moment a timestamp means, whole seconds or not."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def age(text: str) -> float:
    """Seconds since a timestamp."""
    return (datetime.now(timezone.utc) - moment(text)).total_seconds()


def at(value: Any, *path: str | int, default: Any = None) -> Any:
    """A value deep inside; `default` where there is none on the way."""
    for step in path:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return default
    return default if value is None else value


def copied(value: Any) -> Any:
    """A copy of JSON, several times as fast as copy.deepcopy makes one."""
    if isinstance(value, dict):
        return {name: copied(child) for name, child in value.items()}
    return [copied(child) for child in value] if isinstance(value, list) else value


def labels_of(thing: Json) -> dict[str, str]:
    found: dict[str, str] = at(thing, "metadata", "labels", default={})
    return found


def annotations_of(thing: Json) -> dict[str, str]:
    found: dict[str, str] = at(thing, "metadata", "annotations", default={})
    return found


def controller_of(thing: Json) -> Json | None:
    """The reference to the object that manages this one."""
    for owner in at(thing, "metadata", "ownerReferences", default=[]):
        if owner.get("controller"):
            found: Json = owner
            return found
    return None


def owned_by(thing: Json, owner: Json) -> bool:
    reference = controller_of(thing)
    return reference is not None and reference["uid"] == owner["metadata"]["uid"]


def owner_reference(owner: Json) -> Json:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def condition(thing: Json, kind: str) -> Json | None:
    for found in at(thing, "status", "conditions", default=[]):
        if found["type"] == kind:
            known: Json = found
            return known
    return None


def terminating(thing: Json) -> bool:
    return "deletionTimestamp" in thing["metadata"]


_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([EPTGMk]i?|Ki|m|u|n|[eE][+-]?\d+)?")
_SUFFIXES: Mapping[str, Decimal] = {
    **{s: Decimal(1000) ** n for n, s in enumerate(("", "k", "M", "G", "T", "P", "E"))},
    **{s: Decimal(1024) ** n for n, s in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))},
    "m": Decimal("1e-3"),
    "u": Decimal("1e-6"),
    "n": Decimal("1e-9"),
}


def quantity(value: str | float) -> Decimal:
    """`500m`, `1Gi`, `2` as a number. Raises ValueError."""
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        raise ValueError(f"quantities must match the regular expression '{QUANTITY_RULE}'")
    number, suffix = match[1], match[2] or ""
    if suffix in _SUFFIXES:
        return Decimal(number) * _SUFFIXES[suffix]
    return Decimal(number + suffix)


def is_quantity(text: str) -> bool:
    return _QUANTITY.fullmatch(text) is not None


QUANTITY_RULE = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"


def find(items: Sequence[Json], name: str) -> Json | None:
    """The item of a list that is so named."""
    return next((item for item in items if item.get("name") == name), None)
