"""What controllers ask about pods."""

from __future__ import annotations

from pymacaron_ci.simulator.kubernetes.objects import Json, age, at, condition, terminating


def active(pod: Json) -> bool:
    ended = at(pod, "status", "phase") in ("Succeeded", "Failed")
    return not ended and not terminating(pod)


def ready(pod: Json) -> bool:
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def available(pod: Json, least: float) -> bool:
    """Ready for `least` seconds."""
    found = condition(pod, "Ready")
    if found is None or found["status"] != "True":
        return False
    return not least or age(found["lastTransitionTime"]) >= least


def expendable(pod: Json) -> tuple[bool, bool, bool, int, str]:
    """Sorts those first that a scaled-down set loses first."""
    since = condition(pod, "Ready") or {}
    restarts = sum(s["restartCount"] for s in at(pod, "status", "containerStatuses", default=[]))
    return (
        bool(at(pod, "spec", "nodeName")),
        at(pod, "status", "phase") == "Running",
        ready(pod),
        -restarts,
        _backwards(since.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"]),
    )


def _backwards(text: str) -> str:
    return "".join(chr(0x10FFFF - ord(c)) for c in text)
