"""Long-running operations: read, listed, waited for."""

from __future__ import annotations

from collections.abc import Iterable

from pymacaron_ci.simulator.cloud_run.access import PLACE, Access, page, paged
from pymacaron_ci.simulator.cloud_run.records import Json, Operation
from pymacaron_ci.simulator.cloud_run.views import show_operation
from pymacaron_ci.simulator.google.api import Call, Route
from pymacaron_ci.simulator.google.errors import ApiError

LONGEST_WAIT = 60.0  # seconds


class Operations:
    def __init__(self, access: Access) -> None:
        self._access, self._records = access, access.records

    def routes(self) -> Iterable[Route]:
        yield Route("GET", PLACE + "/operations", self._list)
        yield Route("GET", PLACE + "/operations/{operation}", self._get)
        yield Route("POST", PLACE + "/operations/{operation}:wait", self._wait)

    def _find(self, call: Call) -> Operation:
        name = "projects/{project}/locations/{location}/operations/{operation}".format(**call.names)
        operation = self._records.operations.get(name)
        if operation is None:
            raise ApiError("NOT_FOUND", f"Operation '{name}' not found.")
        return operation

    def _shown(self, operation: Operation) -> Json:
        return show_operation(operation, self._records.services.get(operation.service))

    def _list(self, call: Call) -> Json:
        self._access.allowed(call, "operations.list")
        place = "projects/{project}/locations/{location}/operations/".format(**call.names)
        with self._records.lock:
            found = [o for o in self._records.operations.values() if o.name.startswith(place)]
            operations, token = paged(found, call)
            return page({"operations": [self._shown(o) for o in operations]}, token)

    def _get(self, call: Call) -> Json:
        self._access.allowed(call, "operations.get")
        with self._records.lock:
            return self._shown(self._find(call))

    def _wait(self, call: Call) -> Json:
        self._access.allowed(call, "operations.get")
        seconds = min(float(str(call.body.get("timeout", "30s")).rstrip("s")), LONGEST_WAIT)
        with self._records.lock:
            operation = self._find(call)
            self._records.changed.wait_for(lambda: operation.done, seconds)
            return self._shown(operation)
