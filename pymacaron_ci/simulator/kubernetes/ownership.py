"""Who owns which field of an object (metadata.managedFields), and server-side apply.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pymacaron_ci.simulator.kubernetes.fields import (
    SERVERS_OWN,
    Fields,
    Path,
    combined,
    decoded,
    differences,
    encoded,
    field_set,
    with_parents,
    without,
    written,
)
from pymacaron_ci.simulator.kubernetes.objects import Json, at, timestamp
from pymacaron_ci.simulator.kubernetes.schema import Node
from pymacaron_ci.simulator.kubernetes.statuses import KubeError

APPLY, UPDATE = "Apply", "Update"


@dataclass(frozen=True)
class Manager:
    """Who writes: by what name, applying or updating, the object itself or a subresource."""

    name: str
    operation: str
    subresource: str = ""


@dataclass(frozen=True)
class Owned:
    """The fields of one manager."""

    fields: Fields
    version: str
    time: str


Owners = dict[Manager, Owned]


def owners(thing: Json) -> Owners:
    found: Owners = {}
    for entry in at(thing, "metadata", "managedFields", default=[]):
        manager = Manager(entry["manager"], entry["operation"], entry.get("subresource", ""))
        fields = frozenset(decoded(entry.get("fieldsV1") or {}))
        found[manager] = Owned(fields, entry["apiVersion"], entry.get("time", ""))
    return found


def _entries(found: Owners) -> list[Json]:
    entries: list[Json] = []
    for manager, owned in sorted(
        found.items(), key=lambda pair: (pair[0].operation, pair[1].time, pair[0].name)
    ):
        if not owned.fields:
            continue
        entry: Json = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": owned.version,
            "time": owned.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": encoded(owned.fields),
        }
        if manager.subresource:
            entry["subresource"] = manager.subresource
        entries.append(entry)
    return entries


def updated(former: Json, thing: Json, node: Node, name: str, subresource: str = "") -> Json:
    """An object that was created or updated, with its owners: whoever changed a field has it."""
    if at(thing, "metadata", "managedFields") == []:
        former_owners: Owners = {}  # the documented way to start anew
    else:
        former_owners = owners(former)
    changed, removed = _differences(former, thing, node)
    me = Manager(name, UPDATE, subresource)
    found: Owners = {}
    for manager, owned in former_owners.items():
        lost = removed if manager == me else removed | changed
        found[manager] = Owned(owned.fields - lost, owned.version, owned.time)
    if changed:
        mine = found.get(me, Owned(frozenset(), "", "")).fields | changed
        found[me] = Owned(mine, thing["apiVersion"], timestamp())
    return with_owners(thing, found)


def applied(
    live: Json, config: Json, node: Node, name: str, *, force: bool, subresource: str = ""
) -> Json:
    """The live object after its manager applied `config`. Raises 409 for others' fields."""
    me = Manager(name, APPLY, subresource)
    found = owners(live)
    former = found.get(me, Owned(frozenset(), "", "")).fields
    wanted = field_set(config, node)
    others = {manager: owned for manager, owned in found.items() if manager != me}
    kept = wanted.union(SERVERS_OWN, *(owned.fields for owned in others.values()))
    thing = combined(_bare(live), config, node)
    thing = without(thing, with_parents(former - kept), kept, node) or {}
    changed, removed = _differences(live, thing, node)
    conflicts = [
        (manager, owned, path)
        for manager, owned in others.items()
        for path in sorted(owned.fields & changed)
    ]
    if conflicts and not force:
        raise _conflict(conflicts)
    left: Owners = {
        manager: Owned(owned.fields - changed - removed, owned.version, owned.time)
        for manager, owned in others.items()
    }
    same = wanted == former and not changed and not removed
    time = found[me].time if same and me in found else timestamp()
    left[me] = Owned(wanted, config["apiVersion"], time)
    thing.setdefault("metadata", {})
    return with_owners(thing, left)


def with_owners(thing: Json, found: Owners) -> Json:
    metadata = {k: v for k, v in thing["metadata"].items() if k != "managedFields"}
    entries = _entries(found)
    if entries:
        metadata["managedFields"] = entries
    return {**thing, "metadata": metadata}


def _bare(thing: Json) -> Json:
    metadata = {k: v for k, v in thing.get("metadata", {}).items() if k != "managedFields"}
    return {**thing, "metadata": metadata}


def _differences(former: Json, thing: Json, node: Node) -> tuple[set[Path], set[Path]]:
    changed, removed = differences(_bare(former), _bare(thing), node)
    return changed - SERVERS_OWN, removed - SERVERS_OWN


def _conflict(conflicts: Sequence[tuple[Manager, Owned, Path]]) -> KubeError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_named(manager, owned)}",
            "field": written(path),
        }
        for manager, owned, path in conflicts
    ]
    if len(conflicts) == 1:
        text = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        by_manager: dict[str, list[str]] = {}
        for manager, owned, path in conflicts:
            by_manager.setdefault(_named(manager, owned), []).append(written(path))
        lines = [
            line
            for name, paths in sorted(by_manager.items())
            for line in (f"conflicts with {name}:", *(f"- {path}" for path in paths))
        ]
        text = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return KubeError(409, "Conflict", text, details={"causes": causes})


def _named(manager: Manager, owned: Owned) -> str:
    text = f'"{manager.name}"'
    if manager.subresource:
        text += f' with subresource "{manager.subresource}"'
    if manager.operation == UPDATE:
        text += f" using {owned.version} at {owned.time}"
    return text
