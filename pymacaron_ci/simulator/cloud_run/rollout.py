"""Makes true what services declare: proves revisions, routes traffic, finishes operations."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pymacaron_ci.simulator.cloud_run.front import NoInstance
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
from pymacaron_ci.simulator.cloud_run.schema import LATEST
from pymacaron_ci.simulator.cloud_run.starting import Closing, Failed, Secrets, Starter
from pymacaron_ci.simulator.cloud_run.urls import Urls
from pymacaron_ci.simulator.cloud_run.views import FAILED, SUCCEEDED, condition, show_service
from pymacaron_ci.simulator.google.errors import CODES
from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import Instance, InstanceError, Runner
from pymacaron_ci.waiting import Clock

NOT_READY = "Revision '{id}' is not ready and cannot serve traffic. {why}"
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


class Rollouts:
    """`records` and `urls` are what the API's methods read and, under the lock, change."""

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
        self._images = images
        self._clock, self._latency = clock, timing.latency
        self._starter = Starter(runner, secrets, clock, timing.startup)
        self._pool = Pool(self._cold_start)
        self.urls = Urls(records, self._pool, invokers)
        self._turns: dict[str, threading.Lock] = {}
        self._workers = ThreadPoolExecutor(16, "rollout")

    def resume(self) -> None:
        """After a restart: the ports again, the serving revisions again, and what was under way is
        finished.
        """
        with self.records.lock:
            for service in self.records.services.values():
                self.urls.open(service)
                self._serve(service)
                for revision in service.served:
                    self._workers.submit(self._warm, revision)
            pending = [o for o in self.records.operations.values() if not o.done]
        for operation in pending:
            self.submit(operation)

    def _warm(self, revision: str) -> None:
        try:
            self._pool.acquire(revision)[1]()
        except NoInstance:
            return  # the next request will try again, and tell

    def _serve(self, service: Service) -> None:
        self.urls.apply(service)
        self._pool.want(service.name, service.served)

    def close(self) -> None:
        """What is under way stays so, for the next simulator to finish."""
        self._starter.close()
        self._workers.shutdown(cancel_futures=True)
        self.urls.close_all()
        self._pool.close()

    def remove(self, service: Service) -> None:
        """The records' lock is held."""
        for revision in self.records.revisions_of(service.name):
            del self.records.revisions[revision.name]
        del self.records.services[service.name]
        self.urls.close(service)
        self._pool.want(service.name, set())

    def instances(self, service: Service) -> int:
        """How many run."""
        return sum(self._pool.has(r.name) for r in self.records.revisions_of(service.name))

    def _cold_start(self, name: str) -> Instance:
        revision = self.records.revisions.get(name)
        if revision is None:
            raise NoInstance(f"{name} was deleted")
        try:
            started = self._starter.start(revision)
        except Closing as error:
            raise NoInstance("the simulator ends") from error
        if isinstance(started, Failed):
            raise NoInstance(started.message)
        return started

    def submit(self, operation: Operation) -> None:
        self._workers.submit(self._work, operation)

    def _work(self, operation: Operation) -> None:
        with self.records.lock:
            turn = self._turns.setdefault(operation.service, threading.Lock())
        with turn:
            self._clock.sleep(self._latency)
            try:
                failure = self._reconcile(operation)
            except Closing:
                return
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
        started = self._starter.start(revision)
        with self.records.lock:
            revision.updated = timestamp()
            if isinstance(started, Failed):
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
            self.urls.open(service)
        self._serve(service)
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
