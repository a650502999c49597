"""What a service loads when it starts, and what a request costs in a large one: counted, not
timed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pymacaron.config import ConfigError, PyMacaronConfig
from tests.runtime.serving import Service, openapi, serve

PLAIN = """
import sys
from pathlib import Path
sys.argv = ["gunicorn"]
from flask import Flask
from pymacaron import API
app = Flask("plain")
api = API(app, port=1)
api.load_apis("apis")
api.start()
answer = app.test_client().get("/things/7")
assert answer.get_json() == {"id": 7}, answer.text
print(*sys.modules)
"""
# For settings and code that this service does not have.
NEEDLESS = {
    *("asyncio", "jwt", "cryptography", "celery", "redis", "kombu", "boto3", "sqlite3", "gunicorn"),
    *("prometheus_client", "opentelemetry", "scout_apm", "requests", "pytest"),
    *("pymacaron.tasks", "pymacaron.dynamodb", "pymacaron.serve", "pymacaron.gunicorn"),
}


def spec(count: int) -> dict[str, Any]:
    answer = {"description": "ok", "content": {"application/json": {"schema": {}}}}
    parameters = [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}]
    get = {
        "x-bind-server": "handlers_of_a_test.thing",
        "parameters": parameters,
        "responses": {"200": answer},
    }
    names = ["things", *(f"things{i}" for i in range(1, count))]
    return openapi({f"/{name}/{{id}}": {"get": get} for name in names})


def thing(id: int) -> Any:
    return {"id": id}


def test_a_plain_service_loads_only_what_it_uses(tmp_path: Path) -> None:
    (tmp_path / "apis").mkdir()
    import yaml

    (tmp_path / "apis" / "plain.yaml").write_text(yaml.safe_dump(spec(50)))
    (tmp_path / "handlers_of_a_test.py").write_text("def thing(id): return {'id': id}\n")
    (tmp_path / "pym-config.yaml").write_text("name: plain\nlive_url: https://plain.example.com\n")
    (tmp_path / "main.py").write_text(PLAIN)
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()[-1].split()) & NEEDLESS == set()


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of Python a call runs."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def work(service: Service) -> int:
    def call() -> None:
        assert service.client.get("/things/7").get_json() == {"id": 7}

    call()
    return lines_run(call)


@pytest.mark.parametrize("fast", [True, False])
def test_a_request_is_no_more_work_among_a_thousand_operations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_config: PyMacaronConfig, fast: bool
) -> None:
    fresh_config.fast_path = fast
    counts = [work(serve(tmp_path, monkeypatch, spec(n), {"thing": thing})) for n in (10, 1000)]
    assert counts[1] <= counts[0] * 1.02, counts


def test_loading_is_work_in_proportion_to_what_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(count: int) -> int:
        return lines_run(lambda: serve(tmp_path, monkeypatch, spec(count), {"thing": thing}))

    load(1)
    once, four_times = load(50), load(200)
    assert four_times <= once * 4.2, (once, four_times)


def test_urls_that_nothing_speaks_with_stop_the_start_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_config: PyMacaronConfig
) -> None:
    fresh_config.persist_url = "hunter2://db"
    monkeypatch.setenv("PYM_BROKER_URL", "redis://:hunter2#@redis/0")
    with pytest.raises(ConfigError) as caught:
        serve(tmp_path, monkeypatch, spec(1), {"thing": thing})
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "PYM_BROKER_URL can't be used",
        "persist_url can't be used",
    ]
    assert "hunter2" not in str(caught.value)


def test_a_broker_that_nothing_installed_speaks_with_stops_the_start_of_a_service_with_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_config: PyMacaronConfig
) -> None:
    import pymacaron.tasks  # noqa: F401  (as the service would)

    fresh_config.broker_url = "zookeeper://host"
    with pytest.raises(ConfigError, match=r"broker_url can't be used: .*kazoo"):
        serve(tmp_path, monkeypatch, spec(1), {"thing": thing})
    monkeypatch.setenv("PYM_TASKS_IN_PLACE", "1")
    serve(tmp_path, monkeypatch, spec(1), {"thing": thing})
