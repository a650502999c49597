"""The short road in front of Flask: what handlers find there, and when it is not taken."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from flask import Flask, Response, after_this_request, g, request, session, url_for
from flask.ctx import RequestContext
from werkzeug.test import EnvironBuilder, run_wsgi_app

from pymacaron.config import PyMacaronConfig
from tests.runtime.serving import Service, openapi, serve

ANY = {"200": {"description": "ok", "content": {"application/json": {"schema": {}}}}}


def operation(handler: str, *parameters: str) -> dict[str, Any]:
    return {
        "x-bind-server": f"handlers_of_a_test.{handler}",
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in parameters
        ],
        "responses": ANY,
    }


PATHS: dict[str, Any] = {
    "/look": {"get": operation("look")},
    "/look/{name}": {"get": operation("look_at", "name")},
}


def look() -> Any:
    return {"road": road()}


def road() -> str:
    """The contexts of the short road are of classes of their own."""
    context = flask.globals._cv_request.get()
    return "flask" if type(context) is RequestContext else "short"


def served(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    handlers: dict[str, Any],
    paths: dict[str, Any] = PATHS,
) -> Service:
    handlers = {"look": look, "look_at": lambda name: {"road": road(), "name": name}, **handlers}
    return serve(folder, monkeypatch, openapi(paths), handlers)


def road_of(service: Service, path: str = "/look") -> Any:
    return service.client.get(path).get_json()["road"]


@pytest.fixture
def service(
    fresh_config: PyMacaronConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Service]:
    fresh_config.fast_path = True
    return lambda handlers=None, **more: served(tmp_path, monkeypatch, handlers or {}, **more)


PARTS = ("request", "url_adapter", "flashes", "session", "_after_request_functions", "g")


@pytest.mark.parametrize(
    ("look", "made"),
    [
        (lambda: None, set()),
        (lambda: flask.current_app.name, set()),
        (lambda: g.get("x"), {"g"}),
        (lambda: request.headers.get("Accept"), {"request"}),
        (lambda: url_for("pymacaron_ready"), {"request", "url_adapter"}),
        (lambda: session.get("x"), {"request", "session"}),
        (flask.get_flashed_messages, {"request", "flashes", "session"}),
        (lambda: after_this_request(lambda r: r), {"_after_request_functions"}),
    ],
)
def test_of_flasks_contexts_only_that_is_made_which_a_handler_looks_at(
    service: Callable[..., Service], look: Callable[[], Any], made: set[str]
) -> None:
    def handler() -> Any:
        look()
        inner, outer = flask.globals._cv_request.get(), flask.globals._cv_app.get()
        made = {*vars(inner), *vars(outer)}
        if "_session" in made:  # as newer versions of Flask call it
            made.add("session")
        return {"made": [name for name in PARTS if name in made]}

    api = service({"look": handler})
    answer = api.client.get("/look").get_json()
    assert set(answer["made"]) == made


def streamed() -> Any:
    def words() -> Iterator[str]:
        yield request.path
        yield g.word

    g.word = " kept"
    return Response(flask.stream_with_context(words()), headers={"X-Streamed": "yes"})


def copied() -> Any:
    found: list[Any] = []

    @flask.copy_current_request_context
    def later() -> None:
        found.extend([request.path, request.view_args, session.get("x"), g.get("word", "none")])

    g.word = "not copied"
    thread = threading.Thread(target=later)
    thread.start()
    thread.join()
    return {"found": found}


def flashed() -> Any:
    flask.flash("well done")
    return {"messages": flask.get_flashed_messages(), "again": flask.get_flashed_messages()}


def pushed_again() -> Any:
    with flask.globals.request_ctx._get_current_object(), flask.current_app.app_context():  # type: ignore[attr-defined]
        g.word = "inner"
        inside = [request.path, g.word]
    return {"inside": inside, "outside": g.get("word", "none")}


def session_only_read() -> Any:
    return {"there": "x" in session}


@pytest.mark.parametrize("handler", [streamed, copied, flashed, pushed_again, session_only_read])
def test_ways_into_flasks_contexts_lead_to_the_same_on_both_roads(
    service: Callable[..., Service], fresh_config: PyMacaronConfig, handler: Callable[[], Any]
) -> None:
    answers = []
    for fast in (True, False):
        fresh_config.fast_path = fast
        api = service({"look": handler})
        api.app.secret_key = "fixed"
        answer = api.client.get("/look")
        headers = {
            k: v for k, v in answer.headers.items() if k not in ("X-Request-ID", "Set-Cookie")
        }
        answers.append((answer.status_code, answer.get_data(as_text=True), headers))
        assert not flask.has_app_context()
        assert not flask.has_request_context()
    assert answers[0] == answers[1]
    assert answers[0][0] == 200


def everything() -> Any:
    @after_this_request
    def sign(response: Response) -> Response:
        response.headers["X-Signed"] = flask.current_app.name
        return response

    session["seen"] = session.get("seen", 0) + 1
    g.count = g.get("count", 0) + 1
    return {
        "args": request.args.to_dict(),
        "rule": str(request.url_rule),
        "view_args": request.view_args,
        "endpoint": request.endpoint,
        "method": request.method,
        "body": request.get_json(silent=True),
        "url": url_for("pymacaron_ready"),
        "external": url_for("pymacaron_ready", _external=True),
        "seen": session["seen"],
        "count": g.count,
        "same": g._get_current_object() is flask.globals.app_ctx.g,
        "app": flask.current_app.name,
        "contexts": [flask.has_app_context(), flask.has_request_context()],
    }


async def everything_later() -> Any:
    return everything()


@pytest.mark.parametrize("handler", [everything, everything_later])
def test_a_handler_finds_flask_as_it_knows_it(
    service: Callable[..., Service], fresh_config: PyMacaronConfig, handler: Any
) -> None:
    body = {"content": {"application/json": {"schema": {"type": "object"}}}}
    paths = {"/all/{x}": {"post": {**operation("all", "x"), "requestBody": body}}}
    paths["/all/{x}"]["post"]["x-bind-server"] = "handlers_of_a_test.everything"
    answers = []
    for fast in (True, False):
        fresh_config.fast_path = fast

        def taking(body: Any, x: str) -> Any:
            return handler()

        async def taking_later(body: Any, x: str) -> Any:
            return await handler()

        take = taking if handler is everything else taking_later
        api = service({"everything": take}, paths=paths)
        api.app.secret_key = "fixed"
        replies = [api.client.post("/all/7?a=b", json={"c": 1}) for _ in range(2)]
        for reply in replies:
            assert reply.headers["X-Signed"] == "test"
            assert "session=" in reply.headers["Set-Cookie"]
        answers.append([reply.get_json() for reply in replies])
    assert answers[0] == answers[1]
    assert [answer["seen"] for answer in answers[0]] == [1, 2]
    assert answers[0][0]["count"] == 1


def test_a_user_who_is_known_stands_in_g(
    service: Callable[..., Service], jwt_config: PyMacaronConfig
) -> None:
    from pymacaron.auth import generate_token, get_userid, requires_auth

    @requires_auth
    def who() -> Any:
        before = get_userid()
        return {"before": before, "g": g.current_user["sub"], "after": get_userid()}

    api = service({"look": who})
    header = {"Authorization": f"Bearer {generate_token('ada')}"}
    found = api.client.get("/look", headers=header).get_json()
    assert found == {"before": "ada", "g": "ada", "after": "ada"}


def nothing(*args: Any, **kwargs: Any) -> None:
    return None


def before_request(app: Flask) -> None:
    app.before_request(nothing)


def after_request(app: Flask) -> None:
    app.after_request(lambda response: response)


def teardown(app: Flask) -> None:
    app.teardown_request(nothing)


def teardown_context(app: Flask) -> None:
    app.teardown_appcontext(nothing)


def preprocessor(app: Flask) -> None:
    app.url_value_preprocessor(nothing)


def signalled(app: Flask) -> None:
    flask.request_started.connect(nothing, app)


def error_handler(app: Flask) -> None:
    app.register_error_handler(404, lambda error: ("gone", 404))


def extension(app: Flask) -> None:
    app.extensions["cache"] = object()


def request_class(app: Flask) -> None:
    app.request_class = type("Own", (flask.Request,), {})


def sessions(app: Flask) -> None:
    app.session_interface = type("Own", (flask.sessions.SecureCookieSessionInterface,), {})()


def method(app: Flask) -> None:
    app.make_response = app.make_response  # type: ignore[method-assign]


def hosts(app: Flask) -> None:
    app.config["SERVER_NAME"] = "localhost"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (before_request, "before_request functions"),
        (after_request, "after_request functions"),
        (teardown, "teardown_request functions"),
        (teardown_context, "teardown_appcontext functions"),
        (preprocessor, "url_value_preprocessors"),
        (signalled, "signal request-started"),
        (error_handler, "handles NotFound by itself"),
        (extension, "the extension cache"),
        (request_class, "request or response classes"),
        (sessions, "sessions in its own way"),
        (method, "its own make_response()"),
        (hosts, "SERVER_NAME is set"),
    ],
)
def test_what_only_flask_does_takes_all_operations_to_its_road(
    service: Callable[..., Service],
    caplog: pytest.LogCaptureFixture,
    change: Callable[[Flask], None],
    reason: str,
) -> None:
    with caplog.at_level(logging.INFO, "pymacaron.dispatch"):
        api = service()
        assert not caplog.records
        change(api.app)
        assert [road_of(api) for _ in range(2)] == ["flask", "flask"]
    (record,) = [r for r in caplog.records if r.name == "pymacaron.dispatch"]
    assert reason in record.getMessage()


def test_a_signal_that_somebody_listens_to_later_is_sent(service: Callable[..., Service]) -> None:
    api = service()
    assert road_of(api) == "short"
    heard = []

    def hear(app: Flask, **_: object) -> None:
        heard.append(app)

    with flask.request_finished.connected_to(hear, api.app):
        assert road_of(api) == "flask"
    assert heard == [api.app]


def test_functions_that_come_too_late_are_refused_as_flask_does(
    service: Callable[..., Service],
) -> None:
    api = service()
    assert road_of(api) == "short"
    with pytest.raises(AssertionError, match="no longer be called"):
        api.app.before_request(nothing)


@pytest.mark.parametrize("value", [False, "off"])
def test_the_setting_fast_path_turns_it_off(
    service: Callable[..., Service], fresh_config: PyMacaronConfig, value: object
) -> None:
    fresh_config.fast_path = value
    assert road_of(service()) == "flask"


def test_a_view_function_that_was_replaced_is_called(
    service: Callable[..., Service], caplog: pytest.LogCaptureFixture
) -> None:
    api = service()
    api.app.view_functions["GET /look"] = lambda: "mine"
    with caplog.at_level(logging.INFO, "pymacaron.dispatch"):
        assert api.client.get("/look").text == "mine"
        assert road_of(api, "/look/x") == "short"
    assert "GET /look" in caplog.text


def test_a_client_that_keeps_contexts_keeps_them(service: Callable[..., Service]) -> None:
    def look() -> Any:
        g.seen = "yes"
        return {}

    with service({"look": look}).client as client:
        client.get("/look?a=1")
        assert request.args["a"] == "1"
        assert g.seen == "yes"


def test_within_an_application_context_its_g_is_used(service: Callable[..., Service]) -> None:
    api = service({"look": lambda: {"seen": g.seen}})
    with api.app.app_context():
        g.seen = "outside"
        assert api.client.get("/look").get_json() == {"seen": "outside"}


MAZE = {
    "/a": "get", "/a/": "post", "/a/b": "get", "/a/{x}": "get", "/{x}/b": "get", "/a/{x}/c": "get",
    "/{x}/b/c": "get", "/a/b/d/": "get", "/{x}/{y}/{z}": "get", "/f/{x}.json": "get",
    "/f/{x}": "get", "/é": "get", "/s/{x}": "get", "/own/{x}": "get", "/{x}/{y}/d": "get",
    "/t/{x}/": "get",
}  # fmt: skip
ROADS = [
    "/a", "/a/", "/a/b", "/a/b/", "/a/q", "/q/b", "/a/b/c", "/a/q/c", "/q/b/c", "/q/r/s", "/a/b/d",
    "/a/b/d/", "/f/q.json", "/f/q", "/f/q.json/", "//a/b", "/a//b", "/a/%2F", "/%C3%A9", "/é",
    "/a/%ff", "/s/special", "/s/other", "/own/1", "/own/1/2", "/t/1", "/t/1/", "/a/q\n", "", "/",
    "/q/r/d", "/a/%20", "/a/..", "/A", "/a/b?x", "/t//", "/loose", "/loose/", "/q/",
]  # fmt: skip


def test_every_path_leads_where_flask_leads(
    service: Callable[..., Service],
    fresh_config: PyMacaronConfig,
) -> None:
    """Also beside routes that the application has made with Flask itself."""

    def handler(path: str) -> Callable[..., Any]:
        return lambda **values: {"path": path, "values": values}

    handlers, paths = {}, {}
    for number, (path, verb) in enumerate(MAZE.items()):
        names = [name for name in "xyz" if "{" + name + "}" in path]
        handlers[f"h{number}"] = handler(path)
        paths[path] = {verb: operation(f"h{number}", *names)}
    apps = []
    for fast in (True, False):
        fresh_config.fast_path = fast
        api = service(handlers, paths=paths)
        api.app.add_url_rule("/s/special", "special", lambda: "special")
        api.app.add_url_rule("/own/<path:rest>", "own", lambda rest: f"own {rest}")
        api.app.add_url_rule("/<x>/", "slash", lambda x: f"slash {x}")
        api.app.add_url_rule("/loose", "loose", lambda: "loose", strict_slashes=False)
        apps.append(api)
    for method in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "get"):
        for path in ROADS:
            direct, flasks = (
                (reply.status, reply.data, reply.headers.get("Location"))
                for reply in (api.client.open(path, method=method) for api in apps)
            )
            assert direct == flasks, (method, path)
    assert apps[0].client.get("/a/b").get_json()["path"] == "/a/b"


@pytest.mark.parametrize("verb", ["head", "options"])
def test_operations_for_head_and_options_answer_as_through_flask(
    service: Callable[..., Service], fresh_config: PyMacaronConfig, verb: str
) -> None:
    asked = [("Origin", "https://a.example.com"), ("Access-Control-Request-Method", "GET")]
    answers = []
    for fast in (True, False):
        fresh_config.fast_path = fast
        paths = {"/x": {verb: operation("handle")}}
        api = service({"handle": lambda: {"path": "x", "values": {}}}, paths=paths)
        environ = EnvironBuilder("/x", method=verb.upper(), headers=asked)
        answers.append(run_wsgi_app(api.app, environ.get_environ(), buffered=True))
    (body, status, headers), (flasks_body, flasks_status, flasks_headers) = answers
    assert (list(body), status) == (list(flasks_body), flasks_status)
    for found in (headers, flasks_headers):
        assert found.pop("X-Request-ID")
    assert sorted(headers) == sorted(flasks_headers)
