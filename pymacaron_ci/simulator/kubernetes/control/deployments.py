"""Deployments: a ReplicaSet for each pod template, rolled from the former to the new one.

The rules, reasons and texts are the deployment controller's own
(https://kubernetes.io/docs/concepts/workloads/controllers/deployment/).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from pymacaron_ci.simulator.kubernetes.control import rolling
from pymacaron_ci.simulator.kubernetes.control.conditions import conditions
from pymacaron_ci.simulator.kubernetes.control.pods import active
from pymacaron_ci.simulator.kubernetes.control.recorder import Recorder
from pymacaron_ci.simulator.kubernetes.control.rolling import REVISION, replicas
from pymacaron_ci.simulator.kubernetes.objects import (
    Json,
    annotations_of,
    at,
    owned_by,
    owner_reference,
    terminating,
)
from pymacaron_ci.simulator.kubernetes.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from pymacaron_ci.simulator.kubernetes.writing import LETTERS, Options, Writer

SOURCE = "deployment-controller"
HASH = "pod-template-hash"
DESIRED, MOST = (
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
)
# annotations of a deployment that its ReplicaSets don't take over
OWN = (REVISION, DESIRED, MOST, "kubectl.kubernetes.io/last-applied-configuration")
OPTIONS = Options(manager="kube-controller-manager")


def template_hash(template: Json) -> str:
    text = json.dumps(_bare(template), sort_keys=True)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    found = ""
    for _ in range(10):
        number, rest = divmod(number, len(LETTERS))
        found += LETTERS[rest]
    return found


def _bare(template: Json) -> Json:
    metadata = template.get("metadata") or {}
    kept = {k: v for k, v in (metadata.get("labels") or {}).items() if k != HASH}
    return {**template, "metadata": {**metadata, "labels": kept, "creationTimestamp": None}}


class Deployments:
    def __init__(self, writer: Writer, recorder: Recorder) -> None:
        self._writer, self._recorder = writer, recorder
        self._store = writer.store

    def reconcile(self) -> None:
        for found in self._store.list(DEPLOYMENTS):
            if not terminating(found):
                self._sync(found)

    def _sync(self, found: Json) -> None:
        own = self._sets(found)
        new = self._current(found, own)
        created = False
        if new is None and not at(found, "spec", "paused"):
            new = self._create(found, own)
            created = True
        elif new is not None:
            new = self._marked(found, new, own)
        olds = [rs for rs in own if new is None or rs["metadata"]["uid"] != new["metadata"]["uid"]]
        if not created:
            self._scale(found, new, olds)
            self._forget(found, new, olds)
        self._tell(found, created)

    def _sets(self, found: Json) -> list[Json]:
        """Oldest first."""
        namespace = found["metadata"]["namespace"]
        own = [rs for rs in self._store.list(REPLICA_SETS, namespace) if owned_by(rs, found)]
        return sorted(own, key=lambda rs: (rs["metadata"]["creationTimestamp"], _revision(rs)))

    @staticmethod
    def _current(found: Json, own: Sequence[Json]) -> Json | None:
        wanted = _bare(found["spec"]["template"])
        for replica_set in own:
            if _bare(replica_set["spec"]["template"]) == wanted:
                return replica_set
        return None

    def _create(self, found: Json, own: Sequence[Json]) -> Json:
        metadata, spec = found["metadata"], found["spec"]
        number = template_hash(spec["template"])
        template = spec["template"]
        marked = {**at(template, "metadata", "labels", default={}), HASH: number}
        revision = 1 + max((_revision(rs) for rs in own), default=0)
        size = rolling.new_size(found, None, own)
        body: Json = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{metadata['name']}-{number}",
                "labels": marked,
                "annotations": self._annotations(found, revision),
                "ownerReferences": [owner_reference(found)],
            },
            "spec": {
                "replicas": size,
                "selector": {
                    **spec["selector"],
                    "matchLabels": {**(spec["selector"].get("matchLabels") or {}), HASH: number},
                },
                "template": {
                    **template,
                    "metadata": {**(template.get("metadata") or {}), "labels": marked},
                },
            },
        }
        if spec.get("minReadySeconds"):
            body["spec"]["minReadySeconds"] = spec["minReadySeconds"]
        made = self._writer.create(REPLICA_SETS, metadata["namespace"], body, OPTIONS).thing
        self._mark_revision(found, revision)
        if size:
            self._scaled(found, made, 0, size)
        return made

    def _annotations(self, found: Json, revision: int) -> dict[str, str]:
        count, surge, _ = rolling.bounds(found)
        taken = {k: v for k, v in annotations_of(found).items() if k not in OWN}
        return {
            **taken,
            REVISION: str(revision),
            DESIRED: str(count),
            MOST: str(count + surge),
        }

    def _marked(self, found: Json, new: Json, own: Sequence[Json]) -> Json:
        """The new ReplicaSet, with its deployment's annotations and the highest revision."""
        others = [rs for rs in own if rs["metadata"]["uid"] != new["metadata"]["uid"]]
        revision = max(_revision(new), 1 + max((_revision(rs) for rs in others), default=0))
        wanted = {**annotations_of(new), **self._annotations(found, revision)}
        least = at(found, "spec", "minReadySeconds", default=0)

        def change(thing: Json) -> None:
            thing["metadata"]["annotations"] = wanted
            if at(thing, "spec", "minReadySeconds", default=0) != least:
                thing["spec"]["minReadySeconds"] = least

        metadata = new["metadata"]
        changed = self._writer.change(REPLICA_SETS, metadata["namespace"], metadata["name"], change)
        self._mark_revision(found, revision)
        return changed or new

    def _mark_revision(self, found: Json, revision: int) -> None:
        def change(thing: Json) -> None:
            marks = thing["metadata"].setdefault("annotations", {})
            marks[REVISION] = str(revision)

        metadata = found["metadata"]
        if annotations_of(found).get(REVISION) != str(revision):
            self._writer.change(DEPLOYMENTS, metadata["namespace"], metadata["name"], change)

    def _scale(self, found: Json, new: Json | None, olds: Sequence[Json]) -> None:
        if at(found, "spec", "paused"):
            everyone = [*olds, *([new] if new else [])]
            sizes = rolling.paused_sizes(found, everyone)
            self._resize(found, everyone, sizes)
            return
        if new is None:
            return
        if at(found, "spec", "strategy", "type") == "Recreate":
            self._recreate(found, new, olds)
            return
        size = rolling.new_size(found, new, olds)
        if size != replicas(new):
            self._resize(found, [new], [size])
        else:
            self._resize(found, olds, rolling.old_sizes(found, new, olds))

    def _recreate(self, found: Json, new: Json, olds: Sequence[Json]) -> None:
        if any(replicas(rs) for rs in olds):
            self._resize(found, olds, [0] * len(olds))
            return
        namespace = found["metadata"]["namespace"]
        uids = {rs["metadata"]["uid"] for rs in olds}
        for pod in self._store.list(PODS, namespace):
            for owner in pod["metadata"].get("ownerReferences") or ():
                if owner["uid"] in uids and active(pod):
                    return
        self._resize(found, [new], [at(found, "spec", "replicas", default=1)])

    def _resize(self, found: Json, sets: Sequence[Json], sizes: Sequence[int]) -> None:
        count, surge, _ = rolling.bounds(found)
        for replica_set, size in zip(sets, sizes, strict=True):
            before = replicas(replica_set)
            metadata = replica_set["metadata"]

            def change(thing: Json, size: int = size) -> None:
                thing["spec"]["replicas"] = size
                marks = thing["metadata"].setdefault("annotations", {})
                marks |= {DESIRED: str(count), MOST: str(count + surge)}

            self._writer.change(REPLICA_SETS, metadata["namespace"], metadata["name"], change)
            if before != size:
                self._scaled(found, replica_set, before, size)

    def _scaled(self, found: Json, replica_set: Json, before: int, size: int) -> None:
        way = "up" if size > before else "down"
        name = replica_set["metadata"]["name"]
        text = f"Scaled {way} replica set {name} from {before} to {size}"
        self._recorder.normal(found, "ScalingReplicaSet", text, SOURCE)

    def _forget(self, found: Json, new: Json | None, olds: Sequence[Json]) -> None:
        """Of those that are empty only the newest are kept, for a rollback."""
        if new is None or replicas(new) != at(new, "status", "availableReplicas", default=0):
            return
        empty = [
            rs for rs in olds if not replicas(rs) and not at(rs, "status", "replicas", default=0)
        ]
        kept = at(found, "spec", "revisionHistoryLimit", default=10)
        for replica_set in sorted(empty, key=_revision)[: max(0, len(empty) - kept)]:
            metadata = replica_set["metadata"]
            self._store.remove(REPLICA_SETS, metadata["namespace"], metadata["name"])

    def _tell(self, found: Json, created: bool) -> None:
        metadata = found["metadata"]
        current = self._store.get(DEPLOYMENTS, metadata["namespace"], metadata["name"])
        if current is None or current["metadata"]["uid"] != metadata["uid"]:
            return
        own = self._sets(current)
        new = self._current(current, own)

        def total(name: str, sets: Sequence[Json] = own) -> int:
            return sum(at(rs, "status", name, default=0) for rs in sets)

        counts = {
            "replicas": total("replicas"),
            "updatedReplicas": total("replicas", [new] if new else []),
            "readyReplicas": total("readyReplicas"),
            "availableReplicas": total("availableReplicas"),
            "unavailableReplicas": max(0, sum(map(replicas, own)) - total("availableReplicas")),
        }
        status: Json = {
            "observedGeneration": found["metadata"]["generation"],
            **{name: count for name, count in counts.items() if count},
        }
        status["conditions"] = conditions(current, status, new, created)
        if current.get("status") == status:
            return

        def change(thing: Json) -> None:
            thing["status"] = status

        self._writer.change(
            DEPLOYMENTS, metadata["namespace"], metadata["name"], change, subresource="status"
        )


def _revision(replica_set: Json) -> int:
    text = annotations_of(replica_set).get(REVISION, "0")
    return int(text) if text.isdigit() else 0
