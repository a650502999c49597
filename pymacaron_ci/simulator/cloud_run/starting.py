"""Starts an instance of a revision, and says in Cloud Run's words why it could not be."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pymacaron_ci.simulator.cloud_run.records import Revision
from pymacaron_ci.simulator.cloud_run.rules import parse_cpu, parse_memory
from pymacaron_ci.simulator.instances import (
    ImageNotFound,
    Instance,
    InstanceError,
    Limits,
    Runner,
    listens,
    wait_until_listening,
)
from pymacaron_ci.waiting import Clock

# a proxy of the environment is for the world outside
LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))
LOGS = "https://console.cloud.google.com/logs/viewer"
NO_PORT = (
    "The user-provided container failed to start and listen on the port defined provided by the "
    "PORT={port} "
    "environment variable within the allocated timeout. This can happen when the container port "
    "is misconfigured or "
    "if the timeout is too short. The health check timeout can be extended. Logs for this "
    "revision might contain "
    "more information.\n\nLogs URL: "
    "{logs}?project={project}&resource=cloud_run_revision/service_name/{service}/"
    "revision_name/{id}\nFor more troubleshooting guidance, see "
    "https://cloud.google.com/run/docs/troubleshooting#container-failed-to-start"
)
PROBE_FAILED = (
    "The user-provided container failed the configured startup probe checks. Logs for this "
    "revision might contain "
    "more information."
)


class Closing(Exception):
    """The simulator ends: nothing is started any more."""


@dataclass(frozen=True)
class Failed:
    """`reason` is one of the API's reasons of a condition."""

    reason: str
    message: str


# project, runtime account, secret, version → value; raises LookupError with the platform's text
Secrets = Callable[[str, str, str, str], str]


class Starter:
    """`patience`: seconds that a container may take to listen, whatever its probe says."""

    def __init__(self, runner: Runner, secrets: Secrets, clock: Clock, patience: float) -> None:
        self._runner, self._secrets = runner, secrets
        self._clock, self._patience = clock, patience
        self._closing = threading.Event()
        # an engine's port proxy takes a while to find out that nobody listens behind it
        self._settling = 0.7 if runner.kind == "container" else 0.1

    def close(self) -> None:
        self._closing.set()

    def start(self, revision: Revision) -> Instance | Failed:
        """Starts an instance and waits until it listens, as the startup probe says."""
        container = revision.template["containers"][0]
        port = container["ports"][0]["containerPort"]
        try:
            environment = self._environment(revision, container, port)
        except LookupError as error:
            return Failed("SECRETS_ACCESS_CHECK_FAILED", str(error.args[0]))
        limits = container["resources"]["limits"]
        try:
            instance = self._runner.start(
                container["image"],
                environment,
                name=revision.instance_name,
                limits=Limits(
                    port=port, memory=parse_memory(limits["memory"]), cpu=parse_cpu(limits["cpu"])
                ),
                command=(*container.get("command", ()), *container.get("args", ())),
            )
        except ImageNotFound:
            return Failed("CONTAINER_MISSING", f"Image '{container['image']}' not found.")
        except InstanceError as error:
            return Failed("CONTAINER_MISSING", f"Container import failed: {error}")
        if self._proved(instance, container):
            return instance
        instance.stop(0)
        probe = container.get("startupProbe") or {}
        if "httpGet" in probe:
            return Failed("HEALTH_CHECK_CONTAINER_ERROR", PROBE_FAILED)
        text = NO_PORT.format(
            port=port,
            logs=LOGS,
            project=revision.service.split("/")[1],
            service=revision.service.rsplit("/", 1)[-1],
            id=revision.id,
        )
        return Failed("HEALTH_CHECK_CONTAINER_ERROR", text)

    def _proved(self, instance: Instance, container: Mapping[str, Any]) -> bool:
        probe = container.get("startupProbe") or {}
        path = (probe.get("httpGet") or {}).get("path", "/") if "httpGet" in probe else None
        patience = probe.get("failureThreshold", 3) * probe.get("periodSeconds", 10)
        timeout = min(probe.get("initialDelaySeconds", 0) + patience, self._patience)

        def passes(url: str) -> bool:
            if self._closing.is_set():
                instance.stop(0)
                raise Closing
            return listens(url, self._settling) if path is None else _answers(url + path)

        return wait_until_listening(instance, timeout=timeout, clock=self._clock, probe=passes)

    def _environment(
        self, revision: Revision, container: Mapping[str, Any], port: int
    ) -> dict[str, str]:
        _, project, _, _, _, service = revision.service.split("/")
        values = {
            "PORT": str(port),
            "K_SERVICE": service,
            "K_REVISION": revision.id,
            "K_CONFIGURATION": service,
        }
        for variable in container.get("env") or ():
            reference = (variable.get("valueSource") or {}).get("secretKeyRef")
            if reference is None:
                values[variable["name"]] = variable.get("value", "")
            else:
                account = revision.template["serviceAccount"]
                values[variable["name"]] = self._secrets(
                    project, account, reference["secret"], reference.get("version", "latest")
                )
        return values


def _answers(url: str) -> bool:
    try:
        with LOOPBACK.open(url, timeout=1) as answer:
            return bool(200 <= answer.status < 400)
    except (OSError, ValueError):
        return False
