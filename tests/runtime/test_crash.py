"""Errors become answers, reports and log lines; nothing on that road can spoil the answer."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask, Response, abort, redirect, request
from flask.testing import FlaskClient

from pymacaron import crash
from pymacaron.auth import generate_token, requires_auth
from pymacaron.config import PyMacaronConfig
from pymacaron.crash import ErrorHandling, report_error, report_warning, set_error_reporter
from pymacaron.exceptions import InvalidParameterError, PyMacaronException
from pymacaron.log import JsonFormatter
from pymacaron.report_data import body_text, without_secrets
from pymacaron.reports import Reports, reports
from tests.runtime.conftest import SECRET

pytestmark = pytest.mark.usefixtures("jwt_config")


class Broken(PyMacaronException):
    code = "BROKEN"
    status = 503


class Box:
    """A reporter that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []

    def __call__(self, title: str, data: dict[str, Any], exception: BaseException | None) -> None:
        self.got.append({"title": title, "data": data, "exception": exception})

    @property
    def only(self) -> dict[str, Any]:
        assert len(self.got) == 1, [report["title"] for report in self.got]
        return self.got[0]


@pytest.fixture
def box() -> Box:
    return Box()


def served(handling: ErrorHandling) -> FlaskClient:
    app = Flask("crash")

    @app.route("/die", methods=["GET", "POST"])
    def die() -> str:
        raise RuntimeError("the disk is full")

    @app.get("/broken")
    def broken() -> str:
        raise Broken("come back later")

    @app.get("/wrong")
    def wrong() -> str:
        raise InvalidParameterError("no such colour")

    @app.get("/abort/<int:status>")
    def aborted(status: int) -> str:
        abort(status)

    @app.get("/own")
    def own() -> str:
        abort(Response("mine", status=418, mimetype="text/plain"))

    @app.get("/away")
    def away() -> Any:
        return redirect("/die")

    @app.get("/me")
    @requires_auth
    def me() -> str:
        raise RuntimeError("oh")

    @app.get("/ok")
    def ok() -> dict[str, str]:
        return {}

    handling.install(app)
    return app.test_client()


@pytest.fixture
def client(box: Box) -> Iterator[FlaskClient]:
    with served(ErrorHandling(error_reporter=box)) as client:
        yield client


def body_of(answer: Any) -> dict[str, Any]:
    assert answer.content_type == "application/json"
    body = answer.get_json()
    assert isinstance(body, dict)
    return body


def test_our_own_error_is_answered_as_it_says(client: FlaskClient) -> None:
    answer = client.get("/wrong")
    assert answer.status_code == 400
    assert body_of(answer) == {
        "status": 400,
        "error": "INVALID_PARAMETER",
        "error_description": "no such colour",
        "user_message": "no such colour",
    }


def test_any_other_exception_is_a_server_error_that_does_not_show_its_text(
    client: FlaskClient, box: Box
) -> None:
    answer = client.get("/die")
    body = body_of(answer)
    assert answer.status_code == body["status"] == 500
    assert body["error"] == "SERVER_ERROR"
    assert "disk" not in answer.text
    assert body["error_id"] == box.only["data"]["error_id"]


def test_in_debug_mode_the_text_is_shown() -> None:
    body = body_of(served(ErrorHandling(debug=True)).get("/die"))
    assert body["error_description"] == "the disk is full"


def test_a_report_has_the_documented_data(client: FlaskClient, box: Box) -> None:
    token = generate_token("ada", data={"email": "ada@example.com"})
    client.get(
        "/me?colour=red",
        headers={
            "Authorization": f"Bearer {token}",
            "User-Agent": "tests",
            "X-Forwarded-For": "10.1.1.1",
        },
        base_url="http://hello.example.com:8080",
    )
    report = box.only
    data = report["data"]
    assert report["title"] == "GET /me: oh"
    assert isinstance(report["exception"], RuntimeError)
    assert data["trace"][0].startswith("Traceback")
    assert data["trace"][-1] == "RuntimeError: oh\n"
    assert data["is_fatal_error"] is True
    assert data["time"]["start"] <= data["time"]["end"]
    assert data["time"]["microsecs"] > 0
    assert data["response"] == {
        "status": 500,
        "error_code": "SERVER_ERROR",
        "error_description": "oh",
        "user_message": None,
    }
    assert data["user"] == {
        "id": "ada",
        "is_auth": 1,
        "ip": "127.0.0.1",
        "forwarded_ip": "10.1.1.1",
        "user_agent": "tests",
        "email": "ada@example.com",
    }
    assert data["server"] == {
        "fqdn": "hello.example.com",
        "port": "8080",
        "api_name": "hello",
        "api_version": "local",
        "release": "",
        "PYM_ENV": "",
    }
    request = data["request"]
    assert request["id"] == "hello, GET, /me"
    assert request["url"] == "http://hello.example.com:8080/me?colour=red"
    assert request["base_url"] == "http://hello.example.com:8080/me"
    assert (request["path"], request["method"]) == ("/me", "GET")
    assert (request["request_body"], request["request_query"]) == ("", "colour=red")
    assert data["is_ec2_instance"] is False
    json.dumps(data)


def test_release_and_environment_are_in_the_report(
    client: FlaskClient, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYM_RELEASE", "r-17")
    monkeypatch.setenv("PYM_ENV", "live")
    client.get("/die")
    server = box.only["data"]["server"]
    assert (server["release"], server["PYM_ENV"]) == ("r-17", "live")


def test_errors_below_500_are_not_reported(client: FlaskClient, box: Box) -> None:
    client.get("/wrong")
    client.get("/nowhere")
    assert box.got == []


def test_our_own_errors_from_500_are_reported(client: FlaskClient, box: Box) -> None:
    body = body_of(client.get("/broken"))
    assert (body["status"], body["error"]) == (503, "BROKEN")
    assert box.only["data"]["response"]["error_code"] == "BROKEN"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("get", "/nowhere", 404, "NOT_FOUND"),
        ("delete", "/ok", 405, "METHOD_NOT_ALLOWED"),
        ("get", "/abort/413", 413, "REQUEST_ENTITY_TOO_LARGE"),
        ("get", "/abort/415", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("get", "/abort/400", 400, "BAD_REQUEST"),
        ("get", "/abort/500", 500, "SERVER_ERROR"),
        ("get", "/abort/503", 503, "SERVICE_UNAVAILABLE"),
    ],
)
def test_errors_of_flask_itself_have_the_same_form(
    client: FlaskClient, method: str, path: str, status: int, code: str
) -> None:
    answer = getattr(client, method)(path)
    body = body_of(answer)
    assert (answer.status_code, body["status"], body["error"]) == (status, status, code)
    assert body["error_description"]


def test_a_refused_method_says_which_are_allowed(client: FlaskClient) -> None:
    assert set(client.delete("/ok").headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_redirections_and_answers_given_to_abort_pass(client: FlaskClient) -> None:
    assert client.get("/away").status_code == 302
    assert client.get("/own").text == "mine"


def test_a_failing_before_request_takes_the_same_road(box: Box) -> None:
    app = Flask("crash")

    @app.before_request
    def check() -> None:
        raise RuntimeError("oh")

    ErrorHandling(error_reporter=box).install(app)
    body = body_of(app.test_client().get("/"))
    assert body["error_id"] == box.only["data"]["error_id"]


def test_a_handler_of_the_application_itself_is_left_alone() -> None:
    app = Flask("crash")
    app.register_error_handler(404, lambda _: ("mine", 404))
    app.register_error_handler(Exception, lambda _: ("all mine", 500))
    ErrorHandling().install(app)
    assert app.test_client().get("/").text == "mine"


def test_installing_twice_changes_nothing() -> None:
    app, handling = Flask("crash"), ErrorHandling()
    handling.install(app)
    wrapped = app.wsgi_app
    handling.install(app)
    assert app.wsgi_app == wrapped


def test_the_callback_replaces_the_body(box: Box) -> None:
    handling = ErrorHandling(
        error_reporter=box, error_callback=lambda e: {"oops": e.code, "why": str(e)}
    )
    client = served(handling)
    answer = client.get("/wrong")
    assert (answer.status_code, answer.json) == (
        400,
        {"oops": "INVALID_PARAMETER", "why": "no such colour"},
    )
    answer = client.get("/die")
    assert answer.status_code == 500
    assert body_of(answer)["oops"] == "SERVER_ERROR"
    assert "disk" not in answer.text


def failing_callback(_: PyMacaronException) -> dict[str, object]:
    raise KeyError("colour")


@pytest.mark.parametrize(
    "callback",
    [failing_callback, lambda _: "text", lambda _: None, lambda _: {"x": object()}],
)
def test_a_failing_callback_is_reported_and_the_default_body_answers(
    box: Box, callback: Any
) -> None:
    client = served(ErrorHandling(error_reporter=box, error_callback=callback))
    answer = client.get("/wrong")
    assert (answer.status_code, body_of(answer)["error"]) == (400, "INVALID_PARAMETER")
    assert "the error_callback" in box.only["title"]


def slow(title: str, data: object, exception: object) -> None:
    time.sleep(1)


def exiting(title: str, data: object, exception: object) -> None:
    raise SystemExit(3)


def failing(title: str, data: object, exception: object) -> None:
    raise RuntimeError("no mail today")


@pytest.mark.parametrize("reporter", [slow, exiting, failing, "no function", lambda: None])
def test_whatever_the_reporter_does_the_answer_is_the_same(
    monkeypatch: pytest.MonkeyPatch, reporter: Any
) -> None:
    monkeypatch.setattr(reports, "_reporter", reporter)
    monkeypatch.setattr(reports, "_limit", 0.05)
    client = served(ErrorHandling())
    body = body_of(client.get("/die"))
    assert (body["status"], body["error"]) == (500, "SERVER_ERROR")


def test_when_reporters_hang_further_reports_are_only_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hanging = Reports(slow, limit=0.001)
    for n in range(12):
        hanging.send(f"report {n}", {})
    assert "dropped: the error_reporter hangs" in caplog.text


def test_a_reporter_of_the_older_signatures_is_called_as_it_likes() -> None:
    got: list[object] = []

    def two(title: str, data: dict[str, object]) -> None:
        got.append((title, data["a"]))

    def first(msg: str, body: str) -> None:
        got.append((msg, json.loads(body)["a"]))

    def keywords(**kwargs: object) -> None:
        got.append(sorted(kwargs))

    for reporter in (two, first, keywords):
        Reports(reporter).send("t", {"a": 1})
    assert got == [("t", 1), ("t", 1), ["data", "exception", "title"]]


def test_a_reporter_runs_within_the_request(box: Box) -> None:
    paths = []
    client = served(ErrorHandling(error_reporter=lambda title, data: paths.append(request.path)))
    client.get("/die")
    assert paths == ["/die"]


def test_a_request_id_is_taken_or_made_and_stands_in_answer_report_and_log(
    client: FlaskClient, box: Box
) -> None:
    answer = client.get("/die", headers={"X-Request-ID": "abc-123"})
    assert answer.headers["X-Request-ID"] == "abc-123"
    assert box.only["data"]["request"]["request_id"] == "abc-123"
    made = client.get("/ok").headers["X-Request-ID"]
    assert len(made) == 32
    assert made != client.get("/ok").headers["X-Request-ID"]


@pytest.mark.parametrize("bad", ["x" * 129, "a b", "<script>", "é"])
def test_a_request_id_that_could_do_harm_is_replaced(client: FlaskClient, bad: str) -> None:
    assert client.get("/ok", headers={"X-Request-ID": bad}).headers["X-Request-ID"] != bad


def test_json_answers_carry_security_headers_and_none_of_ours_replaces_the_applications() -> None:
    app = Flask("crash")

    @app.get("/own")
    def own() -> Any:
        return {}, 200, {"X-Content-Type-Options": "own", "Referrer-Policy": "origin"}

    @app.get("/html")
    def html() -> str:
        return "<p>hello"

    ErrorHandling().install(app)
    client = app.test_client()
    headers = client.get("/own").headers
    assert headers.getlist("X-Content-Type-Options") == ["own"]
    assert headers.getlist("Referrer-Policy") == ["origin"]
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "Strict-Transport-Security" not in headers
    assert "Content-Security-Policy" not in client.get("/html").headers
    https = client.get("/html", headers={"X-Forwarded-Proto": "https"}).headers
    assert https["Strict-Transport-Security"] == "max-age=31536000"


def test_a_slow_call_is_reported_as_not_fatal(box: Box, jwt_config: PyMacaronConfig) -> None:
    handling = ErrorHandling(error_reporter=box)
    jwt_config.report_call_exceeding_ms = 60_000
    now = time.perf_counter()
    handling.completed("hello.do_hello", "/hello", "GET", now, 200, 2)
    assert box.got == []
    handling.completed("hello.do_hello", "/hello", "GET", now - 60.1, 200, 2)
    assert box.only["title"].endswith("hello.do_hello() calltime exceeded 60000 millisec!")
    assert box.only["data"]["is_fatal_error"] is False
    assert box.only["data"]["time"]["microsecs"] >= 60_100_000


def test_the_limit_of_slow_calls_is_configured(box: Box, jwt_config: PyMacaronConfig) -> None:
    handling = ErrorHandling(error_reporter=box)
    jwt_config.report_call_exceeding_ms = 0
    handling.completed("x", "/x", "GET", time.perf_counter() - 100, 200, 2)
    assert box.got == []
    jwt_config.report_call_exceeding_ms = 10
    handling.completed("x", "/x", "GET", time.perf_counter() - 0.02, 200, 2)
    assert "exceeded 10 millisec" in box.only["title"]


def test_report_warning_and_report_error_report_without_failing_the_call(box: Box) -> None:
    set_error_reporter(box)
    data = {"colour": "red"}
    report_warning("odd", data, exception=ValueError("hm"))
    report_error("bad", data, caught=KeyError("k"), is_fatal=True)
    report_error("texts are fine", caught="just text")
    assert data == {"colour": "red"}
    warning, error, text = (report["data"] for report in box.got)
    assert (warning["title"], warning["is_fatal_error"], warning["colour"]) == ("odd", False, "red")
    assert warning["trace"][-1] == "ValueError: hm\n"
    assert (error["is_fatal_error"], error["error_caught"]) == (True, "'k'")
    assert box.got[1]["title"] == "FATAL ERROR hello: bad"
    assert text["error_caught"] == "just text"


def test_error_reporting_can_be_switched_off(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    set_error_reporter(box)
    monkeypatch.setenv("NO_ERROR_REPORTING", "1")
    report_error("quiet")
    assert box.got == []
    monkeypatch.setenv("DO_REPORT_ERROR", "1")
    report_error("loud")
    assert len(box.got) == 1


def test_a_report_shows_no_credentials_of_the_request(client: FlaskClient, box: Box) -> None:
    token = generate_token("ada")
    client.post(
        "/die?api_key=k3y-v4lue&page=2",
        json={
            "password": "p4ssw0rd",
            "card": {"pin": "0815", "name": "Ada"},
            "list": [{"client_secret": "h1dden"}],
        },
        headers={
            "Authorization": f"Bearer {token}",
            "Cookie": "session=c00kie-value",
            "X-Api-Key": "k3y-v4lue",
            "Proxy-Authorization": "Basic cHJveHk6cHJveHk=",
            "X-Colour": "red",
        },
    )
    text = json.dumps(box.only["data"])
    for value in (token, "c00kie-value", "p4ssw0rd", "0815", "h1dden", "k3y-v4lue", "cHJveHk6"):
        assert value not in text
    request = box.only["data"]["request"]
    assert request["headers"]["X-Colour"] == "red"
    assert request["url"] == "http://localhost/die?api_key=***&page=2"
    assert json.loads(request["request_body"])["card"] == {"pin": "***", "name": "Ada"}


@pytest.mark.parametrize(
    ("raw", "kind", "expected"),
    [
        (b"user=ada&password=x1y2", "application/x-www-form-urlencoded", "user=ada&password=***"),
        (b'{"password": "x1y2", broken', "application/json", '{"password": ***, broken'),
        (b"token=x1y2 rest", "text/plain", "token=*** rest"),
        (b"Authorization: Bearer abcdefgh12345", "text/plain", "Authorization: ***"),
        (b'[1, "a"]', "application/json", '[1, "a"]'),
        (b"\xff\xfe", "application/octet-stream", "\\xff\\xfe"),
    ],
)
def test_bodies_lose_their_credentials(raw: bytes, kind: str, expected: str) -> None:
    assert body_text(raw, kind) == expected


def test_a_body_in_a_report_is_capped(client: FlaskClient, box: Box) -> None:
    client.post("/die", data=b"a" * 1_000_000, content_type="text/plain")
    assert len(box.only["data"]["request"]["request_body"]) < 10_100
    assert len(body_text(b'"' + b"a" * 50_000 + b'"', "application/json")) < 10_100


@pytest.mark.parametrize(
    "piece",
    ["a", "password", "password ", "eyJ", "-eyJaaaaa", 'secret"', "token=", "Bearer ", '"\\', "{"],
)
def test_a_body_made_to_keep_a_regex_busy_does_not(piece: str) -> None:
    started = time.process_time()
    assert len(body_text((piece * 100_000).encode(), "text/plain")) < 20_000
    assert time.process_time() - started < 10  # seconds stand for hours here: it is a millisecond


def test_a_body_nested_too_deeply_to_read_still_gives_a_report() -> None:
    assert body_text(b"[" * 100_000, "application/json").startswith("[[[")


def test_an_uploaded_file_is_not_copied_into_a_report(client: FlaskClient, box: Box) -> None:
    client.post("/die", data={"file": (__import__("io").BytesIO(b"private"), "a.txt")})
    assert "private" not in json.dumps(box.only["data"])
    assert "multipart/form-data" in box.only["data"]["request"]["request_body"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://u:pw@host/x", "http://host/x"),
        ("http://host/x?token=abc&a=b", "http://host/x?token=***&a=b"),
        ("http://host/x", "http://host/x"),
    ],
)
def test_a_url_loses_its_credentials(url: str, expected: str) -> None:
    assert without_secrets(url) == expected


def test_a_planted_secret_is_in_no_answer_report_or_log(
    box: Box,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caplog.handler, "formatter", JsonFormatter("FLASK"))
    caplog.set_level(logging.DEBUG)
    app = Flask("crash")

    @app.get("/<kind>")
    def fail(kind: str) -> Any:
        if kind == "text":
            raise RuntimeError(f"could not sign with {SECRET}")
        if kind == "repr":
            raise RuntimeError({"key": SECRET})
        if kind == "ours":
            raise Broken(f"key {SECRET}").caught(ValueError(SECRET))
        if kind == "chain":
            try:
                raise KeyError(SECRET)
            except KeyError as error:
                raise RuntimeError("later") from error
        report_warning(f"odd {SECRET}", {"a": [SECRET], SECRET: 1}, ValueError(SECRET))
        report_error(f"bad {SECRET}", {"a": {"b": SECRET}}, caught=SECRET)
        logging.getLogger("service").warning("using %s", SECRET, extra={"fields": {"x": SECRET}})
        abort(400, f"bad {SECRET}")

    handling = ErrorHandling(
        error_reporter=box, debug=True, error_callback=lambda e: {**e.to_dict(), "more": [str(e)]}
    )
    handling.install(app)
    client = app.test_client()
    answers = [client.get(f"/{kind}").text for kind in ("text", "repr", "ours", "chain", "other")]
    assert len(box.got) == 6
    reported = json.dumps([[report["title"], report["data"]] for report in box.got])
    exceptions = "".join(f"{r['exception']} {r['exception']!r}" for r in box.got)
    out, err = capsys.readouterr()
    for text in (*answers, reported, exceptions, caplog.text, out, err):
        assert SECRET not in text
        assert SECRET[:20] not in text


def test_an_exception_that_cannot_even_be_shown_is_answered(box: Box) -> None:
    class Nameless(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    status, body = ErrorHandling(error_reporter=box, debug=True).answer(Nameless())
    assert (status, body["error"]) == (500, "SERVER_ERROR")


def test_an_error_answers_outside_of_any_request_too(box: Box) -> None:
    status, body = ErrorHandling(error_reporter=box).answer(ValueError("x"))
    assert (status, body["error_id"]) == (500, box.only["data"]["error_id"])
    assert "request" not in box.only["data"]


def test_the_1_x_decorator_answers_and_reports(box: Box) -> None:
    set_error_reporter(box)

    @crash.crash_handler
    def fail() -> str:
        raise Broken("no")

    assert fail().status_code == 503  # type: ignore[attr-defined]
    assert box.only["data"]["response"]["error_code"] == "BROKEN"


@pytest.mark.parametrize("stop", [SystemExit(3), asyncio.CancelledError()])
def test_a_handler_that_would_end_the_process_is_answered(box: Box, stop: BaseException) -> None:
    app = Flask("crash")

    @app.get("/exit")
    def leave() -> str:
        raise stop

    ErrorHandling(error_reporter=box).install(app)
    body = body_of(app.test_client().get("/exit"))
    assert (body["status"], body["error"]) == (500, "SERVER_ERROR")
    assert box.only["data"]["request"]["path"] == "/exit"


def test_the_2_x_names_report_a_call_outside_of_any_operation(box: Box) -> None:
    set_error_reporter(box)
    start = datetime(2020, 1, 1, tzinfo=timezone.utc)
    crash.postmortem(slow, start, start + timedelta(seconds=2), RuntimeError("oh"), ["arg"], {})
    assert box.only["title"] == f"{__name__}.slow(): oh"
    assert box.only["data"]["time"]["microsecs"] == 2_000_000
    assert box.only["data"]["response"]["error_code"] == "UNKNOWN"
    crash.postmortem(slow, exception=InvalidParameterError("no"))
    crash.postmortem(slow)
    assert len(box.got) == 1
    data: dict[str, object] = {}
    crash.populate_error_report(data)
    assert {"user", "server", "is_ec2_instance"} <= set(data)


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Odd(PyMacaronException):
    code = "ODD"
    status = 409

    def to_dict(self) -> dict[str, object]:
        return {**super().to_dict(), "when": datetime(2020, 1, 1), "set": {1}}


def test_an_error_that_is_hard_to_show_keeps_its_status_and_code(box: Box) -> None:
    handling = ErrorHandling(error_reporter=box)
    status, body = handling.answer(InvalidParameterError("no").caught(Shy()))
    assert (status, body["error"], body["error_caught"]) == (400, "INVALID_PARAMETER", "Shy")
    status, body = handling.answer(Odd("no"))
    assert (status, body["error"], body["when"]) == (409, "ODD", "2020-01-01 00:00:00")
    json.dumps(body)


def test_a_page_of_another_origin_may_read_our_headers(client: FlaskClient) -> None:
    headers = client.get("/ok", headers={"Origin": "https://app.example.com"}).headers
    assert headers["Access-Control-Expose-Headers"] == "X-Request-ID, X-Renewed-Token"
    assert "Access-Control-Expose-Headers" not in client.get("/ok").headers
