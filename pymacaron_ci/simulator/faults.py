"""Faults that tests order: this call fails in that way, before or after the server acted."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from pymacaron_ci.simulator.web import Request, Reset, Response

Kind = Literal["401", "403", "404", "409", "429", "500", "503", "reset", "slow", "truncated"]
STATUSES: dict[str, tuple[str, str]] = {
    "401": ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    "403": ("PERMISSION_DENIED", "The caller does not have permission"),
    "404": ("NOT_FOUND", "Requested entity was not found."),
    "409": ("ABORTED", "There was a conflict; the operation was aborted."),
    "429": ("RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Write requests'"),
    "500": ("INTERNAL", "Internal error encountered."),
    "503": ("UNAVAILABLE", "The service is currently unavailable."),
}


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Meets the `at`th call from now on, and `times` - 1 more. `acted`: the server does what it was
    asked to, and then fails.
    """

    at: int = 1
    times: int = 1
    acted: bool = False


@dataclass(frozen=True, kw_only=True)
class Fault(Counted):
    """Only calls count that `method` and `path` (a regular expression) match."""

    kind: Kind
    method: str = ""
    path: str = ""
    retry_after: float = 1.0
    seconds: float = 1.0


F = TypeVar("F", bound=Counted)


class Faults:
    """The faults in store, used up call by call. `sleep` and `error` are the server's own."""

    def __init__(
        self, error: Callable[[str, Fault], Response], sleep: Callable[[float], None]
    ) -> None:
        self._error, self._sleep = error, sleep
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    @property
    def left(self) -> tuple[Fault, ...]:
        with self._lock:
            return tuple(self._faults)

    def serve(
        self,
        request: Request,
        handle: Callable[[Request], Response],
        error: Callable[[str, Fault], Response] | None = None,
    ) -> Response:
        """`error`: for a path whose API writes errors in another form than the server's own."""
        fault = self._next(request)
        if fault is None:
            return handle(request)
        if fault.kind == "slow":
            self._sleep(fault.seconds)
            return handle(request)
        if fault.kind == "truncated":
            return replace(handle(request), cut=True)
        if fault.acted:
            handle(request)
        if fault.kind == "reset":
            raise Reset
        return (error or self._error)(fault.kind, fault)

    def _next(self, request: Request) -> Fault | None:
        with self._lock:
            return due(
                self._faults,
                lambda fault: (
                    fault.method in ("", request.method)
                    and bool(re.search(fault.path, request.path))
                ),
            )


def due(faults: list[F], meets: Callable[[F], bool]) -> F | None:
    """The fault whose turn it is at this call; it is used up."""
    for index, fault in enumerate(faults):
        if not meets(fault):
            continue
        if fault.at > 1:
            faults[index] = replace(fault, at=fault.at - 1)
            continue
        if fault.times > 1:
            faults[index] = replace(fault, times=fault.times - 1)
        else:
            del faults[index]
        return fault
    return None
