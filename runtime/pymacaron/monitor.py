"""`with monitor(...)`: times a section with whatever is set up; costs nothing without."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol

from flask import Flask

from pymacaron import metrics, tracing
from pymacaron.config import PyMacaronConfig, get_config
from pymacaron.context import RequestInfo
from pymacaron.utils import get_container_version

log = logging.getLogger(__name__)


class Backend(Protocol):
    """A monitoring system that is told of requests, errors and sections."""

    def section(self, kind: str, method: str) -> Any:
        """A context manager around a section."""

    def started(self, info: RequestInfo) -> None:
        """A request came in."""

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """The request being served has its answer."""

    def exception(self, code: str) -> None:
        """The request being served failed with a status of 500 or more."""

    def finished(self, info: RequestInfo) -> None:
        """The answer is on its way."""


class Backends:
    """The backends in use; one that fails is complained of, and the request goes on."""

    def __init__(self) -> None:
        self.active: list[Backend] = []

    def add(self, backend: Backend) -> None:
        if not any(type(backend) is type(other) for other in self.active):
            self.active.append(backend)

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

    __slots__ = ("_kind", "_method", "_open")

    def __init__(self, kind: str = "Unknown", method: str = "Unknown") -> None:
        self._kind, self._method = kind, method
        self._open: list[tuple[Backend, Any]] = []

    def __enter__(self) -> monitor:
        for backend in backends.active:
            try:
                section = backend.section(self._kind, self._method)
                section.__enter__()
            except Exception:  # noqa: BLE001  (the section itself must run)
                _complain(backend)
            else:
                self._open.append((backend, section))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._open:
            backend, section = self._open.pop()
            try:
                section.__exit__(kind, value, trace)
            except Exception as failure:  # noqa: BLE001  (the section itself is done)
                if failure is not value:
                    _complain(backend)


def monitor_init(
    app: Flask | None = None, config: PyMacaronConfig | None = None, celery: bool = False
) -> None:
    """Starts the monitoring that the configuration asks for, in a server or a Celery worker.

    Raises ConfigError when a library it needs is not installed.
    """
    conf = config or get_config()
    if metrics.wanted(conf) and app is not None:
        prometheus = metrics.Prometheus()
        prometheus.serve(app)
        backends.add(prometheus)
    if tracing.wanted(conf, os.environ):
        backends.add(tracing.OpenTelemetry(conf))
    if conf.get("scout_key"):
        _start_scout(conf, app, celery)


class Scout:
    """Sections for Scout APM; requests it sees by itself."""

    def section(self, kind: str, method: str) -> Any:
        import scout_apm.api

        return scout_apm.api.instrument(method, tags={}, kind=kind)

    def started(self, info: RequestInfo) -> None: ...

    def request(self, method: str, route: str, status: int, seconds: float) -> None: ...

    def exception(self, code: str) -> None: ...

    def finished(self, info: RequestInfo) -> None: ...


def _start_scout(conf: PyMacaronConfig, app: Flask | None, celery: bool) -> None:
    env = os.environ.get("PYM_ENV", "dev")
    default = conf.get("app_name_live" if env == "live" else "app_name_dev") or conf.get("name", "")
    name = conf.get("scout_app_name") or default
    try:
        if celery:
            import scout_apm.celery
            from scout_apm.api import Config

            Config.set(
                key=conf.scout_key, name=name, monitor=True, revision_sha=get_container_version()
            )
            scout_apm.celery.install()
        elif app is not None:
            from scout_apm.flask import ScoutApm

            app.config.update(SCOUT_KEY=conf.scout_key, SCOUT_NAME=name, SCOUT_MONITOR=True)
            ScoutApm(app)
    except ImportError:
        log.warning("scout_key is set, but Scout is not installed: pip install scout-apm")
        return
    backends.add(Scout())


def observe(method: str, route: str, status: int, seconds: float) -> None:
    """Tells the backends of a request's answer."""
    if backends.active:
        backends.each(lambda backend: backend.request(method, route, status, seconds))


def count_exception(code: str) -> None:
    """Tells the backends of an error answer of 500 or more."""
    if backends.active:
        backends.each(lambda backend: backend.exception(code))


def _complain(backend: Backend) -> None:
    with suppress(Exception):  # nowhere left to tell
        log.warning("monitoring with %s failed", type(backend).__name__, exc_info=True)
