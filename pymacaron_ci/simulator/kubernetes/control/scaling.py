"""HorizontalPodAutoscalers keep replicas between their bounds; disruption budgets count pods."""

from __future__ import annotations

import math

from pymacaron_ci.simulator.kubernetes.control.pods import active, ready
from pymacaron_ci.simulator.kubernetes.control.recorder import Recorder
from pymacaron_ci.simulator.kubernetes.objects import Json, at, condition, timestamp
from pymacaron_ci.simulator.kubernetes.resources import (
    AUTOSCALERS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    PODS,
)
from pymacaron_ci.simulator.kubernetes.selectors import selects
from pymacaron_ci.simulator.kubernetes.writing import Writer

SOURCE = "horizontal-pod-autoscaler"


class Autoscalers:
    """Nothing measures load here: a target only comes to lie within the bounds."""

    def __init__(self, writer: Writer, recorder: Recorder) -> None:
        self._writer, self._recorder = writer, recorder
        self._store = writer.store

    def reconcile(self) -> None:
        for found in self._store.list(AUTOSCALERS):
            self._sync(found)

    def _sync(self, found: Json) -> None:
        metadata, spec = found["metadata"], found["spec"]
        namespace, target = metadata["namespace"], spec["scaleTargetRef"]
        deployment = (
            self._store.get(DEPLOYMENTS, namespace, target["name"])
            if target["kind"] == "Deployment"
            else None
        )
        if deployment is None:
            text = (
                "the HPA controller was unable to get the target's current scale: "
                f'{target["kind"].lower()}s.apps "{target["name"]}" not found'
            )
            self._tell(found, 0, 0, ("AbleToScale", "False", "FailedGetScale", text))
            return
        has = int(at(deployment, "spec", "replicas", default=1))
        wanted = min(max(has, spec.get("minReplicas", 1)), spec["maxReplicas"]) if has else 0
        if wanted != has:

            def change(thing: Json) -> None:
                thing["spec"]["replicas"] = wanted

            self._writer.change(DEPLOYMENTS, namespace, target["name"], change, subresource="scale")
            side = "below Spec.MinReplicas" if wanted > has else "above Spec.MaxReplicas"
            text = f"New size: {wanted}; reason: Current number of replicas {side}"
            self._recorder.normal(found, "SuccessfulRescale", text, SOURCE)
        current = at(deployment, "status", "replicas", default=0)
        text = "recommended size matches current size"
        self._tell(found, current, wanted, ("AbleToScale", "True", "ReadyForNewScale", text))

    def _tell(
        self, found: Json, current: int, wanted: int, told: tuple[str, str, str, str]
    ) -> None:
        kind, state, reason, message = told
        before = condition(found, kind)
        kept = before is not None and before["status"] == state
        status = {
            "currentReplicas": current,
            "desiredReplicas": wanted,
            "conditions": [
                {
                    "type": kind,
                    "status": state,
                    "lastTransitionTime": before["lastTransitionTime"]
                    if before and kept
                    else timestamp(),
                    "reason": reason,
                    "message": message,
                }
            ],
        }

        def change(thing: Json) -> None:
            thing["status"] = status

        metadata = found["metadata"]
        self._writer.change(
            AUTOSCALERS, metadata["namespace"], metadata["name"], change, subresource="status"
        )


class Budgets:
    """PodDisruptionBudgets."""

    def __init__(self, writer: Writer) -> None:
        self._writer, self._store = writer, writer.store

    def reconcile(self) -> None:
        for found in self._store.list(DISRUPTION_BUDGETS):
            self._sync(found)

    def _sync(self, found: Json) -> None:
        metadata, spec = found["metadata"], found["spec"]
        namespace = metadata["namespace"]
        pods = [p for p in self._store.list(PODS, namespace) if active(p)]
        pods = [p for p in pods if selects(spec.get("selector"), p)]
        expected, healthy = len(pods), sum(map(ready, pods))
        if "maxUnavailable" in spec:
            least = expected - _resolved(spec["maxUnavailable"], expected)
        else:
            least = _resolved(spec.get("minAvailable", 1), expected)
        free = max(0, healthy - max(0, least))
        before = condition(found, "DisruptionAllowed")
        state = "True" if free else "False"
        kept = before is not None and before["status"] == state
        status = {
            "observedGeneration": metadata.get("generation", 1),
            "currentHealthy": healthy,
            "desiredHealthy": max(0, least),
            "expectedPods": expected,
            "disruptionsAllowed": free,
            "conditions": [
                {
                    "type": "DisruptionAllowed",
                    "status": state,
                    "observedGeneration": metadata.get("generation", 1),
                    "lastTransitionTime": before["lastTransitionTime"]
                    if before and kept
                    else timestamp(),
                    "reason": "SufficientPods" if free else "InsufficientPods",
                    "message": "",
                }
            ],
        }

        def change(thing: Json) -> None:
            thing["status"] = status

        self._writer.change(
            DISRUPTION_BUDGETS, namespace, metadata["name"], change, subresource="status"
        )


def _resolved(value: int | str, count: int) -> int:
    if isinstance(value, int):
        return value
    return math.ceil(int(value.rstrip("%")) * count / 100)
