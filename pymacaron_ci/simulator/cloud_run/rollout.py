"""Makes true what services declare: starts revisions, routes traffic, finishes operations. In
threads of its own.
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pymacaron_ci.simulator.cloud_run.front import Backend, Front, NoInstance, Rules
from pymacaron_ci.simulator.cloud_run.invokers import Invokers
from pymacaron_ci.simulator.cloud_run.pool import Pool
from pymacaron_ci.simulator.cloud_run.records import (
    Json,
    Operation,
    Records,
    Revision,
    Service,
    timestamp,
)
from pymacaron_ci.simulator.cloud_run.rules import parse_cpu, parse_memory
from pymacaron_ci.simulator.cloud_run.schema import LATEST
from pymacaron_ci.simulator.cloud_run.views import FAILED, SUCCEEDED, condition, show_service
from pymacaron_ci.simulator.google.errors import CODES
from pymacaron_ci.simulator.images import Images
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

LOGS = "https://console.cloud.google.com/logs/viewer"
NOT_READY = "Revision '{id}' is not ready and cannot serve traffic. {why}"
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
GONE = (
    "Revision '{id}' does not exist or is deleted. Update all traffic to route to currently "
    "available revisions."
)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """In seconds: what an operation takes besides its real work, and the longest a container may
    take to listen.
    """

    latency: float = 0.2
    startup: float = 60.0


Secrets = Callable[[str, str, str, str], str]


class Rollouts:
    """`secrets(project, account, secret, version)` gives a value, or raises LookupError with the
    platform's text.
    """

    def __init__(
        self,
        records: Records,
        runner: Runner,
        images: Images,
        *,
        invokers: Invokers,
        secrets: Secrets,
        clock: Clock,
        timing: Timing,
    ) -> None:
        self.records = records
        self._runner, self._images = runner, images
        self._invokers, self._secrets = invokers, secrets
        self._clock, self._timing = clock, timing
        self._pool = Pool(self._cold_start)
        self._fronts: dict[tuple[str, str], Front] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._workers = ThreadPoolExecutor(16, "rollout")

    def resume(self) -> None:
        """After a restart: the ports again, the serving revisions again, and what was under way is
        finished.
        """
        with self.records.lock:
            for service in self.records.services.values():
                self.open(service)
                self._apply(service)
            pending = [o for o in self.records.operations.values() if not o.done]
            wanted = self._wanted()
        for revision in wanted:
            self._workers.submit(self._warm, revision)
        for operation in pending:
            self.submit(operation)

    def _warm(self, revision: str) -> None:
        try:
            self._pool.acquire(revision)[1]()
        except NoInstance:
            return  # the next request will try again, and tell

    def close(self) -> None:
        self._workers.shutdown(cancel_futures=True)
        for front in self._fronts.values():
            front.stop()
        self._pool.close()

    # URLs

    def open(self, service: Service) -> None:
        """Opens the ports of a service and its tags, the former ones where they are free, and
        closes those of former tags. The records' lock is held.
        """
        front = self._front(service, "", service.port)
        service.port = front.port
        wanted = {target["tag"] for target in service.serving if target.get("tag")}
        for tag in wanted:
            service.tag_ports[tag] = self._front(service, tag, service.tag_ports.get(tag, 0)).port
        for name, tag in list(self._fronts):
            if name == service.name and tag and tag not in wanted:
                self._fronts.pop((name, tag)).stop()

    def _front(self, service: Service, tag: str, port: int) -> Front:
        key = (service.name, tag)
        if key not in self._fronts:
            self._fronts[key] = Front(port, self._pool.acquire)
        return self._fronts[key]

    def remove(self, service: Service) -> None:
        """The records' lock is held."""
        for key in [key for key in self._fronts if key[0] == service.name]:
            self._fronts.pop(key).stop()
        for revision in self.records.revisions_of(service.name):
            del self.records.revisions[revision.name]
        del self.records.services[service.name]
        self._pool.want(self._wanted())

    def refresh(self, service: Service) -> None:
        """Who may call a service has changed. The records' lock is held."""
        self._apply(service)

    def _apply(self, service: Service) -> None:
        admit = self._invokers.gate(service)
        by_revision: dict[str, int] = {}
        for target in service.serving:
            name = f"{service.name}/revisions/{target['revision']}"
            by_revision[name] = by_revision.get(name, 0) + target.get("percent", 0)
            if target.get("tag"):
                backends = (self._backend(name, 1),)
                self._fronts[service.name, target["tag"]].set(Rules(backends=backends, admit=admit))
        shares = tuple(self._backend(name, weight) for name, weight in by_revision.items())
        self._fronts[service.name, ""].set(Rules(backends=shares, admit=admit))
        self._pool.want(self._wanted())

    def _backend(self, name: str, weight: int) -> Backend:
        revision = self.records.revisions.get(name)
        timeout = revision.template.get("timeout", "300s") if revision else "300s"
        return Backend(revision=name, weight=weight, timeout=float(timeout.rstrip("s")))

    def _wanted(self) -> set[str]:
        return {
            f"{service.name}/revisions/{target['revision']}"
            for service in self.records.services.values()
            for target in service.serving
        }

    # instances

    def instances(self, service: Service) -> int:
        return sum(self._pool.has(r.name) for r in self.records.revisions_of(service.name))

    def _cold_start(self, name: str) -> Instance:
        revision = self.records.revisions.get(name)
        if revision is None:
            raise NoInstance(f"{name} was deleted")
        failure = self._start(revision)
        if isinstance(failure, _Failure):
            raise NoInstance(failure.message)
        return failure

    def _start(self, revision: Revision) -> Instance | _Failure:
        """Starts an instance and waits until it listens, as the startup probe says."""
        container = revision.template["containers"][0]
        port = container["ports"][0]["containerPort"]
        try:
            environment = self._environment(revision, container, port)
        except LookupError as error:
            return _Failure("SECRETS_ACCESS_CHECK_FAILED", str(error.args[0]))
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
            return _Failure("CONTAINER_MISSING", f"Image '{container['image']}' not found.")
        except InstanceError as error:
            return _Failure("CONTAINER_MISSING", f"Container import failed: {error}")
        if self._proved(instance, container):
            return instance
        instance.stop(0)
        probe = container.get("startupProbe") or {}
        if "httpGet" in probe:
            return _Failure("HEALTH_CHECK_CONTAINER_ERROR", PROBE_FAILED)
        text = NO_PORT.format(
            port=port,
            logs=LOGS,
            project=revision.service.split("/")[1],
            service=revision.service.rsplit("/", 1)[-1],
            id=revision.id,
        )
        return _Failure("HEALTH_CHECK_CONTAINER_ERROR", text)

    def _proved(self, instance: Instance, container: Mapping[str, Any]) -> bool:
        probe = container.get("startupProbe") or {}
        path = (probe.get("httpGet") or {}).get("path", "/") if "httpGet" in probe else None
        patience = probe.get("failureThreshold", 3) * probe.get("periodSeconds", 10)
        timeout = min(probe.get("initialDelaySeconds", 0) + patience, self._timing.startup)
        check = listens if path is None else lambda url: _answers(url + path)
        return wait_until_listening(instance, timeout=timeout, clock=self._clock, probe=check)

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

    # operations

    def submit(self, operation: Operation) -> None:
        self._workers.submit(self._work, operation)

    def _work(self, operation: Operation) -> None:
        with self.records.lock:
            turn = self._turns.setdefault(operation.service, threading.Lock())
        with turn:
            self._clock.sleep(self._timing.latency)
            try:
                failure = self._reconcile(operation)
            except Exception as error:
                with self.records.lock:
                    operation.done = True
                    operation.error = {"code": CODES["INTERNAL"][1], "message": repr(error)}
                    self.records.save()
                raise
            with self.records.lock:
                service = self.records.services.get(operation.service)
                operation.done = True
                operation.error = failure
                if service is not None and failure is None:
                    operation.response = show_service(service)
                self.records.save()

    def _reconcile(self, operation: Operation) -> Json | None:
        """Brings a service to what it declares now. Gives the operation's error, if any."""
        with self.records.lock:
            service = self.records.services.get(operation.service)
            if operation.kind == "delete" or service is None:
                if service is not None:
                    operation.response = show_service(service)
                    self.remove(service)
                return None
            generation = service.generation
            newest = self.records.revisions.get(
                f"{service.name}/revisions/{service.latest_created}"
            )
        if newest is not None and newest.ready is None:
            self._prove(newest)
        with self.records.lock:
            if self.records.services.get(operation.service) is not service:
                return None
            failure = self._route(service, newest)
            service.observed = generation
            service.reconciling = service.generation > generation
            service.updated = timestamp()
            service.touch()
        if failure is None:
            return None
        return {"code": CODES["FAILED_PRECONDITION"][1], "message": failure}

    def _prove(self, revision: Revision) -> None:
        try:
            revision.digest = self._images.find(revision.template["containers"][0]["image"]).digest
        except InstanceError:
            revision.digest = ""  # starting it will say why
        started = self._start(revision)
        with self.records.lock:
            revision.updated = timestamp()
            if isinstance(started, _Failure):
                revision.ready, revision.reason = False, started.reason
                revision.message = started.message
            else:
                revision.ready = True
                self._pool.put(revision.name, started)

    def _route(self, service: Service, newest: Revision | None) -> str | None:
        """Puts the declared traffic into effect, if all of it can be. Gives what is wrong."""
        failed = newest is not None and newest.ready is False
        if newest is not None and newest.ready:
            service.latest_ready = newest.id
        why = NOT_READY.format(id=newest.id, why=newest.message) if failed and newest else None
        targets, route_problem = self._targets(service)
        routed = route_problem is None
        if routed:
            service.serving = targets
            self.open(service)
        self._apply(service)
        message = why or route_problem
        ready = message is None
        configurations = condition(
            "ConfigurationsReady",
            FAILED if failed else SUCCEEDED,
            newest.reason if failed and newest else "",
            why or "",
        )
        routes = condition(
            "RoutesReady",
            SUCCEEDED if routed else FAILED,
            "" if routed else "REVISION_FAILED",
            route_problem or "",
        )
        service.conditions = [routes, configurations]
        service.terminal = condition(
            "Ready",
            SUCCEEDED if ready else FAILED,
            "" if ready else "REVISION_FAILED",
            message or "",
        )
        return message

    def _targets(self, service: Service) -> tuple[list[Json], str | None]:
        """The declared targets with LATEST replaced by a revision that is ready."""
        targets = []
        for target in service.spec["traffic"]:
            latest = target["type"] == LATEST
            name = service.latest_ready if latest else target["revision"]
            revision = self.records.revisions.get(f"{service.name}/revisions/{name}")
            if latest and not name:
                return (
                    [],
                    f"Revision '{service.latest_created}' is not ready and cannot serve traffic.",
                )
            if revision is None:
                return [], GONE.format(id=name)
            if not revision.ready:
                return [], NOT_READY.format(id=name, why=revision.message)
            targets.append({**target, "revision": name})
        return targets, None


@dataclass(frozen=True)
class _Failure:
    reason: str
    message: str


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - a loopback URL
            return bool(200 <= answer.status < 400)
    except (OSError, ValueError):
        return False
