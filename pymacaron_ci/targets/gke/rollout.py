"""How far a rollout is, by kubectl's rules, and which pods will never start. Pure.

https://github.com/kubernetes/kubectl/blob/master/pkg/polymorphichelpers/rollout_status.go
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Progress:
    """Where a rollout stands. `given_up`: since when Kubernetes expects nothing of it, or, while
    the change is not `observed`, of what was there before."""

    done: bool
    text: str
    given_up: str = ""
    observed: bool = True


@dataclass(frozen=True)
class Trouble:
    """A state that a pod hardly gets out of. `patience`: seconds in which it sometimes does."""

    about: str
    text: str
    hint: str | None
    patience: float = 0


def progress(deployment: Body) -> Progress:
    metadata, spec, status = (deployment.get(k) or {} for k in ("metadata", "spec", "status"))
    given_up = _given_up(status)
    if metadata.get("generation", 0) > status.get("observedGeneration", 0):
        text = "waiting for the change to be observed"
        return Progress(done=False, text=text, given_up=given_up, observed=False)
    if given_up:
        text = "the rollout made no progress in time"
        return Progress(done=False, text=text, given_up=given_up)
    wanted = spec.get("replicas", 1)
    updated = status.get("updatedReplicas", 0)
    existing = status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    if updated < wanted:
        return Progress(done=False, text=f"{updated} of {wanted} new pods exist")
    if existing > updated:
        return Progress(done=False, text=f"old pods that are still ending: {existing - updated}")
    if available < updated:
        return Progress(done=False, text=f"{available} of {updated} new pods are available")
    return Progress(done=True, text=f"{updated} of {wanted} pods are available")


def _given_up(status: Body) -> str:
    for condition in status.get("conditions") or []:
        if condition.get("reason") == "ProgressDeadlineExceeded":
            return str(condition.get("lastUpdateTime") or "once")
    return ""


def troubles(deployment: Body, pods: Sequence[Body], events: Sequence[Body]) -> list[Trouble]:
    """What keeps a rollout from ending, the most telling first."""
    found = [t for pod in pods if not _ends(pod) for t in _of_pod(pod, events)]
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            text = str(condition.get("message") or condition.get("reason"))
            found.append(Trouble("deployment", f"pods can't be created: {text}", _QUOTA, 20))
    return sorted(found, key=lambda t: t.patience)


def _ends(pod: Body) -> bool:
    return bool((pod.get("metadata") or {}).get("deletionTimestamp"))


def _of_pod(pod: Body, events: Sequence[Body]) -> list[Trouble]:
    name = str((pod.get("metadata") or {}).get("name"))
    status = pod.get("status") or {}
    found: list[Trouble] = []
    for condition in status.get("conditions") or []:
        if condition.get("reason") == "Unschedulable" and condition.get("status") == "False":
            found.append(_unschedulable(name, str(condition.get("message", "")), events))
    containers = [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]
    for container in containers:
        found += _of_container(name, container, _failed_probe(name, events))
    return found


def _failed_probe(pod: str, events: Sequence[Body]) -> str:
    """What the probe said for which the kubelet restarts a container; empty if that ends by
    itself."""
    own = [e for e in events if (e.get("involvedObject") or {}).get("name") == pod]
    if not any("probe, will be restarted" in str(e.get("message")) for e in own):
        return ""
    told = [str(e.get("message")) for e in own if e.get("reason") == "Unhealthy"]
    return next((t for t in reversed(told) if not t.startswith("Readiness")), "")


def _of_container(pod: str, container: Body, probe: str) -> list[Trouble]:
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    told = f"{pod}: {reason}" + (f": {message}" if message else "")
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"):
        certain = any(sign in message.lower() for sign in _NO_SUCH_IMAGE)
        patience = 0 if certain or reason in ("InvalidImageName", "ErrImageNeverPull") else 60
        return [Trouble(pod, told, _IMAGE, patience)]
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return [Trouble(pod, told, _CONFIG, 15)]
    ended = (container.get("lastState") or {}).get("terminated") or (
        container.get("state") or {}
    ).get("terminated")
    restarts = container.get("restartCount", 0)
    if ended and (reason == "CrashLoopBackOff" or restarts):
        how = str(ended.get("reason") or "Error")
        code = ended.get("exitCode")
        memory = how == "OOMKilled"
        text = f"{pod}: the container ended ({how}, exit code {code}), {restarts} restarts"
        hint = _MEMORY if memory else _CRASH
        if probe and not memory:
            text, hint = f"{pod}: {probe} ({restarts} restarts)", NEVER_READY
        # once may be a database that was not there yet
        return [Trouble(pod, text, hint, 0 if memory or restarts >= CRASHES else 90)]
    return []


def _unschedulable(pod: str, message: str, events: Sequence[Body]) -> Trouble:
    """The cluster's autoscaler says whether a node for it will come."""
    reasons = {
        str(e.get("reason")) for e in events if (e.get("involvedObject") or {}).get("name") == pod
    }
    text = f"{pod}: no node has room for it: {message}"
    patience: float = 60
    if "TriggeredScaleUp" in reasons:
        patience = 600
    return Trouble(pod, text, _NODES, patience)


CRASHES = 2
_NO_SUCH_IMAGE = (
    "not found", "manifest unknown", "no such image", "does not exist", "unauthorized", "denied",
    "forbidden", "no match for platform",
)  # fmt: skip
_IMAGE = (
    "can the nodes read the image's repository (roles/artifactregistry.reader for their service "
    "account), and is the image for their platform?"
)
_CONFIG = "the Secret that the pod needs is gone or lacks a key: run it again"
_CRASH = "the container ends by itself: its last log lines tell why"
NEVER_READY = (
    "the container must listen on the port that PORT names, and answer /ping and /ready there"
)
_MEMORY = "the container needs more memory than it has: raise gcp_memory, or lower cpu_count"
_NODES = "add nodes, choose smaller cpu_count or gcp_memory, or look at gke_node_selector"
_QUOTA = "the namespace's quota or a policy forbids the pods: the message tells which"
