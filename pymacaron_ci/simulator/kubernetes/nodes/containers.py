"""One container of a pod: started, probed, started again, told about in the kubelet's words."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass
from typing import Protocol

from pymacaron_ci.simulator.instances import Instance
from pymacaron_ci.simulator.kubernetes.control.endpoints import pod_port
from pymacaron_ci.simulator.kubernetes.nodes.probes import Probes
from pymacaron_ci.simulator.kubernetes.nodes.starting import NOT_PULLED, NotStarted, Starter
from pymacaron_ci.simulator.kubernetes.objects import Json, at, timestamp

# how long a failed pull is told before the wait for the next one, and how often a container that
# lacks its configuration is tried: in seconds
PULL_TOLD, CONFIG_RETRY = 0.5, 1.0


@dataclass(frozen=True, kw_only=True)
class Patience:
    """In seconds: the first back-off after a failed start, the longest, and between two looks.
    `hooks`: how much of the time that a preStop sleeps it gets; 1, but where time is short."""

    backoff: float = 10.0
    longest: float = 300.0
    look: float = 0.1
    hooks: float = 1.0

    def after(self, failures: int) -> float:
        return min(self.backoff * 2.0**failures, self.longest)


class Tell(Protocol):
    """Records an event about the container."""

    def __call__(self, kind: str, reason: str, message: str) -> None: ...


def duration(seconds: float) -> str:
    """As Go writes it: 10s, 1m20s."""
    whole = max(1, math.ceil(seconds))
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


class Container:
    """`look` is called again and again by its pod's own thread. `state` and `last` are a
    container's status.
    """

    def __init__(
        self,
        starter: Starter,
        patience: Patience,
        *,
        pod: Json,
        spec: Json,
        tell: Tell,
        restarts: int = 0,
    ) -> None:
        self._starter, self._patience = starter, patience
        self._pod, self.spec, self.tell = pod, spec, tell
        self.restarts = restarts
        self.instance: Instance | None = None
        self.state: Json = {"waiting": {"reason": "ContainerCreating"}}
        self.last: Json = {}
        self._ended: Json = {}
        self._failures = 0
        self._since = self._not_before = 0.0
        self._started_at = self._image_id = ""
        self._probes = self._new_probes({})

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    def log_name(self, number: int) -> str:
        """What the runner calls the instance of the `number`th start; good for a file's name."""
        metadata = self._pod["metadata"]
        return f"{metadata['name'][:80]}.{metadata['uid'][:8]}.{self.name[:40]}.{number}"

    @property
    def running(self) -> bool:
        return self.instance is not None and self.instance.exit_status() is None

    @property
    def started(self) -> bool:
        return self.running and self._probes.started

    @property
    def ready(self) -> bool:
        return self.running and self._probes.ready

    # --- ports

    @property
    def port(self) -> int:
        """Where the service in it listens: PORT, which it is told, else its first declared port."""
        for variable in self.spec.get("env") or ():
            if variable["name"] == "PORT" and str(variable.get("value", "")).isdigit():
                return int(variable["value"])
        return int(at(self.spec, "ports", 0, "containerPort", default=8080))

    def _number(self, port: int | str) -> int | str:
        found = pod_port(self._pod, port)
        return port if found is None else found

    def url(self, port: int | str) -> str | None:
        """Where a port of the container really is; None for one that nothing listens on."""
        instance = self.instance
        return instance.url if instance is not None and self._number(port) == self.port else None

    # --- life

    def look(self) -> None:
        """Takes the next step, where one is due."""
        now = time.monotonic()
        if self.instance is None:
            if at(self.state, "waiting", "reason") == NOT_PULLED and now >= self._since + PULL_TOLD:
                self._show_back_off()
            if now >= self._not_before:
                self._start()
            return
        status = self.instance.exit_status()
        if status is not None:
            self._end(self.instance, status)
            return
        for probe in self._probes.failed_now(now):
            self.tell("Warning", "Unhealthy", f"{probe.kind} probe failed: {probe.message}")
        kind = self._probes.fatal
        if kind:
            text = f"Container {self.name} failed {kind.lower()} probe, will be restarted"
            self.tell("Normal", "Killing", text)
            self.stop(float(self._pod["spec"].get("terminationGracePeriodSeconds", 30)))
            status = self.instance.exit_status()
            self._end(self.instance, 137 if status is None else status)

    def _start(self) -> None:
        image, number = str(self.spec["image"]), self.restarts + bool(self._ended)
        self.tell("Normal", "Pulling", f'Pulling image "{image}"')
        begun = time.monotonic()
        started = self._starter.start(self._pod, self.spec, self.log_name(number), self.port)
        if isinstance(started, NotStarted):
            self._wait(started)
            return
        took = f"{(time.monotonic() - begun) * 1000:.0f}ms"
        text = f'Successfully pulled image "{image}" in {took} ({took} including waiting).'
        self.tell("Normal", "Pulled", text)
        self.tell("Normal", "Created", f"Created container: {self.name}")
        self.tell("Normal", "Started", f"Started container {self.name}")
        self._image_id = self._starter.image_id(image)
        self._started_at, self._since = timestamp(), time.monotonic()
        if self._ended:
            self.restarts, self.last, self._ended = number, self._ended, {}
        self.state = {"running": {"startedAt": self._started_at}}
        self._probes = self._new_probes(self.spec)
        self.instance = started

    def _new_probes(self, spec: Json) -> Probes:
        address = at(self._pod, "status", "podIP", default="127.0.0.1")
        return Probes(spec, self.url, self._number, address, self._starter.settling)

    def _wait(self, why: NotStarted) -> None:
        self.state = {"waiting": {"reason": why.reason, "message": why.message}}
        self._since = time.monotonic()
        if why.reason == "CreateContainerConfigError":
            self._not_before = self._since + CONFIG_RETRY
        else:
            self._not_before = self._since + self._patience.after(self._failures)
            self._failures += 1
        if why.reason == NOT_PULLED:
            text = f'Failed to pull image "{self.spec["image"]}": {why.message}'
            self.tell("Warning", "Failed", text)
            self.tell("Warning", "Failed", f"Error: {NOT_PULLED}")
        else:
            text = why.message if why.event != "Failed" else f"Error: {why.message}"
            self.tell("Warning", why.event, text)

    def _show_back_off(self) -> None:
        """A while after a failed pull the kubelet tells that it waits before it tries again."""
        text = f'Back-off pulling image "{self.spec["image"]}"'
        message = f"{text}: {NOT_PULLED}: {self.state['waiting']['message']}"
        self.state = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
        self.tell("Normal", "BackOff", text)
        self.tell("Warning", "Failed", "Error: ImagePullBackOff")

    def _end(self, instance: Instance, status: int) -> None:
        """It is started again, the first time at once, then ever later."""
        code = status if status >= 0 else 128 - status
        reason = "Completed" if code == 0 else "Error"
        ended = {
            "exitCode": code,
            "reason": "OOMKilled" if code == 137 and _killed_for_memory(instance) else reason,
            "startedAt": self._started_at,
            "finishedAt": timestamp(),
            "containerID": self.container_id,
        }
        instance.stop(0)
        self.instance, self._probes = None, self._new_probes({})
        self._ended = self.state = {"terminated": ended}
        now = time.monotonic()
        policy = self._pod["spec"].get("restartPolicy", "Always")
        if policy == "Never" or (policy == "OnFailure" and code == 0):
            self._not_before = math.inf
            return
        if now - self._since > self._patience.longest * 2:
            self._failures = 0  # it ran well for long
        pause = self._patience.after(self._failures - 1) if self._failures else 0.0
        self._failures += 1
        self._not_before = now + pause
        if pause:
            self._show_crash_loop(pause)

    def _show_crash_loop(self, pause: float) -> None:
        metadata = self._pod["metadata"]
        place = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        message = f"back-off {duration(pause)} restarting failed container={self.name} pod={place}"
        self.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        self.last = self._ended
        text = f"Back-off restarting failed container {self.name} in pod {place}"
        self.tell("Warning", "BackOff", text)

    def stop(self, grace: float) -> None:
        if self.instance is not None:
            self.instance.stop(grace)

    # --- what is told of it

    @property
    def previous(self) -> int | None:
        """The number of the start that ended last, of those that the status calls its last."""
        if not self.last:
            return None
        return self.restarts if "waiting" in self.state else self.restarts - 1

    @property
    def container_id(self) -> str:
        name = self.log_name(self.restarts)
        return f"containerd://{hashlib.sha256(name.encode()).hexdigest()}"

    @property
    def status(self) -> Json:
        """Its part of the pod's status."""
        found: Json = {
            "name": self.name,
            "state": self.state,
            "lastState": self.last,
            "ready": self.ready,
            "restartCount": self.restarts,
            "image": self.spec["image"],
            "imageID": self._image_id,
            "started": self.started,
        }
        if self.running or self._ended:
            found["containerID"] = self.container_id
        return found


def _killed_for_memory(instance: Instance) -> bool:
    return any(line.text.startswith("Memory limit of") for line in instance.logs(5))
