"""OpenTelemetry: a span for each request, joined to the caller's by the W3C headers, and sections.

Used with `opentelemetry: true` in pym-config.yaml, or when OTEL_EXPORTER_OTLP_ENDPOINT is set;
needs `pip install 'pymacaron[monitoring]'`. Where spans go is for OpenTelemetry's own OTEL_*
variables to say.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pymacaron.config import ConfigError, PyMacaronConfig
from pymacaron.context import RequestInfo
from pymacaron.utils import get_container_version

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from opentelemetry.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def wanted(conf: PyMacaronConfig, environ: Mapping[str, str]) -> bool:
    asked = conf.get("opentelemetry")
    return bool(asked) if asked is not None else any(environ.get(name) for name in ENDPOINTS)


def own_provider(conf: PyMacaronConfig) -> TracerProvider:
    """A provider that sends batches by OTLP over HTTP; the application's own if it has set one."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    current = trace.get_tracer_provider()
    if isinstance(current, TracerProvider):
        return current
    resource = Resource.create(
        {
            "service.name": os.environ.get("OTEL_SERVICE_NAME")
            or str(conf.get("name", "pymacaron")),
            "service.version": get_container_version(),
            "deployment.environment.name": os.environ.get("PYM_ENV", ""),
        }
    )
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider


class OpenTelemetry:
    """A backend of monitor.py."""

    def __init__(self, conf: PyMacaronConfig, provider: TracerProvider | None = None) -> None:
        try:
            from opentelemetry import context, trace
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            self._tracer = (provider or own_provider(conf)).get_tracer("pymacaron")
        except ImportError as error:
            raise ConfigError(
                "tracing needs OpenTelemetry's SDK: pip install 'pymacaron[monitoring]'"
            ) from error
        self._context, self._trace = context, trace
        self._incoming = TraceContextTextMapPropagator()

    def section(self, kind: str, method: str) -> AbstractContextManager[Any]:
        return self._tracer.start_as_current_span(f"{kind}.{method}")

    def started(self, info: RequestInfo) -> None:
        carrier = {
            name: str(info.environ[key])
            for name, key in (
                ("traceparent", "HTTP_TRACEPARENT"),
                ("tracestate", "HTTP_TRACESTATE"),
            )
            if key in info.environ
        }
        parent = self._incoming.extract(carrier)
        span = self._tracer.start_span(
            info.method,
            context=parent,
            kind=self._trace.SpanKind.SERVER,
            attributes={
                "http.request.method": info.method,
                "url.path": info.path,
                "url.scheme": str(info.environ.get("wsgi.url_scheme", "")),
                "pymacaron.request_id": info.id,
            },
        )
        token = self._context.attach(self._trace.set_span_in_context(span, parent))
        info.trace_id = f"{span.get_span_context().trace_id:032x}"
        info.span = (span, token)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        del seconds  # a span has its own start and end
        span = self._trace.get_current_span()
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(self._trace.StatusCode.ERROR)

    def exception(self, code: str) -> None:
        self._trace.get_current_span().set_attribute("error.type", code)

    def finished(self, info: RequestInfo) -> None:
        if info.span is not None:
            span, token = info.span
            info.span = None
            self._context.detach(token)
            span.end()
