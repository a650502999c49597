"""API and letsgo: loading, binding, the built-in endpoints, CORS, compression, starting."""

# ruff: noqa: E501

from __future__ import annotations

import gzip
import json
import logging
import subprocess
import sys
import types
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask, abort
from werkzeug.datastructures import WWWAuthenticate

from pymacaron import API, SpecError, UnknownModel, apipool, get_model, letsgo
from pymacaron.builtin import PingFailed
from pymacaron.config import get_config
from pymacaron.monitor import backends
from pymacaron.pool import use_pool
from pymacaron.server import get_port
from tests.runtime.served import container, development_server
from tests.runtime.serving import MODULE, Service, openapi, serve, swagger

OK = {"200": {"description": "x", "schema": {"$ref": "#/definitions/Ok"}}}
DEFINITIONS = {
    "Ok": {"type": "object", "properties": {"text": {"type": "string"}}},
    "Other": {"type": "object", "properties": {"a": {"type": "integer"}}},
}


def get(handler: str = "handle", **more: Any) -> dict[str, Any]:
    return {"x-bind-server": f"{MODULE}.{handler}", "responses": OK, **more}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def start(handler: Callable[..., Any] | None = None, **options: Any) -> Service:
        def handle() -> Any:
            return apipool.test.Ok(text="é" * 600)

        spec = swagger({"/long": {"get": get()}}, DEFINITIONS)
        return serve(tmp_path, monkeypatch, spec, {"handle": handler or handle}, **options)

    return start


def test_every_service_has_ping_and_version(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hooked: list[int] = []
    service = served(ping_hook=lambda: hooked.append(1))
    assert service.client.get("/ping").get_json() == {}
    assert hooked == [1]
    monkeypatch.setenv("PYM_ENV", "staging")
    version = service.client.get("/version").get_json()
    assert version["apis"] == ["ping", "test"]
    assert (version["version"], version["pym_env"]) == ("local", "staging")
    assert "release" not in version
    monkeypatch.setenv("PYM_RELEASE", "r-1")
    assert service.client.get("/version").get_json()["release"] == "r-1"
    assert service.error("GET", "/auth/version")[0] == 401


def test_every_api_object_of_a_process_serves_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gunicorn"])
    with use_pool():
        apps = [Flask("one"), Flask("two"), Flask("three")]
        for app in apps:
            api = API(app, port=80)
            if app.name != "two":
                api.load_builtin_apis()
            api.start()
        for app in apps:
            assert app.test_client().get("/ping").get_json() == {}
            assert app.test_client().get("/version").status_code == 200


def test_ping_hooks_may_be_a_list_and_a_failing_one_fails_the_ping(served: Any) -> None:
    def broken() -> None:
        raise ValueError

    service = served(ping_hook=[lambda: None, broken])
    status, _ = service.error("GET", "/ping")
    assert status == 500


class Counter:
    """A monitoring backend that only looks at errors."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def section(self, kind: str, method: str) -> Any:
        return nullcontext()

    def started(self, info: object) -> None:
        pass

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        pass

    def exception(self, code: str) -> None:
        self.codes.append(code)

    def finished(self, info: object) -> None:
        pass


def test_a_ping_hook_that_goes_on_failing_is_reported_once_a_minute(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ValueError

    told: list[str] = []
    service = served(
        ping_hook=broken,
        error_reporter=lambda title, data, exception: told.append(data["error_id"]),
    )
    monkeypatch.setattr(PingFailed, "_report", None)
    counter = Counter()
    backends.add(counter)
    answers = [service.client.get("/ping") for _ in range(3)]
    assert [a.status_code for a in answers] == [500, 500, 500]
    assert told == [answers[0].get_json()["error_id"]]
    assert {a.get_json()["error_id"] for a in answers} == set(told)
    assert counter.codes == ["SERVER_ERROR"] * 3


def test_a_ping_hooks_failure_is_reported_again_after_a_minute_or_when_another_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PingFailed, "_report", None)
    failures = [("a", 0), ("a", 59), ("a", 60), ("a", 61), ("b", 62)]
    errors = [PingFailed(text, lambda now=now: now) for text, now in failures]  # type: ignore[misc]
    assert [e.reported_before for e in errors] == [False, True, False, True, False]


def test_unknown_paths_and_methods_are_answered_in_the_documented_form(served: Any) -> None:
    service = served()
    assert service.error("GET", "/nope")[0] == 404
    assert service.error("DELETE", "/long")[0] == 405
    allow = service.client.delete("/long").headers["Allow"]
    assert set(allow.split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_head_and_options_answer_as_users_of_flask_expect(served: Any) -> None:
    client = served().client
    head, full = client.head("/long"), client.get("/long")
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == full.headers["Content-Length"]
    options = client.options("/long")
    assert options.status_code == 200
    assert "GET" in options.headers["Allow"]


def test_every_route_allows_calls_from_other_sites(served: Any) -> None:
    client = served().client
    for path in ("/long", "/ping", "/nope"):
        assert client.get(path).headers["Access-Control-Allow-Origin"] == "*"
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    preflight = client.options("/long", headers=asked)
    assert preflight.headers["Access-Control-Allow-Headers"] == "Content-Type, Authorization"
    assert "GET" in preflight.headers["Access-Control-Allow-Methods"]


def test_long_answers_are_compressed_for_those_who_can_read_them(served: Any) -> None:
    client = served().client
    plain = client.get("/long")
    packed = client.get("/long", headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data)
    assert gzip.decompress(packed.data) == plain.data
    for accept in ("gzip;q=0", "identity", "br"):
        assert (
            "Content-Encoding"
            not in client.get("/long", headers={"Accept-Encoding": accept}).headers
        )
    assert (
        "Content-Encoding" not in client.get("/ping", headers={"Accept-Encoding": "gzip"}).headers
    )


def test_base_path_is_ignored_unless_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handle() -> Any:
        return apipool.test.Ok()

    old = {**swagger({"/a": {"get": get()}}, DEFINITIONS), "basePath": "/v1"}
    new = openapi(
        {
            "/a": {
                "get": {
                    "x-bind-server": f"{MODULE}.nothing",
                    "responses": {"204": {"description": "x"}},
                }
            }
        }
    )
    new["servers"] = [{"url": "https://{host}/v2", "variables": {"host": {"default": "x.example"}}}]
    for spec, prefix in ((old, "/v1"), (new, "/v2")):
        for wanted in (False, True):
            monkeypatch.setitem(get_config().__dict__["_code"], "use_base_path", wanted)
            service = serve(
                tmp_path, monkeypatch, spec, {"handle": handle, "nothing": lambda: None}
            )
            assert service.client.get("/a").status_code == (
                404 if wanted else service.client.get("/a").status_code
            )
            assert (service.client.get(f"{prefix}/a").status_code < 300) is wanted
            assert service.client.get("/ping").status_code == 200


def test_all_handlers_that_are_missing_are_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = {"name": "q", "in": "query", "type": "string"}
    body = {"name": "b", "in": "body", "schema": {}}
    spec = swagger(
        {
            "/a": {"get": {"responses": OK}},
            "/b": {"get": {"x-bind-server": "no_such_package.module.f", "responses": OK}},
            "/c": {"get": get("missing")},
            "/d": {"get": get("number")},
            "/e": {"get": get("plain", parameters=[query])},
            "/f": {"post": get("plain", parameters=[body])},
            "/g": {"get": get("needy")},
            "/h": {"get": get(**{"x-decorate-server": f"{MODULE}.missing"})},
        },
        DEFINITIONS,
    )
    handlers = {
        "handle": lambda: None,
        "number": 5,
        "plain": lambda: None,
        "needy": lambda thing: None,
    }
    with pytest.raises(SpecError) as error:
        serve(tmp_path, monkeypatch, spec, handlers)  # type: ignore[arg-type]
    told = [p.text for p in error.value.problems]
    assert told == [
        "GET /a has no handler: name it in x-bind-server: pkg.module.function",
        "the handler no_such_package.module.f can't be imported: ModuleNotFoundError: No module named 'no_such_package'",
        f"there is no handler {MODULE}.missing: {MODULE} has no 'missing'",
        f"the handler {MODULE}.number can't be called",
        f"{MODULE}.plain takes no argument 'q', which is a query parameter of GET /e",
        f"{MODULE}.plain takes no argument for the request's body",
        f"{MODULE}.needy needs an argument 'thing', which GET /g does not declare",
        f"there is no handler {MODULE}.missing: {MODULE} has no 'missing'",
    ]
    assert all(p.line for p in error.value.problems)


def test_the_headers_of_an_abort_reach_the_client(served: Any) -> None:
    def refuse() -> None:
        abort(401, "who are you?", www_authenticate=WWWAuthenticate("basic", {"realm": "cards"}))

    answer = served(refuse).client.get("/long")
    assert answer.headers["WWW-Authenticate"] == "Basic realm=cards"
    assert answer.headers.getlist("Content-Type") == ["application/json"]
    assert answer.get_json()["error_description"] == "who are you?"


def test_monitoring_tools_see_an_operation_by_its_handlers_name(served: Any) -> None:
    view = served().app.view_functions["GET /long"]
    assert (view.__module__, view.__name__) == (MODULE, "handle")


@pytest.mark.parametrize("serve", [None, "test"])
def test_what_2_accepted_in_passing_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: str | None
) -> None:
    """start(serve=) of older documentation, x-decorate-request for clients."""
    monkeypatch.setattr(logging.getLogger(), "level", logging.INFO)  # put back afterwards
    monkeypatch.setattr(sys, "argv", ["gunicorn"])
    monkeypatch.setitem(sys.modules, MODULE, types.SimpleNamespace(handle=lambda: None))
    spec = swagger({"/a": {"get": get(**{"x-decorate-request": "a.b.c"})}}, DEFINITIONS)
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(spec))
    with use_pool():
        api = API(Flask("test"), port=80, log_level=logging.WARNING)
        assert api.load_apis(str(tmp_path)) is api
        api.start(serve=serve)
        assert api.app.test_client().get("/ping").get_json() == {}
    assert logging.getLogger().level == logging.WARNING


def test_a_handler_is_wrapped_by_the_decorator_that_the_operation_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shout(handler: Callable[[], Any]) -> Callable[[], Any]:
        def wrapped() -> Any:
            answer = handler()
            answer.text += "!"
            return answer

        return wrapped

    spec = swagger({"/a": {"get": get(**{"x-decorate-server": f"{MODULE}.shout"})}}, DEFINITIONS)
    handlers: dict[str, Any] = {"handle": lambda: apipool.test.Ok(text="a"), "shout": shout}
    assert serve(tmp_path, monkeypatch, spec, handlers).client.get("/a").get_json() == {
        "text": "a!"
    }


def test_an_operation_id_that_is_a_dotted_path_names_the_handler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = swagger(
        {"/a": {"get": {"operationId": f"{MODULE}.handle", "responses": OK}}}, DEFINITIONS
    )
    service = serve(tmp_path, monkeypatch, spec, {"handle": lambda: apipool.test.Ok()})
    assert service.client.get("/a").get_json() == {}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "argv", ["gunicorn"])
    module = types.ModuleType(MODULE)
    module.handle = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, MODULE, module)
    for name, schema in (("one", {"a": {"type": "integer"}}), ("two", {"a": {"type": "string"}})):
        same = {"Same": {"type": "object", "properties": schema}, **DEFINITIONS}
        text = json.dumps(swagger({f"/{name}": {"get": get()}}, same))
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "pym-config.live.yaml").write_text("name: no API")
    (tmp_path / ".hidden.yaml").write_text("not an API")
    (tmp_path / "one_models.py").write_text("raise RuntimeError('left by 2.x')")
    return tmp_path


def test_load_apis_takes_what_it_is_told_to(folder: Path) -> None:
    with use_pool() as pool:
        api = API(Flask("t"), port=80)
        assert api.load_apis(folder, ignore=["two"]) is api
        assert pool.get_api_names() == ["one"]
    with use_pool() as pool:
        api = API(Flask("t"), port=80)
        api.load_apis(str(folder), only_models=["two"])
        api.start()
        rules = {rule.rule for rule in api.app.url_map.iter_rules()}
        assert "/one" in rules
        assert "/two" not in rules
        assert pool.two.Same(a="x").a == "x"
        with pytest.raises(TypeError, match="must be a list"):
            api.load_apis(folder, ignore="two")


def test_api_files_may_be_yml_and_json(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec = swagger({"/more": {"get": get()}}, DEFINITIONS)
    (folder / "more.json").write_text(json.dumps(spec))
    spec = swagger({"/other": {"get": get()}}, DEFINITIONS)
    (folder / "deep").mkdir()
    (folder / "deep" / "other.yml").write_text(yaml.safe_dump(spec))
    (folder / "one.json").write_text((folder / "one.yaml").read_text())
    (folder / "data.json").write_text('{"example": {"openapi": "3.0.3"}}')
    (folder / "broken.json").write_text("{ nothing")
    (folder / "schemas.yml").write_text("Card:\n  example:\n    openapi: 3.0.3")
    with use_pool() as pool:
        api = API(Flask("t"), port=80).load_apis(folder)
        assert pool.get_api_names() == ["more", "one", "other", "two"]
        api.start()
        assert {"/more", "/other"} <= {rule.rule for rule in api.app.url_map.iter_rules()}
    told = [r.getMessage() for r in caplog.records if r.name == "pymacaron.api_files"]
    assert told == [
        f"{folder / 'schemas.yml'} is no API file: it lacks swagger: and openapi:",
        f"{folder / 'one.json'} is not loaded: {folder / 'one.yaml'} is",
    ]
    with use_pool() as pool:
        API(Flask("t"), port=80).load_clients(str(folder), ["more"])
        assert pool.get_api_names() == ["more"]


@pytest.mark.parametrize("name", ["bad.json", "bad.yml"])
def test_a_broken_api_file_is_no_file_to_pass_over(folder: Path, name: str) -> None:
    (folder / name).write_text('{\n  "openapi": "3.0.3",\n  "paths": {]\n}')
    with use_pool(), pytest.raises(SpecError, match=rf"{name}:3: not valid YAML"):
        API(Flask("t"), port=80).load_apis(folder)


def test_load_clients_gives_models_without_routes(folder: Path) -> None:
    with use_pool() as pool:
        api = API(Flask("t"), port=80).load_clients(str(folder), ["one"])
        api.start()
        assert pool.get_api_names() == ["one", "ping"]
        assert "/one" not in {rule.rule for rule in api.app.url_map.iter_rules()}


def test_one_name_for_two_models_is_told_with_their_difference(folder: Path) -> None:
    with use_pool(), pytest.raises(ValueError, match="Same is defined in two ways") as error:
        API(Flask("t"), port=80).load_apis(folder, global_names=True)
    assert '-            "type": "integer"' in str(error.value)
    assert '+            "type": "string"' in str(error.value)


def test_two_apis_may_not_serve_one_route(folder: Path) -> None:
    (folder / "two.yaml").write_text((folder / "one.yaml").read_text())
    with use_pool():
        api = API(Flask("t"), port=80).load_apis(folder)
        with pytest.raises(SpecError, match="GET /one is served already"):
            api.start()


def test_problems_of_all_files_are_told_together(folder: Path) -> None:
    for name in ("one", "two"):
        (folder / f"{name}.yaml").write_text("swagger: '2.0'")
    with use_pool(), pytest.raises(SpecError) as error:
        API(Flask("t"), port=80).load_apis(folder)
    assert len(error.value.problems) == 2


def test_the_pool_says_what_it_does_not_know(folder: Path) -> None:
    with use_pool() as pool:
        API(Flask("t"), port=80).load_apis(folder)
        assert get_model("Other")(a=1).get_model_api() == "one"
        assert pool.get_model("one") is pool.one
        with pytest.raises(UnknownModel, match="no API 'three' is loaded; loaded are: one, two"):
            pool.three  # noqa: B018
        with pytest.raises(UnknownModel, match="has no model 'Sam'; did you mean Same"):
            pool.one.Sam  # noqa: B018
        with pytest.raises(UnknownModel, match="no loaded API has a model 'Nope'"):
            get_model("Nope")


def test_load_swagger_takes_the_arguments_of_2(folder: Path) -> None:
    with use_pool() as pool:
        pool.load_swagger(
            "mine", folder / "one.yaml", dest_dir="x", create_endpoints=True, force=True
        )
        assert pool.mine.json_to_model("Same", {"a": 1, "b": None}).to_json() == {"a": 1}
    assert sorted(p.name for p in folder.iterdir() if p.suffix == ".py") == ["one_models.py"]


@pytest.mark.parametrize(
    ("environ", "port"),
    [({"PORT": "1", "PYM_SERVER_PORT": "2"}, 1), ({"PYM_SERVER_PORT": "2"}, 2), ({}, 80)],
)
def test_the_port_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], port: int
) -> None:
    monkeypatch.delenv("PORT", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert get_port() == port


def test_letsgo_gives_a_callback_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/gunicorn"])
    monkeypatch.setenv("PORT", "8080")
    seen: list[Any] = []
    callbacks: list[Callable[..., Any]] = [
        lambda port, debug: seen.append((port, debug)),
        lambda port, debug=True: seen.append((port, debug)),
        lambda port, *, debug: seen.append((port, debug)),
        lambda port: seen.append(port),
        lambda: seen.append("none"),
    ]
    for callback in callbacks:
        letsgo("server", callback=callback)
    assert seen == [(8080, False), (8080, False), (8080, False), 8080, "none"]


def test_letsgo_does_nothing_when_a_test_imports_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    letsgo("server", callback=lambda port: pytest.fail("called"))


def test_letsgo_is_a_command_when_the_server_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pym-config.yaml").write_text("name: commanded")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYM_ENV", "to be put back")
    monkeypatch.setattr(sys, "argv", ["server.py", "--port", "1234", "--no-debug", "--env", "dev"])
    seen: list[Any] = []
    with pytest.raises(SystemExit):
        letsgo("__main__", callback=lambda port, debug: seen.append((port, debug)))
    assert seen == [(1234, False)]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("name: a\nname: b\n", "pym-config.yaml:2:1: 'name' is set twice, first on line 1"),
        ("name: a\n", "there is no handler json.no_such_handler"),
    ],
)
def test_the_development_server_tells_mistakes_without_a_traceback(
    tmp_path: Path, config: str, told: str
) -> None:
    garden = Path(__file__).parent / "garden"
    (tmp_path / "server.py").write_text((garden / "server.py").read_text())
    (tmp_path / "pym-config.yaml").write_text(config)
    (tmp_path / "apis").mkdir()
    operation = {"x-bind-server": "json.no_such_handler", "responses": OK}
    spec = swagger({"/a": {"get": operation}}, DEFINITIONS)
    (tmp_path / "apis" / "one.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    run = subprocess.run(
        [sys.executable, "server.py"],
        cwd=tmp_path, env={"PORT": "1"}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert "the service can't start:\n" in run.stderr
    assert told in run.stderr
    assert "Traceback" not in run.stderr


def test_the_development_server_offers_no_console_to_run_code_in(tmp_path: Path) -> None:
    garden = Path(__file__).parent / "garden"
    with development_server(garden, tmp_path / "log") as running:
        url = running.url
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{url}/console", timeout=10)
        assert refused.value.code == 404
        assert json.load(refused.value)["error"] == "NOT_FOUND"


def test_a_service_answers_under_its_server(tmp_path: Path) -> None:
    garden = Path(__file__).parent / "garden"
    with container(garden, tmp_path / "log", {"PYM_RELEASE": "r-7"}) as running:
        url = running.url
        with urllib.request.urlopen(f"{url}/version", timeout=10) as answer:
            version = json.load(answer)
        assert (version["name"], version["release"]) == ("garden", "r-7")
        chunks = (part for part in (b'{"kind": "tree",', b' "height": 3}'))
        call = urllib.request.Request(f"{url}/plants/Oak", data=chunks, method="PUT")  # chunked
        call.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(call, timeout=10) as answer:
            assert json.load(answer) == {"kind": "tree", "height": 3, "evergreen": False}
