"""How many pods each ReplicaSet of a deployment may have now: maxSurge and maxUnavailable."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pymacaron_ci.simulator.kubernetes.objects import Json, annotations_of, at

REVISION = "deployment.kubernetes.io/revision"


def replicas(thing: Json) -> int:
    return int(at(thing, "spec", "replicas", default=1))


def _available(replica_set: Json) -> int:
    return int(at(replica_set, "status", "availableReplicas", default=0))


def bounds(deployment: Json) -> tuple[int, int, int]:
    """How many pods it wants, how many more there may be, how many of them may be missing."""
    count = replicas(deployment)
    found = at(deployment, "spec", "strategy", "rollingUpdate", default={})
    if at(deployment, "spec", "strategy", "type") == "Recreate":
        return count, 0, count
    surge = _resolved(found.get("maxSurge", "25%"), count, up=True)
    unavailable = _resolved(found.get("maxUnavailable", "25%"), count, up=False)
    if not surge and not unavailable:
        unavailable = 1  # as the controller: a rollout must be able to move
    return count, surge, min(unavailable, count)


def _resolved(value: int | str, count: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    share = int(value.rstrip("%")) * count / 100
    return math.ceil(share) if up else math.floor(share)


def new_size(deployment: Json, new: Json | None, olds: Sequence[Json]) -> int:
    """What the new ReplicaSet grows to, or shrinks to where the deployment was scaled."""
    count, surge, _ = bounds(deployment)
    has = replicas(new) if new else 0
    if at(deployment, "spec", "strategy", "type") == "Recreate":
        return has if any(map(replicas, olds)) else count
    if has >= count:
        return count
    total = has + sum(map(replicas, olds))
    return has + max(0, min(count + surge - total, count - has))


def old_sizes(deployment: Json, new: Json, olds: Sequence[Json]) -> list[int]:
    """What the former ReplicaSets shrink to: first what doesn't work, then as much as may miss."""
    count, _, unavailable = bounds(deployment)
    sizes = [replicas(rs) for rs in olds]
    least = count - unavailable
    spare = (
        sum(sizes) + replicas(new) - least - (replicas(new) - min(replicas(new), _available(new)))
    )
    if spare <= 0:
        return sizes
    cleaned = 0
    for index, replica_set in enumerate(olds):
        lame = max(0, sizes[index] - _available(replica_set))
        taken = min(spare - cleaned, lame)
        sizes[index] -= taken
        cleaned += taken
    surplus = _available(new) + sum(map(_available, olds)) - least
    for index, replica_set in enumerate(olds):
        healthy = min(sizes[index], _available(replica_set))
        taken = max(0, min(healthy, surplus))
        sizes[index] -= taken
        surplus -= taken
    return sizes


def paused_sizes(deployment: Json, sets: Sequence[Json]) -> list[int]:
    """A paused deployment is only scaled: its newest ReplicaSet that has pods."""
    sizes = [replicas(rs) for rs in sets]
    alive = [index for index, size in enumerate(sizes) if size]
    newest = max(
        range(len(sets)), key=lambda n: annotations_of(sets[n]).get(REVISION, ""), default=None
    )
    if newest is not None and alive in ([], [newest]):
        sizes[newest] = replicas(deployment)
    return sizes
