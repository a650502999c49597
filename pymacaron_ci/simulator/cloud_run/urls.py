"""The URLs of services and tags: which ports are open, and which revisions are behind each."""

from __future__ import annotations

from pymacaron_ci.simulator.cloud_run.front import Backend, Front, Rules
from pymacaron_ci.simulator.cloud_run.invokers import Invokers
from pymacaron_ci.simulator.cloud_run.pool import Pool
from pymacaron_ci.simulator.cloud_run.records import Records, Service
from pymacaron_ci.simulator.cloud_run.request_log import RequestLog


class Urls:
    """Fronts for all services, which take their instances from the pool."""

    def __init__(self, records: Records, pool: Pool, invokers: Invokers) -> None:
        self._records, self._pool, self._invokers = records, pool, invokers
        self.requests = RequestLog()
        self._fronts: dict[tuple[str, str], Front] = {}

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
            self._fronts[key] = Front(port, self._pool.acquire, self.requests)
        return self._fronts[key]

    def close(self, service: Service) -> None:
        """The records' lock is held."""
        for key in [key for key in self._fronts if key[0] == service.name]:
            self._fronts.pop(key).stop()

    def close_all(self) -> None:
        for front in self._fronts.values():
            front.stop()

    def apply(self, service: Service) -> None:
        """Puts a service's traffic and policy into effect. The records' lock is held."""
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

    def _backend(self, name: str, weight: int) -> Backend:
        revision = self._records.revisions.get(name)
        timeout = revision.template.get("timeout", "300s") if revision else "300s"
        return Backend(revision=name, weight=weight, timeout=float(timeout.rstrip("s")))
