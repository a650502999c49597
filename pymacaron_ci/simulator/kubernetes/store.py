"""The objects of one cluster, one file each, and what changed lately, for those who watch."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pymacaron_ci.simulator.files import read_json, write_json
from pymacaron_ci.simulator.kubernetes.objects import Json
from pymacaron_ci.simulator.kubernetes.resources import RESOURCES, Resource
from pymacaron_ci.simulator.kubernetes.statuses import expired

CHANGES_KEPT = 2000
# versions a restarted server leaves out, so that none that a client may have seen comes twice
LEAP = 1000


@dataclass(frozen=True)
class Change:
    """`former` is None for an object that was added, `thing` for one that was deleted is its last
    state.
    """

    version: int
    kind: str
    resource: Resource
    thing: Json
    former: Json | None


class Store:
    """Objects that were handed over are never changed: whoever changes one changes a copy.

    `lock` is held while something is read to be changed; `changed` is notified of each change.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.closed = False
        self._objects: dict[Resource, dict[tuple[str, str], Json]] = {r: {} for r in RESOURCES}
        for resource in RESOURCES:
            for file in sorted((folder / resource.qualified).glob("*/*.json")):
                thing = read_json(file)
                if thing is not None:
                    self._objects[resource][_key(thing)] = thing
        versions = [int(t["metadata"]["resourceVersion"]) for t in self._all()]
        self.version = max(versions, default=0) + LEAP
        self._changes: deque[Change] = deque(maxlen=CHANGES_KEPT)

    def _all(self) -> Iterator[Json]:
        for objects in self._objects.values():
            yield from objects.values()

    def get(self, resource: Resource, namespace: str, name: str) -> Json | None:
        with self.lock:
            return self._objects[resource].get((namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Json]:
        """In the order of their names; those of all namespaces without one."""
        with self.lock:
            found = [
                (key, thing)
                for key, thing in self._objects[resource].items()
                if namespace in ("", key[0])
            ]
        return [thing for _, thing in sorted(found, key=lambda pair: pair[0])]

    def put(self, resource: Resource, thing: Json) -> Json:
        """Keeps an object, under a new resourceVersion."""
        with self.lock:
            self.version += 1
            metadata = thing["metadata"] = {**thing["metadata"]}
            metadata["resourceVersion"] = str(self.version)
            metadata.setdefault("uid", str(uuid.uuid4()))
            key = _key(thing)
            former = self._objects[resource].get(key)
            self._objects[resource][key] = thing
            write_json(self._file(resource, key), thing)
            self._tell("ADDED" if former is None else "MODIFIED", resource, thing, former)
            return thing

    def remove(self, resource: Resource, namespace: str, name: str) -> Json | None:
        with self.lock:
            former = self._objects[resource].pop((namespace, name), None)
            if former is None:
                return None
            self.version += 1
            self._file(resource, (namespace, name)).unlink(missing_ok=True)
            metadata = {**former["metadata"], "resourceVersion": str(self.version)}
            gone = {**former, "metadata": metadata}
            self._tell("DELETED", resource, gone, former)
            return gone

    def _tell(self, kind: str, resource: Resource, thing: Json, former: Json | None) -> None:
        self._changes.append(Change(self.version, kind, resource, thing, former))
        self.changed.notify_all()

    def since(self, version: int) -> Sequence[Change]:
        """What changed after `version`. Raises 410 where that isn't known any more."""
        with self.lock:
            oldest = self._changes[0].version if self._changes else self.version + 1
            if version < oldest - 1:
                raise expired(version, oldest)
            found = []
            for change in reversed(self._changes):
                if change.version <= version:
                    break
                found.append(change)
            return found[::-1]

    def forget_changes(self) -> None:
        """As a server compacts its history: watches of older versions get 410. For tests."""
        with self.lock:
            self.version += 1
            self._changes.clear()

    def close(self) -> None:
        with self.lock:
            self.closed = True
            self.changed.notify_all()

    def _file(self, resource: Resource, key: tuple[str, str]) -> Path:
        return self._folder / resource.qualified / (key[0] or "_") / f"{key[1]}.json"


def _key(thing: Json) -> tuple[str, str]:
    return thing["metadata"].get("namespace", ""), thing["metadata"]["name"]
