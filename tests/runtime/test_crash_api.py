"""The built-in crash API: every kind of failure takes its road, in a service made as in 2.x."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from pymacaron import API
from pymacaron.api import add_ping_hook
from pymacaron.config import PyMacaronConfig
from pymacaron.crash import ErrorHandling
from tests.runtime.conftest import SECRET

Report = dict[str, Any]


@pytest.fixture
def reported() -> list[Report]:
    return []


@pytest.fixture
def client(
    jwt_config: PyMacaronConfig, reported: list[Report], monkeypatch: pytest.MonkeyPatch
) -> FlaskClient:
    def reporter(title: str, data: Report, exception: BaseException | None) -> None:
        reported.append({"title": title, **data})

    monkeypatch.setattr(Flask, "run", lambda self, **_: None)
    app = Flask("crash")
    api = API(app, port=8080, debug=False, error_reporter=reporter)
    api.load_builtin_apis(["ping", "crash"])
    api.start()
    return app.test_client()


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        ("internalexception", 500, "SERVER_ERROR"),
        ("pymacaronexception", 401, "NON_FATAL_CUSTOM_ERROR"),
        ("returnerrorinstance", 543, "FATAL_CUSTOM_ERROR"),
        ("returnfatalerrorresponse", 543, "FATAL_CUSTOM_ERROR"),
        ("returnnonfatalerrorresponse", 401, "NON_FATAL_CUSTOM_ERROR"),
        ("returnerrormodel", 543, "ANOTHER_CUSTOM_ERROR"),
    ],
)
def test_each_failure_is_answered_and_reported_from_500(
    client: FlaskClient, reported: list[Report], name: str, status: int, error: str
) -> None:
    answer = client.get(f"/crash/{name}")
    assert (answer.status_code, answer.get_json()["error"]) == (status, error)
    assert len(reported) == (1 if status >= 500 else 0)
    if status >= 500:
        assert reported[0]["is_fatal_error"] is True
        assert reported[0]["response"]["status"] == status
        assert reported[0]["request"]["path"] == f"/crash/{name}"


def test_an_error_can_be_reported_without_failing_the_call(
    client: FlaskClient, reported: list[Report]
) -> None:
    answer = client.get("/crash/reporterror")
    assert (answer.status_code, answer.json) == (200, {})
    assert [r["is_fatal_error"] for r in reported] == [False]
    assert "called crash/reporterror to test error reporting" in reported[0]["title"]


def test_a_slow_call_is_reported(
    client: FlaskClient, reported: list[Report], jwt_config: PyMacaronConfig
) -> None:
    jwt_config.report_call_exceeding_ms = 300
    assert client.get("/crash/slowcall").status_code == 200
    assert [r["is_fatal_error"] for r in reported] == [False]
    assert "calltime exceeded 300 millisec" in reported[0]["title"]


def test_no_failure_shows_the_secret(
    client: FlaskClient,
    reported: list[Report],
    jwt_config: PyMacaronConfig,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    jwt_config.report_call_exceeding_ms = 10
    for rule in list(client.application.url_map.iter_rules()):
        for method in ("GET", "POST", "DELETE"):
            answer = client.open(
                rule.rule, method=method, headers={"Authorization": f"Bearer {SECRET}"}
            )
            assert SECRET not in answer.text
            assert SECRET not in str(answer.headers)
    shown = json.dumps(reported) + caplog.text + "".join(capsys.readouterr())
    assert SECRET not in shown


def test_the_built_in_endpoints_are_served_beside_it(client: FlaskClient) -> None:
    assert client.get("/ping").json == {}
    assert client.get("/ready").json == {"ready": True}
    version = client.get("/version").get_json()
    assert (version["name"], version["version"], version["pym_env"]) == ("hello", "local", "")
    assert {"crash", "ping"} <= set(version["apis"])
    assert client.get("/auth/version").status_code == 401


def test_a_ping_hook_of_the_older_module_is_called(client: FlaskClient) -> None:
    calls: list[int] = []
    add_ping_hook(lambda: calls.append(1))
    client.get("/ping")
    client.get("/ready")
    assert calls == [1, 1]


def test_the_error_handling_of_two_applications_does_not_mix(jwt_config: PyMacaronConfig) -> None:
    first, second = Flask("first"), Flask("second")
    ErrorHandling(error_callback=lambda e: {"mine": e.code}).install(first)
    ErrorHandling().install(second)
    assert first.test_client().get("/nowhere").json == {"mine": "NOT_FOUND"}
    assert second.test_client().get("/nowhere").get_json()["error"] == "NOT_FOUND"
