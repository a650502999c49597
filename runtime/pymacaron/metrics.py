"""Prometheus: requests, errors and sections counted, over all worker processes, at /metrics.

Used with `prometheus: true` in pym-config.yaml; needs `pip install 'pymacaron[monitoring]'`.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from flask import Flask, Response

from pymacaron.config import ConfigError, PyMacaronConfig
from pymacaron.context import RequestInfo

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def wanted(conf: PyMacaronConfig) -> bool:
    return bool(conf.get("prometheus"))


def prepare_processes(conf: PyMacaronConfig, temporary: Path) -> None:
    """Before the workers fork: a folder of their own where they add up their numbers."""
    if wanted(conf) and not os.environ.get(FOLDER):
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="metrics-", dir=temporary)


def forget_process(pid: int) -> None:
    """A worker has ended."""
    if os.environ.get(FOLDER):
        with suppress(Exception):  # the numbers of the dead may stay; serving goes on
            from prometheus_client import multiprocess

            multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


class Prometheus:
    """A backend of monitor.py."""

    def __init__(self) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Histogram, multiprocess
        except ImportError as error:
            raise ConfigError(
                "prometheus: true needs the Prometheus client: pip install 'pymacaron[monitoring]'"
            ) from error
        registry = CollectorRegistry()
        self._requests = Counter(
            "http_requests_total",
            "Requests by method, route and status",
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Seconds from request to answer",
            ("method", "route"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._exceptions = Counter(
            "http_exceptions_total", "Errors reported, by code", ("code",), registry=registry
        )
        self._sections = Histogram(
            "monitor_section_seconds",
            "Seconds in sections of monitor()",
            ("kind", "method"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._own = registry
        self._multiprocess = multiprocess

    def section(self, kind: str, method: str) -> Timed:
        return Timed(self._sections.labels(kind, method))

    def started(self, info: RequestInfo) -> None: ...

    def finished(self, info: RequestInfo) -> None: ...

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        verb = method if method in METHODS else "(other)"
        self._requests.labels(verb, route, str(status)).inc()
        self._seconds.labels(verb, route).observe(seconds)

    def exception(self, code: str) -> None:
        self._exceptions.labels(code).inc()

    def serve(self, app: Flask) -> None:
        """Adds /metrics."""
        app.add_url_rule("/metrics", "pymacaron_metrics", self._answer, methods=["GET"])

    def _answer(self) -> Response:
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return Response(generate_latest(self._registry()), content_type=CONTENT_TYPE_LATEST)

    def _registry(self) -> CollectorRegistry:
        if not os.environ.get(FOLDER):
            return self._own
        from prometheus_client import CollectorRegistry

        merged = CollectorRegistry()
        self._multiprocess.MultiProcessCollector(merged)  # type: ignore[no-untyped-call]
        return merged


class Timed:
    """Observes how long a block takes."""

    def __init__(self, histogram: Any) -> None:
        self._histogram = histogram
        self._start = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._histogram.observe(time.perf_counter() - self._start)
