"""Scale: how many replicas a workload has and wants, as an object of its own."""

from __future__ import annotations

from pymacaron_ci.simulator.kubernetes.objects import Json, at


def scale_of(thing: Json) -> Json:
    """A workload's Scale."""
    metadata = thing["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels = at(thing, "spec", "selector", "matchLabels", default={})
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"replicas": at(thing, "spec", "replicas", default=1)},
        "status": {
            "replicas": at(thing, "status", "replicas", default=0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }
