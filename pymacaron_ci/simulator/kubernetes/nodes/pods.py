"""One pod on its node, from its start to its end: a thread of its own."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from pymacaron_ci.simulator.kubernetes.control.recorder import Recorder
from pymacaron_ci.simulator.kubernetes.nodes.containers import Container, Patience
from pymacaron_ci.simulator.kubernetes.nodes.hooks import before_stop
from pymacaron_ci.simulator.kubernetes.nodes.starting import Starter
from pymacaron_ci.simulator.kubernetes.objects import (
    Json,
    at,
    condition,
    terminating,
    timestamp,
)
from pymacaron_ci.simulator.kubernetes.resources import PODS
from pymacaron_ci.simulator.kubernetes.writing import Writer

SOURCE = "kubelet"
HOST = "10.128.0.2"


@dataclass(frozen=True, kw_only=True)
class Node:
    """What pods run with. `closing`: the simulator ends, pods stay as they are."""

    writer: Writer
    recorder: Recorder
    starter: Starter
    patience: Patience
    closing: threading.Event


def address(pod: Json) -> str:
    number = int(pod["metadata"]["uid"][:8], 16)
    return f"10.{number >> 16 & 127}.{number >> 8 & 255}.{number % 254 + 1}"


class PodWorker(threading.Thread):
    """Ends when its pod is gone, or the simulator ends."""

    def __init__(self, pod: Json, node: Node) -> None:
        super().__init__(daemon=True, name=f"pod-{pod['metadata']['name']}")
        self._node = node
        self._namespace, self._name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        self._uid = pod["metadata"]["uid"]
        self.wake = threading.Event()
        self._told: Json | None = None
        known = {s["name"]: s for s in at(pod, "status", "containerStatuses", default=[])}
        self._begun = at(pod, "status", "startTime", default=timestamp())
        pod = {**pod, "status": {"podIP": address(pod), "hostIP": HOST}}
        self.containers = [
            self._container(pod, spec, at(known, spec["name"], "restartCount", default=0))
            for spec in pod["spec"]["containers"]
        ]

    def _container(self, pod: Json, spec: Json, restarts: int) -> Container:
        def tell(kind: str, reason: str, message: str) -> None:
            field = f"spec.containers{{{spec['name']}}}"
            self._node.recorder.add(kind, pod, reason, message, SOURCE, field)

        starter, patience = self._node.starter, self._node.patience
        return Container(starter, patience, pod=pod, spec=spec, tell=tell, restarts=restarts)

    def _pod(self) -> Json | None:
        pod = self._node.writer.store.get(PODS, self._namespace, self._name)
        return pod if pod is not None and pod["metadata"]["uid"] == self._uid else None

    def run(self) -> None:
        try:
            self._live()
        finally:
            if not self._node.closing.is_set():
                for container in self.containers:
                    container.stop(0)

    def _live(self) -> None:
        while not self._node.closing.is_set():
            pod = self._pod()
            if pod is None:
                return
            if terminating(pod):
                self._end(pod)
                return
            for container in self.containers:
                container.look()
            self._tell(pod)
            self.wake.wait(self._node.patience.look)
            self.wake.clear()

    def _end(self, pod: Json) -> None:
        """preStop, then the signal to end; requests under way are answered meanwhile."""
        grace = float(pod["metadata"].get("deletionGracePeriodSeconds", 30))
        end = time.monotonic() + grace
        for container in self.containers:
            if container.running:
                container.tell("Normal", "Killing", f"Stopping container {container.name}")
                before_stop(container, grace, lambda s: self._linger(s * self._node.patience.hooks))
        if self._node.closing.is_set():
            return
        threads = [
            threading.Thread(target=c.stop, args=(max(0.0, end - time.monotonic()),), daemon=True)
            for c in self.containers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._pod() is not None:
            self._node.writer.store.remove(PODS, self._namespace, self._name)

    def _linger(self, seconds: float) -> None:
        """Unless the pod is taken away meanwhile, as a forced deletion does."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self._pod() is not None:
            if self._node.closing.is_set():
                return
            self.wake.wait(left)
            self.wake.clear()

    # --- its status

    def _tell(self, pod: Json) -> None:
        """Writes the pod's status, where it's new."""
        status = self._status(pod)
        if status == self._told:
            return
        self._told = status

        def change(thing: Json) -> None:
            thing["status"] = status

        self._node.writer.change(
            PODS, self._namespace, self._name, change, SOURCE, subresource="status"
        )

    def _status(self, pod: Json) -> Json:
        unready = [c.name for c in self.containers if not c.ready]
        statuses = [container.status for container in self.containers]
        reason = text = ""
        if unready:
            reason = "ContainersNotReady"
            text = f"containers with unready status: [{' '.join(unready)}]"
        state = "False" if unready else "True"
        conditions = [
            _condition(pod, "PodReadyToStartContainers", "True"),
            _condition(pod, "Initialized", "True"),
            _condition(pod, "Ready", state, reason, text),
            _condition(pod, "ContainersReady", state, reason, text),
            condition(pod, "PodScheduled") or _condition(pod, "PodScheduled", "True"),
        ]
        return {
            "phase": _phase(statuses, pod["spec"].get("restartPolicy", "Always")),
            "conditions": conditions,
            "hostIP": HOST,
            "podIP": address(pod),
            "podIPs": [{"ip": address(pod)}],
            "startTime": self._begun,
            "containerStatuses": statuses,
            "qosClass": _quality(pod),
        }


def _phase(statuses: list[Json], policy: str) -> str:
    states = [status["state"] for status in statuses]
    if policy != "Always" and all("terminated" in state for state in states):
        worst = max(state["terminated"]["exitCode"] for state in states)
        return "Failed" if worst else "Succeeded"
    begun = all("waiting" not in s["state"] or s["lastState"] for s in statuses)
    return "Running" if begun else "Pending"


def _condition(pod: Json, kind: str, state: str, reason: str = "", message: str = "") -> Json:
    before = condition(pod, kind)
    kept = before is not None and before["status"] == state
    found = {
        "type": kind,
        "status": state,
        "lastTransitionTime": before["lastTransitionTime"] if before and kept else timestamp(),
    }
    if reason:
        found |= {"reason": reason, "message": message}
    return found


def _quality(pod: Json) -> str:
    resources = [c.get("resources") or {} for c in pod["spec"]["containers"]]
    if not any(r.get("requests") or r.get("limits") for r in resources):
        return "BestEffort"
    same = all(
        {"cpu", "memory"} <= (r.get("limits") or {}).keys() and r.get("requests") == r["limits"]
        for r in resources
    )
    return "Guaranteed" if same else "Burstable"
