"""`@app.errorhandler` gets what an operation raises, the one that Flask would choose; the rest of
the errors keep PyMacaron's answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flask
import pytest
from flask import Flask, Response
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException, NotFound, abort

from pymacaron.config import PyMacaronConfig
from pymacaron.exceptions import PyMacaronException, add_error
from tests.runtime.serving import Service, openapi, serve


class Broken(Exception):
    pass


class Torn(Broken):
    pass


class Sized(BaseModel):
    size: int


Late = add_error("Late", "LATE", 410)
Lost = add_error("Lost", "LOST", 502)
SPEC = openapi(
    {
        "/fail/{how}": {
            "get": {
                "x-bind-server": "handlers_of_a_test.fail",
                "parameters": [
                    {"name": "how", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "n", "in": "query", "schema": {"type": "integer"}},
                ],
                "responses": {"200": {"description": "ok"}},
            }
        }
    }
)


def fail(how: str, n: int | None = None) -> Any:
    if how == "model":
        Sized(size="large")  # type: ignore[arg-type]
    if how in ("404", "500"):
        abort(int(how))
    if how == "answer":
        abort(Response("an answer", 202))
    raise {
        "torn": Torn("a page"),
        "late": Late("sorry"),
        "lost": Lost("it"),
        "value": ValueError(),
    }[how]


Handlers = Mapping[Any, Any]
Serve = Callable[[Handlers], Service]


@pytest.fixture
def reported() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def serving(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fresh_config: PyMacaronConfig,
    reported: list[dict[str, Any]],
) -> Serve:
    """Serves the operation with some error handlers, and beside it the same view as Flask's own."""

    def report(title: str, data: dict[str, Any], exception: object) -> None:
        reported.append(data)

    def start(handlers: Handlers) -> Service:
        service = serve(tmp_path, monkeypatch, SPEC, {"fail": fail}, error_reporter=report)
        service.app.add_url_rule("/plain/<how>", "plain", fail)
        for error, handler in handlers.items():
            service.app.register_error_handler(error, handler)
        return service

    return start


def named(name: str, status: int = 422) -> Callable[[Exception], tuple[str, int]]:
    return lambda error: (f"{name} got {type(error).__name__}", status)


@pytest.mark.parametrize(
    ("how", "registered", "answer"),
    [
        ("torn", [Broken], "Broken got Torn"),
        ("torn", [Broken, Torn, Exception], "Torn got Torn"),
        ("torn", [Exception], "Exception got Torn"),
        ("torn", [500], "500 got InternalServerError"),
        ("torn", [HTTPException], "HTTPException got InternalServerError"),
        ("torn", [ValueError, 404], None),
        ("late", [Late], "Late got Late"),
        ("late", [PyMacaronException, Exception], "PyMacaronException got Late"),
        ("late", [Exception, HTTPException, 410], None),
        ("404", [404], "404 got NotFound"),
        ("404", [NotFound, HTTPException], "NotFound got NotFound"),
        ("404", [Exception], "Exception got NotFound"),
        ("404", [500, Broken], None),
        ("500", [500], "500 got InternalServerError"),
        ("model", [ValidationError], "ValidationError got ValidationError"),
        ("model", [PyMacaronException], "PyMacaronException got InternalValidationError"),
        ("model", [Broken, 500], None),
    ],
)
def test_the_handler_that_flask_would_choose_answers(
    serving: Serve, how: str, registered: list[Any], answer: str | None
) -> None:
    client = serving(
        {error: named(getattr(error, "__name__", str(error))) for error in registered}
    ).client
    response = client.get(f"/fail/{how}")
    if answer is None:
        assert response.get_json()["status"] == response.status_code
    else:
        assert (response.text, response.status_code) == (answer, 422)
    if how != "model":  # that PyMacaron tells a model's fault from others is for operations only
        plain = client.get(f"/plain/{how}")
        assert plain.status_code == response.status_code
        assert answer is None or plain.text == answer


def test_an_answer_that_is_raised_is_no_error(serving: Serve) -> None:
    client = serving({Exception: named("mine"), HTTPException: named("mine")}).client
    for place in ("fail", "plain"):
        response = client.get(f"/{place}/answer")
        assert (response.text, response.status_code) == ("an answer", 202)


def test_a_handler_below_500_has_dealt_with_the_error_and_from_500_it_is_reported(
    serving: Serve, reported: list[dict[str, Any]]
) -> None:
    client = serving({Broken: named("mine", 503), ValueError: named("mine", 400)}).client
    assert client.get("/fail/value").status_code == 400
    assert reported == []
    assert client.get("/fail/torn").status_code == 503
    (data,) = reported
    assert "Torn: a page" in str(data["trace"])
    assert data["request"]["path"] == "/fail/torn"


def test_a_handler_may_show_the_id_of_the_report(
    serving: Serve, reported: list[dict[str, Any]]
) -> None:
    client = serving({Lost: lambda error: (error.jsonify(), error.status, {"Retry-After": "9"})})
    response = client.client.get("/fail/lost")
    assert (response.status_code, response.headers["Retry-After"]) == (502, "9")
    assert [d["error_id"] for d in reported] == [response.get_json()["error_id"]]


def shatter(error: Exception) -> str:
    raise KeyError("colour")


@pytest.mark.parametrize("handler", [shatter, lambda error: None])
def test_a_handler_that_fails_is_answered_and_reported(
    serving: Serve, reported: list[dict[str, Any]], handler: Callable[[Exception], Any]
) -> None:
    response = serving({Broken: handler, 500: handler}).client.get("/fail/torn")
    body = response.get_json()
    assert (response.status_code, body["error"]) == (500, "SERVER_ERROR")
    assert [d["error_id"] for d in reported] == [body["error_id"]]


def test_flask_signals_what_nobody_expected(serving: Serve) -> None:
    service = serving({Broken: named("mine")})
    heard: list[Exception] = []

    def hear(app: Flask, exception: Exception, **_: object) -> None:
        heard.append(exception)

    with flask.got_request_exception.connected_to(hear, service.app):
        for how in ("torn", "late", "404", "value"):
            service.client.get(f"/fail/{how}")
    assert [type(e) for e in heard] == [ValueError]


def test_what_is_wrong_with_a_request_is_told_beside_other_handlers(serving: Serve) -> None:
    response = serving({Broken: named("mine")}).client.get("/fail/torn?n=x")
    assert response.get_json()["error"] == "INVALID_PARAMETER"


def test_without_own_handlers_the_answers_of_both_roads_are_the_same(
    serving: Serve, reported: list[dict[str, Any]]
) -> None:
    service = serving({})
    hows = ("torn", "late", "lost", "404", "500", "model")
    short = [service.client.get(f"/fail/{how}") for how in hows]
    with flask.request_started.connected_to(lambda app, **_: None, service.app):
        long = [service.client.get(f"/fail/{how}") for how in hows]
    for a, b in zip(short, long, strict=True):
        assert {**a.get_json(), "error_id": ""} == {**b.get_json(), "error_id": ""}
        assert (a.status, a.content_type) == (b.status, b.content_type)
    assert len(reported) == 8
