"""Runs the pods that were given to nodes: a thread for each, from its start to its end."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import InstanceError, Runner
from pymacaron_ci.simulator.kubernetes.control.recorder import Recorder
from pymacaron_ci.simulator.kubernetes.nodes.containers import Container, Patience
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


class Kubelet:
    """All nodes' in one. `sync` is called when pods may have come or gone."""

    def __init__(
        self,
        writer: Writer,
        recorder: Recorder,
        runner: Runner,
        images: Images,
        patience: Patience,
    ) -> None:
        self._writer, self._recorder = writer, recorder
        self._store = writer.store
        self._runner, self._images, self._patience = runner, images, patience
        self._workers: dict[str, PodWorker] = {}
        self.closing = threading.Event()

    def reconcile(self) -> None:
        pods = {pod["metadata"]["uid"]: pod for pod in self._store.list(PODS)}
        for uid, pod in pods.items():
            worker = self._workers.get(uid)
            if worker is None and at(pod, "spec", "nodeName") and not self.closing.is_set():
                worker = PodWorker(pod, self)
                self._workers[uid] = worker
                worker.start()
            elif worker is None and terminating(pod):
                metadata = pod["metadata"]
                self._store.remove(PODS, metadata["namespace"], metadata["name"])
            elif worker is not None:
                worker.wake.set()
        for uid, worker in list(self._workers.items()):
            if uid not in pods:
                worker.wake.set()
                if not worker.is_alive():
                    del self._workers[uid]

    def url(self, pod: Json, port: int | str) -> str | None:
        """Where a port of a pod really is."""
        worker = self._workers.get(pod["metadata"]["uid"])
        urls = [c.url(port) for c in worker.containers] if worker else []
        return next((url for url in urls if url), None)

    def container(self, pod: Json, name: str) -> Container | None:
        worker = self._workers.get(pod["metadata"]["uid"])
        return next((c for c in worker.containers if c.name == name), None) if worker else None

    @property
    def running(self) -> int:
        """How many containers run."""
        return sum(c.running for w in list(self._workers.values()) for c in w.containers)

    def close(self) -> None:
        """Pods stay in the store, for the next simulator to bring back; the runner ends them."""
        self.closing.set()
        for worker in self._workers.values():
            worker.wake.set()
        for worker in self._workers.values():
            worker.join(10)

    # --- for workers

    @property
    def writer(self) -> Writer:
        return self._writer

    @property
    def patience(self) -> Patience:
        return self._patience

    def container_of(self, pod: Json, spec: Json, restarts: int) -> Container:
        def tell(kind: str, reason: str, message: str) -> None:
            record = self._recorder.normal if kind == "Normal" else self._recorder.warning
            record(pod, reason, message, SOURCE, f"spec.containers{{{spec['name']}}}")

        return Container(
            store=self._store,
            runner=self._runner,
            patience=self._patience,
            pod=pod,
            spec=spec,
            tell=tell,
            restarts=restarts,
        )

    def digest(self, image: str) -> str:
        try:
            found = self._images.find(image)
        except InstanceError:
            return ""
        host, slash, _ = image.partition("/")
        return f"{host}{slash}{found.repository}@{found.digest}"


def address(pod: Json) -> str:
    number = int(pod["metadata"]["uid"][:8], 16)
    return f"10.{number >> 16 & 127}.{number >> 8 & 255}.{number % 254 + 1}"


class PodWorker(threading.Thread):
    """Ends when its pod is gone, or the simulator ends."""

    def __init__(self, pod: Json, kubelet: Kubelet) -> None:
        super().__init__(daemon=True, name=f"pod-{pod['metadata']['name']}")
        self._kubelet = kubelet
        self._store = kubelet.writer.store
        self._namespace, self._name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        self._uid = pod["metadata"]["uid"]
        self.wake = threading.Event()
        self._told: Json | None = None
        known = {s["name"]: s for s in at(pod, "status", "containerStatuses", default=[])}
        pod = {**pod, "status": {**(pod.get("status") or {}), "podIP": address(pod)}}
        self._begun = at(pod, "status", "startTime", default=timestamp())
        self.containers = [
            kubelet.container_of(pod, spec, at(known, spec["name"], "restartCount", default=0))
            for spec in pod["spec"]["containers"]
        ]

    def _pod(self) -> Json | None:
        pod = self._store.get(PODS, self._namespace, self._name)
        return pod if pod is not None and pod["metadata"]["uid"] == self._uid else None

    def run(self) -> None:
        try:
            self._live()
        finally:
            if not self._kubelet.closing.is_set():
                for container in self.containers:
                    container.stop(0)

    def _live(self) -> None:
        while not self._kubelet.closing.is_set():
            pod = self._pod()
            if pod is None:
                return
            if terminating(pod):
                self._end(pod)
                return
            for container in self.containers:
                container.look()
            self._tell(pod)
            self.wake.wait(self._kubelet.patience.look)
            self.wake.clear()

    def _tell(self, pod: Json) -> None:
        """Writes the pod's status, where it's new."""
        status = self._status(pod)
        if status == self._told:
            return
        self._told = status

        def change(thing: Json) -> None:
            thing["status"] = status

        self._kubelet.writer.change(
            PODS, self._namespace, self._name, change, SOURCE, subresource="status"
        )

    def _status(self, pod: Json) -> Json:
        unready = [c.name for c in self.containers if not c.ready]
        statuses = [container.status(self._kubelet.digest) for container in self.containers]
        reason = ""
        text = ""
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
            "phase": self._phase(statuses),
            "conditions": conditions,
            "hostIP": "10.128.0.2",
            "podIP": address(pod),
            "podIPs": [{"ip": address(pod)}],
            "startTime": self._begun,
            "containerStatuses": statuses,
            "qosClass": _quality(pod),
        }

    @staticmethod
    def _phase(statuses: list[Json]) -> str:
        states = [status["state"] for status in statuses]
        if all("terminated" in state for state in states) and not any(
            status["restartCount"] for status in statuses
        ):
            worst = max(state["terminated"]["exitCode"] for state in states)
            return "Failed" if worst else "Succeeded"
        begun = all(
            "running" in s["state"] or s["restartCount"] or "terminated" in s["lastState"]
            for s in statuses
        )
        return "Running" if begun else "Pending"

    # --- its end

    def _end(self, pod: Json) -> None:
        """preStop, then the signal to end; requests under way are answered meanwhile."""
        grace = float(pod["metadata"].get("deletionGracePeriodSeconds", 30))
        end = time.monotonic() + grace
        for container in self.containers:
            if container.running:
                container.tell("Normal", "Killing", f"Stopping container {container.name}")
                self._before_stop(container, grace)
        threads = [
            threading.Thread(target=c.stop, args=(max(0.0, end - time.monotonic()),), daemon=True)
            for c in self.containers
        ]
        if self._kubelet.closing.is_set():
            return
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._pod() is not None:
            self._store.remove(PODS, self._namespace, self._name)

    def _before_stop(self, container: Container, grace: float) -> None:
        action = at(container.spec, "lifecycle", "preStop", default={})
        command = at(action, "exec", "command", default=[])
        seconds = float(at(action, "sleep", "seconds", default=0))
        seconds = seconds or _slept(command)
        self._kubelet.closing.wait(min(seconds, grace))
        if "httpGet" in action:
            _call(container.url, action["httpGet"], grace)


def _slept(command: list[str]) -> float:
    """The seconds of `sleep 5`, or of a shell told to; other commands can't be run here."""
    words = " ".join(command).split()
    for word, following in itertools.pairwise(words):
        if word.rpartition("/")[2] == "sleep" and following.replace(".", "", 1).isdigit():
            return float(following)
    return 0.0


def _call(url: Callable[[int | str], str | None], action: Json, timeout: float) -> None:
    where = url(action["port"])
    if where is None:
        return
    parts = urlsplit(where)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("GET", action.get("path") or "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return  # a failed hook is told in an event, and the container stops all the same
    finally:
        connection.close()


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
