"""A deployment's conditions: does it progress, is enough of it available, did pods fail."""

from __future__ import annotations

from pymacaron_ci.simulator.kubernetes.control import rolling
from pymacaron_ci.simulator.kubernetes.objects import Json, age, at, condition, timestamp

COMPLETE, LATE = "NewReplicaSetAvailable", "ProgressDeadlineExceeded"
# what shows that a rollout moves
GROWING = ("updatedReplicas", "readyReplicas", "availableReplicas")


def conditions(deployment: Json, status: Json, new: Json | None, created: bool) -> list[Json]:
    """`status` has the numbers as they are now, the deployment's own those of before."""
    found = [_progressing(deployment, status, new, created), _available(deployment, status)]
    failure = condition(new, "ReplicaFailure") if new else None
    if failure:
        found.append(
            _changed(deployment, "ReplicaFailure", "True", failure["reason"], failure["message"])
        )
    order = {"Available": 0, "Progressing": 1, "ReplicaFailure": 2}
    return sorted((c for c in found if c), key=lambda c: order[c["type"]])


def _available(deployment: Json, status: Json) -> Json:
    count, _, unavailable = rolling.bounds(deployment)
    if status.get("availableReplicas", 0) >= count - unavailable:
        return _changed(
            deployment,
            "Available",
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    return _changed(
        deployment,
        "Available",
        "False",
        "MinimumReplicasUnavailable",
        "Deployment does not have minimum availability.",
    )


def _progressing(deployment: Json, status: Json, new: Json | None, created: bool) -> Json | None:
    before = condition(deployment, "Progressing")
    spec, former = deployment["spec"], deployment.get("status") or {}
    if spec.get("paused"):
        return _changed(
            deployment, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused"
        )
    if new is None:
        return before
    name = f'ReplicaSet "{new["metadata"]["name"]}"'
    if created:
        text = f'Created new replica set "{new["metadata"]["name"]}"'
        return _changed(deployment, "Progressing", "True", "NewReplicaSetCreated", text, touch=True)
    if before is None or before["reason"] == "DeploymentPaused":
        text = f'Found new replica set "{new["metadata"]["name"]}"'
        return _changed(deployment, "Progressing", "True", "FoundNewReplicaSet", text, touch=True)
    total, updated = status.get("replicas", 0), status.get("updatedReplicas", 0)
    if before["reason"] == COMPLETE and total == updated:
        return before  # pods that fail later are no rollout
    if _complete(spec, status):
        text = f"{name} has successfully progressed."
        return _changed(deployment, "Progressing", "True", COMPLETE, text, touch=True)
    gone = former.get("replicas", 0) - former.get("updatedReplicas", 0) > total - updated
    grown = any(status.get(field, 0) > former.get(field, 0) for field in GROWING)
    if gone or grown:
        text = f"{name} is progressing."
        return _changed(deployment, "Progressing", "True", "ReplicaSetUpdated", text, touch=True)
    if before["reason"] not in (COMPLETE, LATE):
        deadline = at(spec, "progressDeadlineSeconds", default=600)
        if age(before["lastUpdateTime"]) > deadline:
            text = f"{name} has timed out progressing."
            return _changed(deployment, "Progressing", "False", LATE, text)
    return before


def _complete(spec: Json, status: Json) -> bool:
    numbers = ("updatedReplicas", "replicas", "availableReplicas")
    return all(status.get(name, 0) == spec.get("replicas", 1) for name in numbers)


def _changed(
    deployment: Json, kind: str, status: str, reason: str, message: str, *, touch: bool = False
) -> Json:
    """The condition as it was where nothing differs; its transition is when its status changed."""
    before, now = condition(deployment, kind), timestamp()
    same = before is not None and (before["status"], before["reason"]) == (status, reason)
    if before and same and before["message"] == message and not touch:
        return before
    kept = before is not None and before["status"] == status
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": now,
        "lastTransitionTime": before["lastTransitionTime"] if before and kept else now,
        "reason": reason,
        "message": message,
    }
