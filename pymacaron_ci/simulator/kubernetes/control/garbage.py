"""What goes with its owner, with its namespace; and what every namespace has."""

from __future__ import annotations

from collections.abc import Iterator

from pymacaron_ci.simulator.kubernetes.deleting import FOREGROUND, ORPHAN
from pymacaron_ci.simulator.kubernetes.objects import Json, terminating
from pymacaron_ci.simulator.kubernetes.resources import (
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    RESOURCES,
    SERVICE_ACCOUNTS,
    Resource,
)
from pymacaron_ci.simulator.kubernetes.writing import Options, Writer

INITIAL = ("default", "kube-node-lease", "kube-public", "kube-system")
OPTIONS = Options(manager="kube-controller-manager")


class Garbage:
    def __init__(self, writer: Writer) -> None:
        self._writer, self._store = writer, writer.store

    def begin(self) -> None:
        for name in INITIAL:
            if self._store.get(NAMESPACES, "", name) is None:
                self._writer.create(NAMESPACES, "", {"metadata": {"name": name}}, OPTIONS)
        self._furnish()

    def reconcile(self) -> None:
        self._collect()
        self._empty()
        self._furnish()

    def _everything(self) -> Iterator[tuple[Resource, Json]]:
        for resource in RESOURCES:
            if resource is not EVENTS:
                for thing in self._store.list(resource):
                    yield resource, thing

    def _collect(self) -> None:
        everything = list(self._everything())
        alive = {thing["metadata"]["uid"]: thing for _, thing in everything}
        waited_for: set[str] = set()
        for resource, thing in everything:
            owners = thing["metadata"].get("ownerReferences") or ()
            if not owners:
                continue
            orphaned = [o for o in owners if _ending(alive.get(o["uid"]), ORPHAN)]
            if orphaned:
                self._release(resource, thing, {o["uid"] for o in orphaned})
            elif all(o["uid"] not in alive or _ending(alive[o["uid"]], FOREGROUND) for o in owners):
                waited_for |= {o["uid"] for o in owners}
                if not terminating(thing):
                    ends = any(o["uid"] in alive for o in owners)
                    self._delete(resource, thing, "Foreground" if ends else "Background")
        for resource, thing in everything:
            if _ending(thing, ORPHAN):
                self._unblock(resource, thing, ORPHAN)
            elif _ending(thing, FOREGROUND) and thing["metadata"]["uid"] not in waited_for:
                self._unblock(resource, thing, FOREGROUND)

    def _release(self, resource: Resource, thing: Json, uids: set[str]) -> None:
        def change(found: Json) -> None:
            owners = found["metadata"].get("ownerReferences") or ()
            found["metadata"]["ownerReferences"] = [o for o in owners if o["uid"] not in uids]

        metadata = thing["metadata"]
        self._writer.change(resource, metadata.get("namespace", ""), metadata["name"], change)

    def _unblock(self, resource: Resource, thing: Json, finalizer: str) -> None:
        def change(found: Json) -> None:
            left = [f for f in found["metadata"].get("finalizers") or () if f != finalizer]
            found["metadata"]["finalizers"] = left

        metadata = thing["metadata"]
        self._writer.change(resource, metadata.get("namespace", ""), metadata["name"], change)

    def _delete(self, resource: Resource, thing: Json, policy: str) -> None:
        metadata = thing["metadata"]
        options = {"propagationPolicy": policy}
        self._writer.delete(resource, metadata.get("namespace", ""), metadata["name"], options)

    def _empty(self) -> None:
        """Terminating namespaces lose what is in them, and then end."""
        for namespace in self._store.list(NAMESPACES):
            if not terminating(namespace):
                continue
            name, left = namespace["metadata"]["name"], False
            for resource in RESOURCES:
                for thing in self._store.list(resource, name) if resource.namespaced else ():
                    left = True
                    if not terminating(thing):
                        self._delete(resource, thing, "Background")
            if not left:
                self._store.remove(NAMESPACES, "", name)

    def _furnish(self) -> None:
        for namespace in self._store.list(NAMESPACES):
            name = namespace["metadata"]["name"]
            if terminating(namespace):
                continue
            if self._store.get(SERVICE_ACCOUNTS, name, "default") is None:
                body: Json = {"metadata": {"name": "default"}}
                self._writer.create(SERVICE_ACCOUNTS, name, body, OPTIONS)
            if self._store.get(CONFIG_MAPS, name, "kube-root-ca.crt") is None:
                body = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": ""}}
                self._writer.create(CONFIG_MAPS, name, body, OPTIONS)


def _ending(thing: Json | None, finalizer: str) -> bool:
    if thing is None or not terminating(thing):
        return False
    return finalizer in (thing["metadata"].get("finalizers") or ())
