"""Events: what happened to an object, counted where it happened before."""

from __future__ import annotations

import time

from pymacaron_ci.simulator.kubernetes.objects import Json, age, timestamp
from pymacaron_ci.simulator.kubernetes.resources import EVENTS
from pymacaron_ci.simulator.kubernetes.store import Store

KEPT = 3600.0  # seconds
NORMAL, WARNING = "Normal", "Warning"


class Recorder:
    """Writes events into the namespace of the object they are about."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def normal(self, about: Json, reason: str, message: str, source: str, field: str = "") -> None:
        self.add(NORMAL, about, reason, message, source, field)

    def warning(self, about: Json, reason: str, message: str, source: str, field: str = "") -> None:
        self.add(WARNING, about, reason, message, source, field)

    def add(
        self, kind: str, about: Json, reason: str, message: str, source: str, field: str
    ) -> None:
        metadata = about["metadata"]
        namespace = metadata.get("namespace", "default")
        now = timestamp()
        with self._store.lock:
            for event in self._store.list(EVENTS, namespace):
                same = event["involvedObject"].get("uid") == metadata["uid"]
                if same and (event["reason"], event["message"]) == (reason, message):
                    count = event["count"] + 1
                    self._store.put(EVENTS, {**event, "count": count, "lastTimestamp": now})
                    return
            involved = {
                "kind": about["kind"],
                "namespace": namespace,
                "name": metadata["name"],
                "uid": metadata["uid"],
                "apiVersion": about["apiVersion"],
                "resourceVersion": metadata.get("resourceVersion", ""),
            }
            if field:
                involved["fieldPath"] = field
            name = f"{metadata['name']}.{time.time_ns():016x}"
            self._store.put(
                EVENTS,
                {
                    "kind": "Event",
                    "apiVersion": "v1",
                    "metadata": {"name": name, "namespace": namespace, "creationTimestamp": now},
                    "involvedObject": involved,
                    "reason": reason,
                    "message": message,
                    "source": {"component": source},
                    "firstTimestamp": now,
                    "lastTimestamp": now,
                    "count": 1,
                    "type": kind,
                    "eventTime": None,
                    "reportingComponent": source,
                    "reportingInstance": "",
                },
            )

    def forget(self) -> None:
        """Removes old events."""
        for event in self._store.list(EVENTS):
            metadata = event["metadata"]
            if age(event.get("lastTimestamp") or metadata["creationTimestamp"]) > KEPT:
                self._store.remove(EVENTS, metadata["namespace"], metadata["name"])
