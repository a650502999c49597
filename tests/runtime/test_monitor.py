"""monitor() and what it feeds: nothing, Prometheus, OpenTelemetry, Scout."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from flask import Flask
from flask.testing import FlaskClient
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pymacaron import metrics, tracing
from pymacaron.config import ConfigError, PyMacaronConfig
from pymacaron.crash import ErrorHandling
from pymacaron.monitor import Scout, backends, monitor, monitor_init


def served() -> FlaskClient:
    app = Flask("monitored")

    @app.get("/hello/<name>")
    def hello(name: str) -> str:
        with monitor(kind="DB", method="query"):
            return f"hello {name}"

    @app.get("/die")
    def die() -> str:
        raise RuntimeError("oh")

    handling = ErrorHandling()
    handling.install(app)
    return app.test_client()


def test_monitor_without_anything_set_up_only_runs_the_block() -> None:
    with monitor(kind="HTTP", method="Authentication") as section:
        done = True
    assert done
    assert isinstance(section, monitor)
    assert backends.active == []


def test_monitor_lets_exceptions_pass() -> None:
    with pytest.raises(KeyError), monitor():
        raise KeyError


def test_nothing_is_monitored_unless_configured(jwt_config: PyMacaronConfig) -> None:
    client = served()
    assert client.get("/metrics").status_code == 404
    assert backends.active == []


def test_prometheus_counts_requests_errors_and_sections(jwt_config: PyMacaronConfig) -> None:
    jwt_config.prometheus = True
    client = served()
    client.get("/hello/ada")
    client.get("/hello/bob")
    client.get("/die")
    answer = client.get("/metrics")
    assert answer.content_type.startswith("text/plain")
    lines = answer.text.splitlines()
    assert 'http_requests_total{method="GET",route="(other)",status="200"} 2.0' in lines
    assert 'http_requests_total{method="GET",route="(other)",status="500"} 1.0' in lines
    assert 'http_request_duration_seconds_count{method="GET",route="(other)"} 3.0' in lines
    assert 'http_exceptions_total{code="SERVER_ERROR"} 1.0' in lines
    assert 'monitor_section_seconds_count{kind="DB",method="query"} 2.0' in lines
    assert "ada" not in answer.text


def test_operations_are_counted_by_their_route(jwt_config: PyMacaronConfig) -> None:
    jwt_config.prometheus = True
    app = Flask("monitored")
    handling = ErrorHandling()
    handling.install(app)
    handling.completed("hello.get", "/pets/{id}", "GET", 0.0, 200, 2)
    handling.completed("hello.get", "/pets/{id}", "BREW", 0.0, 200, 2)
    text = app.test_client().get("/metrics").text
    assert 'http_requests_total{method="GET",route="/pets/{id}",status="200"} 1.0' in text
    assert 'http_requests_total{method="(other)",route="/pets/{id}",status="200"} 1.0' in text


def test_prometheus_adds_up_the_numbers_of_all_worker_processes(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import os
        from flask import Flask
        from pymacaron.config import get_config
        from pymacaron.crash import ErrorHandling
        from pymacaron.metrics import forget_process
        get_config().prometheus = True
        app = Flask("x")
        ErrorHandling().install(app)
        for _ in range(2):
            child = os.fork()
            if child == 0:
                app.test_client().get("/nowhere")
                os._exit(0)
            os.waitpid(child, 0)
            forget_process(child)
        print(app.test_client().get("/metrics").text)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], metrics.FOLDER: str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 'route="(other)",status="404"} 2.0' in done.stdout, done.stderr


def test_the_folder_of_the_workers_numbers_is_made_when_they_are_wanted(
    fresh_config: PyMacaronConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(metrics.FOLDER, raising=False)
    metrics.prepare_processes(fresh_config, tmp_path)
    assert metrics.FOLDER not in os.environ
    fresh_config.prometheus = True
    metrics.prepare_processes(fresh_config, tmp_path)
    assert Path(os.environ[metrics.FOLDER]).parent == tmp_path
    monkeypatch.delenv(metrics.FOLDER)


@pytest.mark.parametrize(
    ("setting", "module", "told"),
    [
        ("prometheus", "prometheus_client", r"pip install 'pymacaron\[monitoring\]'"),
        ("opentelemetry", "opentelemetry.sdk.trace", r"pip install 'pymacaron\[monitoring\]'"),
    ],
)
def test_a_library_that_is_missing_is_named_with_its_remedy(
    jwt_config: PyMacaronConfig,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    module: str,
    told: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    setattr(jwt_config, setting, True)
    with pytest.raises(ConfigError, match=told):
        monitor_init(Flask("x"))


@contextmanager
def traced(conf: PyMacaronConfig) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    backends.add(tracing.OpenTelemetry(conf, provider))
    yield exporter
    provider.shutdown()


def test_a_request_is_a_span_of_the_callers_trace(jwt_config: PyMacaronConfig) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with traced(jwt_config) as exporter:
        served().get("/hello/ada", headers={"traceparent": f"00-{trace}-{parent}-01"})
        section, span = exporter.get_finished_spans()
    assert (section.name, span.name) == ("DB.query", "GET (other)")
    assert trace_of(span) == trace_of(section) == trace
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == parent
    assert section.parent is not None
    assert span.context is not None
    assert section.parent.span_id == span.context.span_id
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["url.path"] == "/hello/ada"


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def test_a_failed_request_is_a_span_with_an_error(jwt_config: PyMacaronConfig) -> None:
    with traced(jwt_config) as exporter:
        served().get("/die")
        (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["error.type"] == "SERVER_ERROR"
    assert span.status.status_code.name == "ERROR"


def test_each_request_without_a_parent_is_a_trace_of_its_own(jwt_config: PyMacaronConfig) -> None:
    with traced(jwt_config) as exporter:
        client = served()
        client.get("/hello/a", headers={"traceparent": "00-rubbish"})
        client.get("/hello/b")
        spans = [s for s in exporter.get_finished_spans() if s.name.startswith("GET")]
    assert all(span.parent is None for span in spans)
    assert trace_of(spans[0]) != trace_of(spans[1])


@pytest.mark.parametrize(
    ("setting", "environ", "expected"),
    [
        (None, {}, False),
        (True, {}, True),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        (False, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, False),
    ],
)
def test_tracing_is_wanted_by_setting_or_by_otels_own_variable(
    jwt_config: PyMacaronConfig, setting: bool | None, environ: dict[str, str], expected: bool
) -> None:
    if setting is not None:
        jwt_config.opentelemetry = setting
    assert tracing.wanted(jwt_config, environ) is expected


class FakeScoutSection:
    entered: list[str] = []  # noqa: RUF012  (what this test's Scout has seen)

    def __init__(self, method: str, tags: dict[str, str], kind: str) -> None:
        self._name = f"{kind}/{method}"

    def __enter__(self) -> None:
        self.entered.append(self._name)

    def __exit__(self, *_: object) -> None: ...


def scout_module(monkeypatch: pytest.MonkeyPatch) -> list[Flask]:
    """A stand-in for the package scout-apm, which talks to an agent of its own."""
    apps: list[Flask] = []
    package, flask, api = (ModuleType(f"scout_apm{n}") for n in ("", ".flask", ".api"))
    flask.ScoutApm = apps.append  # type: ignore[attr-defined]
    api.instrument = FakeScoutSection  # type: ignore[attr-defined]
    package.flask, package.api = flask, api  # type: ignore[attr-defined]
    for module in (package, flask, api):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return apps


def test_scout_is_set_up_by_its_key_and_sees_sections(
    jwt_config: PyMacaronConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps = scout_module(monkeypatch)
    jwt_config.scout_key = "the-key-of-scout"
    client = served()
    assert [app.config["SCOUT_KEY"] for app in apps] == ["the-key-of-scout"]
    assert apps[0].config["SCOUT_NAME"] == "hello"
    assert isinstance(backends.active[0], Scout)
    client.get("/hello/ada")
    assert FakeScoutSection.entered[-1] == "DB/query"


def test_scout_that_is_not_installed_is_a_warning(
    jwt_config: PyMacaronConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "scout_apm", None)
    jwt_config.scout_key = "the-key-of-scout"
    assert served().get("/hello/ada").status_code == 200
    assert "pip install scout-apm" in caplog.text
