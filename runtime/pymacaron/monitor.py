"""`with monitor(...)`: times a section with whatever is set up; costs nothing without."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol

from flask import Flask

log = logging.getLogger(__name__)


class Backend(Protocol):
    """A monitoring system that sections, requests and exceptions are told to."""

    def section(self, kind: str, method: str) -> Any:
        """A context manager around a section."""

    def request(self, method: str, route: str, status: int, seconds: float) -> None: ...

    def exception(self, code: str) -> None: ...


class Backends:
    """The backends in use. One that fails is told of once and left out of that event only."""

    def __init__(self) -> None:
        self.active: list[Backend] = []

    def each(self, tell: Callable[[Backend], object]) -> None:
        for backend in self.active:
            try:
                tell(backend)
            except Exception:  # noqa: BLE001  (monitoring must never fail what it looks at)
                _complain(backend)


backends = Backends()


class monitor:
    """Times a section.

    >>> with monitor(kind="HTTP", method="Authentication"):
    ...     ...
    """

    __slots__ = ("_kind", "_method", "_stack")

    def __init__(self, kind: str = "Unknown", method: str = "Unknown") -> None:
        self._kind, self._method = kind, method
        self._stack: list[tuple[Backend, Any]] = []

    def __enter__(self) -> monitor:
        for backend in backends.active:
            try:
                section = backend.section(self._kind, self._method)
                section.__enter__()
            except Exception:  # noqa: BLE001  (the section itself must run)
                _complain(backend)
            else:
                self._stack.append((backend, section))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._stack:
            backend, section = self._stack.pop()
            try:
                section.__exit__(kind, value, trace)
            except Exception:  # noqa: BLE001  (the section itself is done)
                _complain(backend)


def observe(method: str, route: str, status: int, seconds: float) -> None:
    """Tells the backends of a request."""
    if backends.active:
        backends.each(lambda backend: backend.request(method, route, status, seconds))


def count_exception(code: str) -> None:
    """Tells the backends of an error answer of 500 or more."""
    if backends.active:
        backends.each(lambda backend: backend.exception(code))


def monitor_init(app: Flask | None = None, config: Any = None, celery: bool = False) -> None:
    """Starts the backends that the configuration asks for."""


def _complain(backend: Backend) -> None:
    with suppress(Exception):  # nowhere left to tell
        log.warning("monitoring with %s failed", type(backend).__name__, exc_info=True)
