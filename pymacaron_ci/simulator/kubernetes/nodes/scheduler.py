"""Gives pods to nodes that have room for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

from pymacaron_ci.simulator.kubernetes.control.recorder import Recorder
from pymacaron_ci.simulator.kubernetes.objects import (
    Json,
    at,
    condition,
    labels_of,
    quantity,
    terminating,
    timestamp,
)
from pymacaron_ci.simulator.kubernetes.resources import NODES, PODS
from pymacaron_ci.simulator.kubernetes.writing import Writer

SOURCE = "default-scheduler"
COUNTED = ("cpu", "memory")


def requested(pod: Json) -> dict[str, Decimal]:
    """What all containers of a pod ask for together."""
    found: Counter[str] = Counter()
    for container in pod["spec"]["containers"]:
        requests = at(container, "resources", "requests", default={})
        for name in COUNTED:
            if name in requests:
                found[name] += quantity(requests[name])  # type: ignore[assignment]
    return dict(found)  # type: ignore[arg-type]


class Scheduler:
    def __init__(self, writer: Writer, recorder: Recorder) -> None:
        self._writer, self._recorder = writer, recorder
        self._store = writer.store

    def reconcile(self) -> None:
        waiting = [
            pod
            for pod in self._store.list(PODS)
            if not at(pod, "spec", "nodeName") and not terminating(pod)
        ]
        for pod in sorted(waiting, key=lambda pod: pod["metadata"]["creationTimestamp"]):
            self._place(pod)

    def _place(self, pod: Json) -> None:
        nodes = self._store.list(NODES)
        why: Counter[str] = Counter()
        free: list[tuple[Decimal, str]] = []
        for node in nodes:
            problems, room = self._problems(node, pod)
            why.update(problems)
            if not problems:
                free.append((-room, node["metadata"]["name"]))
        if free:
            self._bind(pod, min(free)[1])
            return
        reasons = ", ".join(f"{count} {text}" for text, count in sorted(why.items()))
        total = len(nodes)
        text = (
            f"0/{total} nodes are available: {reasons}. preemption: 0/{total} nodes are available: "
            f"{total} No preemption victims found for incoming pod."
        )
        before = condition(pod, "PodScheduled")
        if before is None or before.get("message") != text:
            self._recorder.warning(pod, "FailedScheduling", text, SOURCE)
            self._tell(pod, "False", "Unschedulable", text)

    def _problems(self, node: Json, pod: Json) -> tuple[list[str], Decimal]:
        """Why a pod can't be on a node, and how much CPU is free there."""
        wanted = at(pod, "spec", "nodeSelector", default={})
        if not wanted.items() <= labels_of(node).items():
            return ["node(s) didn't match Pod's node affinity/selector"], Decimal(0)
        used = self._used(node["metadata"]["name"])
        needs = requested(pod)
        room: Mapping[str, Decimal] = {
            name: quantity(node["status"]["allocatable"][name]) - used.get(name, Decimal(0))
            for name in COUNTED
        }
        short = [f"Insufficient {name}" for name in COUNTED if needs.get(name, 0) > room[name]]
        return short, room["cpu"]

    def _used(self, node: str) -> Mapping[str, Decimal]:
        found: dict[str, Decimal] = {}
        for pod in self._store.list(PODS):
            ended = at(pod, "status", "phase") in ("Succeeded", "Failed")
            if at(pod, "spec", "nodeName") == node and not ended:
                for name, amount in requested(pod).items():
                    found[name] = found.get(name, Decimal(0)) + amount
        return found

    def _bind(self, pod: Json, node: str) -> None:
        metadata = pod["metadata"]

        def change(thing: Json) -> None:
            thing["spec"]["nodeName"] = node

        self._writer.change(
            PODS,
            metadata["namespace"],
            metadata["name"],
            change,
            "kube-scheduler",
            subresource="binding",
        )
        self._tell(pod, "True", "", "")
        name = f"{metadata['namespace']}/{metadata['name']}"
        text = f"Successfully assigned {name} to {node}"
        self._recorder.normal(pod, "Scheduled", text, SOURCE)

    def _tell(self, pod: Json, state: str, reason: str, text: str) -> None:
        told: Json = {"type": "PodScheduled", "status": state, "lastTransitionTime": timestamp()}
        if reason:
            told |= {"reason": reason, "message": text}

        def change(thing: Json) -> None:
            status = thing.setdefault("status", {})
            status.setdefault("phase", "Pending")
            others = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
            status["conditions"] = [*others, told]

        metadata = pod["metadata"]
        self._writer.change(
            PODS,
            metadata["namespace"],
            metadata["name"],
            change,
            "kube-scheduler",
            subresource="status",
        )


def make_nodes(writer: Writer, nodes: Sequence[Mapping[str, str]], version: str) -> None:
    """The nodes a cluster has: each its CPU and memory."""
    with writer.store.lock:
        names = [f"gke-simulated-{number}" for number in range(1, len(nodes) + 1)]
        for left in writer.store.list(NODES):
            if left["metadata"]["name"] not in names:
                writer.store.remove(NODES, "", left["metadata"]["name"])
        for name, room in zip(names, nodes, strict=True):
            resources = {"cpu": room["cpu"], "memory": room["memory"], "pods": "110"}
            extra = {k: v for k, v in room.items() if k not in COUNTED}
            status = {
                "capacity": resources,
                "allocatable": resources,
                "conditions": [_ready()],
                "nodeInfo": _info(version),
            }
            former = writer.store.get(NODES, "", name)
            if former and former["status"]["allocatable"] == resources:
                continue
            metadata = {
                "name": name,
                "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **extra},
                "creationTimestamp": timestamp(),
            }
            writer.store.put(
                NODES,
                {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "metadata": metadata,
                    "spec": {},
                    "status": status,
                },
            )


def _ready() -> Json:
    return {
        "type": "Ready",
        "status": "True",
        "lastHeartbeatTime": timestamp(),
        "lastTransitionTime": timestamp(),
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
    }


def _info(version: str) -> Json:
    names = (
        "machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "kubeProxyVersion",
    )  # fmt: skip
    return {
        **dict.fromkeys(names, ""),
        "containerRuntimeVersion": "containerd://2.1.4",
        "kubeletVersion": f"v{version}",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }
