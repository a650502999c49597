"""preStop: what a container does, or waits for, before it is told to end."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from pymacaron_ci.simulator.kubernetes.nodes.containers import Container
from pymacaron_ci.simulator.kubernetes.objects import Json, at


def before_stop(container: Container, grace: float, wait: Callable[[float], object]) -> None:
    """For at most `grace` seconds."""
    action = at(container.spec, "lifecycle", "preStop", default={})
    seconds = float(at(action, "sleep", "seconds", default=0))
    wait(min(seconds or _slept(at(action, "exec", "command", default=[])), grace))
    if "httpGet" in action:
        _call(container, action["httpGet"], grace)


def _slept(command: Sequence[str]) -> float:
    """The seconds of `sleep 5`, of a shell told to, or of Python's `time.sleep(5)`; other commands
    can't be run here."""
    found = re.search(r"\bsleep[ (](\d+(?:\.\d+)?)", " ".join(command))
    return float(found[1]) if found else 0.0


def _call(container: Container, action: Json, timeout: float) -> None:
    where = container.url(action["port"])
    if where is None:
        return
    parts = urlsplit(where)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("GET", action.get("path") or "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        container.tell("Warning", "FailedPreStopHook", f"PreStopHook failed: {error}")
    finally:
        connection.close()
