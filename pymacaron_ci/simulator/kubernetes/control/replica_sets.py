"""ReplicaSets: as many pods as they declare."""

from __future__ import annotations

from pymacaron_ci.simulator.kubernetes.control.pods import active, available, expendable, ready
from pymacaron_ci.simulator.kubernetes.control.recorder import Recorder
from pymacaron_ci.simulator.kubernetes.objects import (
    Json,
    at,
    condition,
    copied,
    labels_of,
    owned_by,
    owner_reference,
    terminating,
    timestamp,
)
from pymacaron_ci.simulator.kubernetes.resources import PODS, REPLICA_SETS
from pymacaron_ci.simulator.kubernetes.statuses import KubeError
from pymacaron_ci.simulator.kubernetes.writing import Options, Writer, suffix

SOURCE = "replicaset-controller"
OPTIONS = Options(manager="kube-controller-manager")


class ReplicaSets:
    def __init__(self, writer: Writer, recorder: Recorder) -> None:
        self._writer, self._recorder = writer, recorder
        self._store = writer.store

    def reconcile(self) -> None:
        for found in self._store.list(REPLICA_SETS):
            self._sync(found)

    def _sync(self, found: Json) -> None:
        namespace = found["metadata"]["namespace"]
        own = [pod for pod in self._store.list(PODS, namespace) if owned_by(pod, found)]
        pods = [pod for pod in own if active(pod)]
        wanted = int(at(found, "spec", "replicas", default=1))
        failure: Json | None = None
        if not terminating(found):
            for _ in range(wanted - len(pods)):
                try:
                    pods.append(self._add(found))
                except KubeError as error:
                    failure = self._failed(
                        found, "FailedCreate", f"Error creating: {error.message}"
                    )
                    break
            surplus = sorted(pods, key=expendable)[: max(0, len(pods) - wanted)]
            for pod in surplus:
                self._take(found, pod)
                pods.remove(pod)
        self._tell(found, pods, failure, wanted)

    def _add(self, found: Json) -> Json:
        metadata, template = found["metadata"], copied(found["spec"]["template"])
        name = f"{metadata['name'][:57]}-"
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **(template.get("metadata") or {}),
                "name": name + suffix(),
                "generateName": name,
                "namespace": metadata["namespace"],
                "ownerReferences": [owner_reference(found)],
            },
            "spec": template["spec"],
        }
        pod["metadata"].pop("creationTimestamp", None)
        made = self._writer.create(PODS, metadata["namespace"], pod, OPTIONS).thing
        text = f"Created pod: {made['metadata']['name']}"
        self._recorder.normal(found, "SuccessfulCreate", text, SOURCE)
        return made

    def _take(self, found: Json, pod: Json) -> None:
        metadata = pod["metadata"]
        self._writer.delete(PODS, metadata["namespace"], metadata["name"], {})
        text = f"Deleted pod: {metadata['name']}"
        self._recorder.normal(found, "SuccessfulDelete", text, SOURCE)

    def _failed(self, found: Json, reason: str, text: str) -> Json:
        self._recorder.warning(found, reason, text, SOURCE)
        return {
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": timestamp(),
            "reason": reason,
            "message": text.removeprefix("Error creating: "),
        }

    def _tell(self, found: Json, pods: list[Json], failure: Json | None, wanted: int) -> None:
        least = at(found, "spec", "minReadySeconds", default=0)
        template = at(found, "spec", "template", "metadata", "labels", default={})
        counts = {
            "fullyLabeledReplicas": sum(template.items() <= labels_of(pod).items() for pod in pods),
            "readyReplicas": sum(map(ready, pods)),
            "availableReplicas": sum(available(pod, least) for pod in pods),
        }
        status: Json = {
            "replicas": len(pods),
            **{name: count for name, count in counts.items() if count},
            "observedGeneration": found["metadata"].get("generation", 1),
        }
        before = condition(found, "ReplicaFailure")
        if failure is not None and len(pods) < wanted:
            kept = before if before and before["message"] == failure["message"] else failure
            status["conditions"] = [kept]

        if found.get("status") == status:
            return

        def change(thing: Json) -> None:
            thing["status"] = status

        metadata = found["metadata"]
        self._writer.change(
            REPLICA_SETS, metadata["namespace"], metadata["name"], change, subresource="status"
        )
