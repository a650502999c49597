"""What a field manager applied to an object, read back from the object. Pure.

An undo applies it again: the former manifest, no more and no less.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pymacaron_ci.targets.gke.workload import Manifest


def applied(body: Mapping[str, Any], manager: str) -> Manifest | None:
    """None if the manager never applied the object."""
    metadata = body.get("metadata") or {}
    for entry in metadata.get("managedFields") or []:
        if entry.get("manager") == manager and entry.get("operation") == "Apply":
            found = _part(body, entry.get("fieldsV1") or {"f:metadata": {"f:name": {}}})
            named = {k: metadata[k] for k in ("name", "namespace") if k in metadata}
            return {
                **found,
                "apiVersion": entry.get("apiVersion", body.get("apiVersion")),
                "kind": body.get("kind"),
                "metadata": {**found.get("metadata", {}), **named},
            }
    return None


def _part(value: Any, fields: Mapping[str, Any]) -> Any:
    """`f:name` is a field, `k:{…}` the item of a list with these keys, `v:…` that very item."""
    inner = {k: v for k, v in fields.items() if k != "."}
    if not inner:
        return value
    if isinstance(value, Mapping):
        return {
            key[2:]: _part(value[key[2:]], part)
            for key, part in inner.items()
            if key.startswith("f:") and key[2:] in value
        }
    if isinstance(value, list):
        return [
            _part(item, part) for key, part in inner.items() for item in value if _is(key, item)
        ]
    return value


def _is(key: str, item: Any) -> bool:
    wanted = json.loads(key[2:])
    if key.startswith("k:") and isinstance(item, Mapping):
        return all(item.get(name) == value for name, value in wanted.items())
    return bool(key.startswith("v:") and item == wanted)
