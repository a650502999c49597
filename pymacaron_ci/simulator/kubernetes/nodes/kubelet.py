"""All nodes' kubelets in one: a worker for each pod that was given to a node."""

from __future__ import annotations

from pymacaron_ci.simulator.kubernetes.nodes.containers import Container
from pymacaron_ci.simulator.kubernetes.nodes.pods import Node, PodWorker
from pymacaron_ci.simulator.kubernetes.objects import Json, at, terminating
from pymacaron_ci.simulator.kubernetes.resources import PODS


class Kubelet:
    """A controller: pods may have come or gone."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._store = node.writer.store
        self._workers: dict[str, PodWorker] = {}

    def reconcile(self) -> None:
        pods = {pod["metadata"]["uid"]: pod for pod in self._store.list(PODS)}
        for uid, pod in pods.items():
            worker = self._workers.get(uid)
            if worker is not None:
                worker.wake.set()
            elif terminating(pod):
                metadata = pod["metadata"]
                self._store.remove(PODS, metadata["namespace"], metadata["name"])
            elif at(pod, "spec", "nodeName") and not self.closing:
                self._workers[uid] = worker = PodWorker(pod, self._node)
                worker.start()
        for uid, worker in list(self._workers.items()):
            if uid not in pods:
                worker.wake.set()
                if not worker.is_alive():
                    del self._workers[uid]

    @property
    def closing(self) -> bool:
        return self._node.closing.is_set()

    def url(self, pod: Json, port: int | str) -> str | None:
        """Where a port of a pod really is."""
        worker = self._workers.get(pod["metadata"]["uid"])
        urls = [c.url(port) for c in worker.containers] if worker else []
        return next((url for url in urls if url), None)

    def container(self, pod: Json, name: str) -> Container | None:
        worker = self._workers.get(pod["metadata"]["uid"])
        return next((c for c in worker.containers if c.name == name), None) if worker else None

    def close(self) -> None:
        """Pods stay in the store, for the next simulator to bring back; the runner ends them."""
        self._node.closing.set()
        for worker in self._workers.values():
            worker.wake.set()
        for worker in self._workers.values():
            worker.join(10)
