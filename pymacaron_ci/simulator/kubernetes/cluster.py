"""One cluster, put together: its store, its API, controllers, pods and load balancers."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import Runner
from pymacaron_ci.simulator.kubernetes.control.deployments import Deployments
from pymacaron_ci.simulator.kubernetes.control.endpoints import EndpointSlices
from pymacaron_ci.simulator.kubernetes.control.garbage import Garbage
from pymacaron_ci.simulator.kubernetes.control.quotas import Quotas
from pymacaron_ci.simulator.kubernetes.control.recorder import Recorder
from pymacaron_ci.simulator.kubernetes.control.replica_sets import ReplicaSets
from pymacaron_ci.simulator.kubernetes.control.scaling import Autoscalers, Budgets
from pymacaron_ci.simulator.kubernetes.ingresses import Ingresses
from pymacaron_ci.simulator.kubernetes.logs import Logs
from pymacaron_ci.simulator.kubernetes.nodes.containers import Patience
from pymacaron_ci.simulator.kubernetes.nodes.kubelet import Kubelet
from pymacaron_ci.simulator.kubernetes.nodes.pods import Node
from pymacaron_ci.simulator.kubernetes.nodes.scheduler import Scheduler, make_nodes
from pymacaron_ci.simulator.kubernetes.nodes.starting import Starter
from pymacaron_ci.simulator.kubernetes.objects import Json, at
from pymacaron_ci.simulator.kubernetes.paths import Place
from pymacaron_ci.simulator.kubernetes.resources import DEPLOYMENTS, INGRESSES
from pymacaron_ci.simulator.kubernetes.rest import Api
from pymacaron_ci.simulator.kubernetes.settings import Settings
from pymacaron_ci.simulator.kubernetes.store import Store
from pymacaron_ci.simulator.kubernetes.traffic import Traffic
from pymacaron_ci.simulator.kubernetes.writing import Writer
from pymacaron_ci.simulator.web import Request, Response

# what depends on the time alone is looked at this often, in seconds
TICK = 0.5


class Controller(Protocol):
    def reconcile(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A deployment, for people."""

    namespace: str
    name: str
    url: str
    image: str
    ready: int


class Cluster:
    """Controllers run one after the other in a thread of the cluster's own, again after each change
    of an object.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        runner: Runner,
        images: Images,
        patience: Patience,
    ) -> None:
        self.settings = settings
        self.store = Store(folder / "objects")
        self.writer = Writer(self.store)
        recorder = Recorder(self.store)
        node = Node(
            writer=self.writer,
            recorder=recorder,
            starter=Starter(self.store, runner, images),
            patience=patience,
            closing=threading.Event(),
        )
        self._kubelet = Kubelet(node)
        traffic = Traffic(self.store, self._kubelet)
        self.ingresses = Ingresses(folder / "ingresses.json", self.writer, recorder, traffic)
        self.api = Api(self.store, self.writer, settings, self)
        self._logs, self._traffic = Logs(self._kubelet, runner), traffic
        self._garbage = Garbage(self.writer)
        self._controllers: Sequence[Controller] = (
            self._garbage,
            Autoscalers(self.writer, recorder),
            Deployments(self.writer, recorder),
            ReplicaSets(self.writer, recorder),
            Scheduler(self.writer, recorder),
            self._kubelet,
            EndpointSlices(self.writer),
            self.ingresses,
            Budgets(self.writer),
            Quotas(self.writer),
        )
        self._recorder = recorder
        self._garbage.begin()
        self._thread = threading.Thread(target=self._control, daemon=True, name="controllers")
        self._thread.start()

    def _control(self) -> None:
        seen, settings = -1, ""
        while not self.store.closed:
            with self.store.changed:
                if self.store.version == seen:
                    self.store.changed.wait(TICK)
                    self._recorder.forget()
                seen = self.store.version
            if settings != repr(self.settings):
                settings = repr(self.settings)
                make_nodes(self.writer, self.settings.nodes, self.settings.version)
                self.ingresses.certified = self.settings.certificates_active
            for controller in self._controllers:
                if self.store.closed:
                    return
                try:
                    controller.reconcile()
                except Exception:  # noqa: BLE001 - one that stumbles must not stop the others: it tries again
                    traceback.print_exc()

    # --- rest.Running

    def logs(self, pod: Json, query: dict[str, str]) -> Response:
        return self._logs.read(pod, query)

    def proxy(self, place: Place, request: Request) -> Response:
        return self._traffic.proxy(place, request)

    def workloads(self) -> list[Workload]:
        urls: dict[str, str] = {}
        for found in self.store.list(INGRESSES):
            metadata = found["metadata"]
            url = self.ingresses.url(metadata["namespace"], metadata["name"])
            urls.setdefault(metadata["namespace"], url or "")
        return [
            Workload(
                namespace=found["metadata"]["namespace"],
                name=found["metadata"]["name"],
                url=urls.get(found["metadata"]["namespace"], ""),
                image=at(found, "spec", "template", "spec", "containers", 0, "image", default=""),
                ready=at(found, "status", "readyReplicas", default=0),
            )
            for found in self.store.list(DEPLOYMENTS)
        ]

    def close(self) -> None:
        self.ingresses.close()
        self.store.close()
        self._thread.join(10)
        self._kubelet.close()
