"""One container of a pod: started, probed, started again, told about in the kubelet's words."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pymacaron_ci.simulator.instances import (
    ImageNotFound,
    Instance,
    InstanceError,
    Limits,
    Runner,
)
from pymacaron_ci.simulator.kubernetes.control.endpoints import pod_port
from pymacaron_ci.simulator.kubernetes.nodes.environment import (
    ConfigError,
    environment,
    expanded,
)
from pymacaron_ci.simulator.kubernetes.nodes.probes import Probe
from pymacaron_ci.simulator.kubernetes.objects import Json, at, quantity, timestamp
from pymacaron_ci.simulator.kubernetes.store import Store

IMAGE = re.compile(
    r"([\w.-]+(:\d+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:\w[\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
KINDS = ("startup", "liveness", "readiness")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """In seconds: the first back-off after a failed start, the longest, and between two looks."""

    backoff: float = 10.0
    longest: float = 300.0
    look: float = 0.1


class Tell(Protocol):
    """Records an event about the container."""

    def __call__(self, kind: str, reason: str, message: str) -> None: ...


def duration(seconds: float) -> str:
    """As Go writes it: 10s, 1m20s."""
    whole = max(1, math.ceil(seconds))
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


class Container:
    """`look` is called again and again by its pod's own thread."""

    def __init__(
        self,
        *,
        store: Store,
        runner: Runner,
        patience: Patience,
        pod: Json,
        spec: Json,
        tell: Tell,
        restarts: int = 0,
    ) -> None:
        self._store, self._runner, self._patience = store, runner, patience
        self._pod, self.spec, self.tell = pod, spec, tell
        self.restarts = restarts
        self.instance: Instance | None = None
        self.state: Json = {"waiting": {"reason": "ContainerCreating"}}
        self._last: Json = {}
        self._failures = 0
        self._not_before = 0.0
        self._since = 0.0
        self._started_at = ""
        self._probes: dict[str, Probe] = {}
        self._waits: tuple[str, str] | None = None
        self._settling = 0.7 if runner.kind == "container" else 0.1

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
        return self.running and ("startup" not in self._probes or self._passed("startup"))

    @property
    def ready(self) -> bool:
        return self.started and ("readiness" not in self._probes or self._passed("readiness"))

    def _passed(self, kind: str) -> bool:
        return self._probes[kind].passed is True

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
        number = pod_port(self._pod, port)
        return instance.url if instance is not None and number == self.port else None

    # --- life

    def look(self) -> None:
        now = time.monotonic()
        if self.instance is None:
            if self._waits and now >= self._since + 0.5:
                self._show_back_off(*self._waits)
            if now >= self._not_before:
                self._start()
            return
        status = self.instance.exit_status()
        if status is not None:
            self._ended(status, "OOMKilled" if status == 137 and self._killed_for_memory() else "")
            return
        self._probe(now)

    def _start(self) -> None:
        image = str(self.spec["image"])
        if not IMAGE.fullmatch(image):
            self._wait(
                "InvalidImageName",
                f'Failed to apply default image tag "{image}": couldn\'t parse image name '
                f'"{image}": invalid reference format',
            )
            self.tell("Warning", "InspectFailed", self.state["waiting"]["message"])
            return
        try:
            values = environment(self._store, self._pod, self.spec)
        except ConfigError as error:
            self._wait("CreateContainerConfigError", str(error), pause=1.0)
            self.tell("Warning", "Failed", f"Error: {error}")
            return
        self.tell("Normal", "Pulling", f'Pulling image "{image}"')
        limits = at(self.spec, "resources", "limits", default={})
        command = (*(self.spec.get("command") or ()), *(self.spec.get("args") or ()))
        begun = time.monotonic()
        try:
            instance = self._runner.start(
                image,
                values,
                name=self.log_name(self.restarts),
                limits=Limits(
                    port=self.port,
                    memory=int(quantity(limits["memory"])) if "memory" in limits else None,
                    cpu=float(quantity(limits["cpu"])) if "cpu" in limits else None,
                ),
                command=tuple(expanded(word, values) for word in command),
            )
        except ImageNotFound:
            self._not_pulled(image)
        except InstanceError as error:
            self._wait("CreateContainerError", str(error))
            self.tell("Warning", "Failed", f"Error: {error}")
        else:
            took = time.monotonic() - begun
            self._begun(instance, image, took)

    def _begun(self, instance: Instance, image: str, took: float) -> None:
        text = f'Successfully pulled image "{image}" in {took * 1000:.0f}ms'
        self.tell("Normal", "Pulled", f"{text} ({took * 1000:.0f}ms including waiting).")
        self.tell("Normal", "Created", f"Created container: {self.name}")
        self.tell("Normal", "Started", f"Started container {self.name}")
        self._waits = None
        self._started_at = timestamp()
        self._since = time.monotonic()
        self.state = {"running": {"startedAt": self._started_at}}
        address = at(self._pod, "status", "podIP", default="127.0.0.1")
        self._probes = {
            kind: Probe(
                kind, self.spec[f"{kind}Probe"], self.url, self._number, address, self._settling
            )
            for kind in KINDS
            if self.spec.get(f"{kind}Probe")
        }
        self.instance = instance

    def _wait(self, reason: str, message: str, pause: float | None = None) -> None:
        self.state = {"waiting": {"reason": reason, "message": message}}
        now = time.monotonic()
        if pause is None:
            pause = self._back_off()
            self._failures += 1
        self._since, self._not_before = now, now + pause

    def _back_off(self) -> float:
        return min(self._patience.backoff * 2.0**self._failures, self._patience.longest)

    def _not_pulled(self, image: str) -> None:
        why = (
            f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
            f"{image}: not found"
        )
        text = f"rpc error: code = NotFound desc = {why}"
        self._wait("ErrImagePull", text)
        self.tell("Warning", "Failed", f'Failed to pull image "{image}": {text}')
        self.tell("Warning", "Failed", "Error: ErrImagePull")
        self._waits = ("ImagePullBackOff", f'Back-off pulling image "{image}"')

    def _show_back_off(self, reason: str, message: str) -> None:
        """A while after a failed pull the kubelet tells that it waits before it tries again."""
        self._waits = None
        before = at(self.state, "waiting", "message", default="")
        self.state = {
            "waiting": {"reason": reason, "message": f"{message}: ErrImagePull: {before}"}
        }
        self.tell("Normal", "BackOff", message)
        self.tell("Warning", "Failed", f"Error: {reason}")

    def _killed_for_memory(self) -> bool:
        lines = self.instance.logs(5) if self.instance else ()
        return any(line.text.startswith("Memory limit of") for line in lines)

    def _ended(self, status: int, reason: str = "") -> None:
        """Its instance has ended: it is started again, the first time at once, then ever later."""
        assert self.instance is not None  # noqa: S101 - only called with one
        code = status if status >= 0 else 128 - status
        ended = {
            "exitCode": code,
            "reason": reason or ("Completed" if code == 0 else "Error"),
            "startedAt": self._started_at,
            "finishedAt": timestamp(),
            "containerID": self.container_id,
        }
        self.instance.stop(0)
        self.instance, self._probes = None, {}
        self._last = {"terminated": ended}
        now = time.monotonic()
        policy = self._pod["spec"].get("restartPolicy", "Always")
        if policy == "Never" or (policy == "OnFailure" and code == 0):
            self.state, self._not_before = {"terminated": ended}, math.inf
            return
        if now - self._since > self._patience.longest * 2:
            self._failures = 0  # it ran well for long
        first = self._failures == 0
        pause = (
            0.0
            if first
            else min(self._patience.backoff * 2.0 ** (self._failures - 1), self._patience.longest)
        )
        self._failures += 1
        self.restarts += 1
        self._not_before = now + pause
        if first:
            self.state = {"terminated": ended}
            return
        metadata = self._pod["metadata"]
        place = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        message = f"back-off {duration(pause)} restarting failed container={self.name} pod={place}"
        self.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        text = f"Back-off restarting failed container {self.name} in pod {place}"
        self.tell("Warning", "BackOff", text)

    def _probe(self, now: float) -> None:
        for kind, probe in self._probes.items():
            if kind != "startup" and not self.started:
                continue
            if kind == "startup" and probe.passed:
                continue
            if not probe.due(now):
                continue
            if probe.attempt():
                text = f"{kind.capitalize()} probe failed: {probe.message}"
                self.tell("Warning", "Unhealthy", text)
            if probe.passed is False and kind != "readiness":
                text = f"Container {self.name} failed {kind} probe, will be restarted"
                self.tell("Normal", "Killing", text)
                self.stop(float(self._pod["spec"].get("terminationGracePeriodSeconds", 30)))
                status = self.instance.exit_status() if self.instance else None
                self._ended(status if status is not None else 137)
                return

    def stop(self, grace: float) -> None:
        if self.instance is not None:
            self.instance.stop(grace)

    # --- what is told of it

    @property
    def container_id(self) -> str:
        name = self.log_name(self.restarts)
        return f"containerd://{hashlib.sha256(name.encode()).hexdigest()}"

    def status(self, digest: Callable[[str], str]) -> Json:
        """Its part of the pod's status. `digest` gives an image's full name."""
        found: Json = {
            "name": self.name,
            "state": self.state,
            "lastState": self._last,
            "ready": self.ready,
            "restartCount": self.restarts,
            "image": self.spec["image"],
            "imageID": digest(self.spec["image"]) if self.running else "",
            "started": self.started,
        }
        if self.running:
            found["containerID"] = self.container_id
        return found
