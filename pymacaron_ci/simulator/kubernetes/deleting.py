"""Deletion: at once, or marked until somebody has ended the object."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from pymacaron_ci.simulator.kubernetes.objects import Json, at, timestamp
from pymacaron_ci.simulator.kubernetes.resources import NAMESPACES, PODS, Resource
from pymacaron_ci.simulator.kubernetes.statuses import stale
from pymacaron_ci.simulator.kubernetes.store import Store

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
FINALIZERS = {"Foreground": FOREGROUND, "Orphan": ORPHAN}


def delete(store: Store, resource: Resource, former: Json, options: Json) -> Json:
    """Gives the object, where it still has to end, else a Status. The store's lock is held."""
    _check_preconditions(resource, former, options.get("preconditions") or {})
    metadata = former["metadata"]
    details = {"name": metadata["name"], "kind": resource.plural, "uid": metadata["uid"]}
    if resource.group:
        details["group"] = resource.group
    done: Json = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }
    grace = _grace(resource, former, options)
    if options.get("dryRun"):
        return former if grace else done
    finalizers = set(metadata.get("finalizers") or ())
    policy = options.get("propagationPolicy")
    if policy in FINALIZERS:
        finalizers.add(FINALIZERS[policy])
    if resource is NAMESPACES or finalizers or grace:
        return _marked(store, resource, former, grace, sorted(finalizers))
    store.remove(resource, metadata.get("namespace", ""), metadata["name"])
    return done


def _marked(
    store: Store, resource: Resource, former: Json, grace: int, finalizers: list[str]
) -> Json:
    metadata = {**former["metadata"]}
    if finalizers:
        metadata["finalizers"] = finalizers
    end = datetime.now(timezone.utc) + timedelta(seconds=grace)
    earlier = metadata.get("deletionTimestamp")
    if earlier is None or (grace < metadata.get("deletionGracePeriodSeconds", 0)):
        metadata["deletionTimestamp"] = timestamp(end)
        metadata["deletionGracePeriodSeconds"] = grace
        if "generation" in metadata:
            metadata["generation"] += 1
    thing = {**former, "metadata": metadata}
    if resource is NAMESPACES:
        thing["status"] = {**(former.get("status") or {}), "phase": "Terminating"}
    return former if thing == former else store.put(resource, thing)


def _grace(resource: Resource, former: Json, options: Json) -> int:
    if resource is not PODS or not at(former, "spec", "nodeName"):
        return 0
    own = at(former, "spec", "terminationGracePeriodSeconds", default=30)
    wanted = options.get("gracePeriodSeconds")
    return int(own if wanted is None else wanted)


def _check_preconditions(resource: Resource, former: Json, wanted: Json) -> None:
    for name, kind in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        has = former["metadata"][name]
        if wanted.get(name) not in (None, has):
            why = (
                f"Precondition failed: {kind} in precondition: {wanted[name]}, {kind} in "
                f"object meta: {has}"
            )
            raise stale(resource, former["metadata"]["name"], why)
