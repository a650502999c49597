"""10,000 requests, good and bad, down both roads: nobody can tell which one an answer came by."""

from __future__ import annotations

import gzip
import io
import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Response, after_this_request, g, redirect, request, session
from werkzeug.exceptions import abort

from pymacaron.auth import generate_token, get_userid, requires_auth
from pymacaron.config import PyMacaronConfig
from pymacaron.exceptions import add_error
from tests.runtime.serving import Service, openapi, serve

REQUESTS = 10_000
SEED = 11
LIMIT = 4_000
Answer = tuple[str, list[tuple[str, str]], bytes]

Full = add_error("Full", "FULL", 409)


def parameter(name: str, where: str, schema: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": schema, **more}


INTEGER = {"type": "integer", "minimum": 0}
TEXT = {"type": "string"}
LIST = {"type": "array", "items": INTEGER}
ANY = {"description": "ok", "content": {"application/json": {"schema": {}}}}
LINE = {
    "type": "object",
    "required": ["sku"],
    "properties": {"sku": TEXT, "count": INTEGER, "at": {"type": "string", "format": "date-time"}},
}


def operation(handler: str, *parameters: Any, **more: Any) -> dict[str, Any]:
    return {
        "x-bind-server": f"handlers_of_a_test.{handler}",
        "parameters": list(parameters),
        "responses": {"200": ANY, "204": {"description": "nothing"}, "418": ANY},
        **more,
    }


def content(**types: Any) -> dict[str, Any]:
    return {"content": {name.replace("_", "/", 1): {"schema": s} for name, s in types.items()}}


FORM = {
    "application/x-www-form-urlencoded": {"schema": LINE},
    "multipart/form-data": {"schema": LINE},
}
SPEC = openapi(
    {
        "/plain": {"get": operation("plain"), "delete": operation("nothing")},
        "/query": {
            "get": operation(
                "query",
                parameter("n", "query", {**INTEGER, "default": 3}),
                parameter("tags", "query", LIST),
                parameter("flag", "query", {"type": "boolean"}),
                parameter("X-Weight", "header", {"type": "number"}),
                parameter("mark", "cookie", TEXT),
            )
        },
        "/items/{id}": {
            "get": operation("item", parameter("id", "path", INTEGER)),
            "put": operation(
                "replace",
                parameter("id", "path", INTEGER),
                requestBody={"required": True, **content(application_json=LINE)},
            ),
        },
        "/items/best": {"get": operation("best")},
        "/items/{id}/notes/{note-id}": {
            "get": operation(
                "note", parameter("id", "path", TEXT), parameter("note-id", "path", TEXT)
            )
        },
        "/slash/": {"get": operation("plain")},
        "/lines": {
            "post": operation(
                "lines",
                requestBody=content(application_json={"type": "array", "items": LINE}),
            )
        },
        "/form": {"post": operation("form", requestBody={"content": FORM})},
        "/text": {"post": operation("text", requestBody=content(text_plain=TEXT))},
        "/me": {"get": operation("me")},
        "/flask": {"post": operation("flask", requestBody=content(application_json={}))},
        "/fail/{how}": {"get": operation("fail", parameter("how", "path", TEXT))},
        "/large": {"get": operation("large")},
    }
)


def query(n: Any, tags: Any, flag: Any, x_weight: Any, mark: Any) -> Any:
    return {"n": n, "tags": tags, "flag": flag, "weight": x_weight, "mark": mark}


def flask(body: Any) -> Any:
    """Looks at everything that Flask has for it."""
    g.visits = g.get("visits", 0) + 1
    session["visits"] = session.get("visits", 0) + 1

    @after_this_request
    def sign(response: Response) -> Response:
        response.headers["X-Visits"] = str(session["visits"])
        return response

    return {
        "args": request.args.to_dict(flat=False),
        "rule": str(request.url_rule),
        "cookies": sorted(request.cookies),
        "data": len(request.get_data()),
        "json": request.get_json(silent=True),
        "visits": g.visits,
        "body": body,
    }


def fail(how: str) -> Any:
    if how == "full":
        raise Full("no more room")
    if how == "abort":
        abort(401)
    if how == "teapot":
        return {"tea": True}, 418, {"X-Tea": "green"}
    if how == "header":
        return {}, 200, {"X-Bad": "a\r\nb: c"}
    if how == "away":
        return redirect("/plain")
    if how == "response":
        return Response("mine", status=202, headers={"X-Own": "1"})
    if how == "stop":
        raise SystemExit(3)
    if how == "undeclared":
        return b"\xff"
    raise RuntimeError(how)


@requires_auth
async def me() -> Any:
    return {"user": get_userid()}


HANDLERS: dict[str, Any] = {
    "plain": lambda: {"ok": True},
    "nothing": lambda: None,
    "query": query,
    "item": lambda id: {"id": id},
    "best": lambda: {"best": True},
    "replace": lambda line, id: {"id": id, "line": line},
    "note": lambda id, note_id: {"id": id, "note": note_id},
    "lines": lambda lines: {"count": len(lines or [])},
    "form": lambda form: {"form": form},
    "text": lambda text: {"text": text},
    "me": me,
    "flask": flask,
    "fail": fail,
    "large": lambda: {"text": "x" * 2000},
}


@pytest.fixture
def roads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jwt_config: PyMacaronConfig
) -> tuple[Service, Service]:
    jwt_config.max_body_size = LIMIT
    made = []
    for fast in (True, False):
        jwt_config.fast_path = fast
        service = serve(tmp_path, monkeypatch, SPEC, HANDLERS)
        service.app.secret_key = "fixed"
        made.append(service)
    monkeypatch.setenv("NO_ERROR_REPORTING", "1")
    return made[0], made[1]


class Traffic:
    """Makes up WSGI environments, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)
        self.token = generate_token("ada")

    def __call__(self) -> dict[str, Any]:
        pick = self.pick
        body, path = self.body(), self.path()
        usual = "POST" if path in ("/lines", "/form", "/text", "/flask") else "GET"
        usual = "PUT" if path == "/items/7" and pick.random() < 0.8 else usual
        environ = {
            "REQUEST_METHOD": usual if pick.random() < 0.9 else self.method(),
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": self.query(),
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "example.com",
            "HTTP_X_REQUEST_ID": "given",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.url_scheme": pick.choice(["http", "http", "https"]),
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/json",
        }
        for change in pick.sample(CHANGES, pick.choice([0, 0, 1, 1, 2, 4])):
            change(environ, pick, self)
        return environ

    def method(self) -> str:
        return self.pick.choice(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "get", "BREW"])

    def path(self) -> str:
        return self.pick.choice(
            [
                *("/plain", "/query", "/query", "/items/7", "/items/best", "/items/x", "/items/-1"),
                *("/items/7/notes/8", "/items/a b/notes/c%2Fd", "/items//notes/x", "/slash/"),
                *("/slash", "/lines", "/lines", "/form", "/form", "/text", "/me", "/me", "/flask"),
                *(
                    "/flask",
                    "/large",
                    "/plain/",
                    "//plain",
                    "/items/",
                    "/nowhere",
                    "/",
                    "",
                    "plain",
                ),
                *(
                    "/items/\xc3\xa9/notes/\xe2\x82\xac",
                    "/items/\xff/notes/\xfe",
                    "/ready",
                ),
                *("/items/1.0", "/items/99999999999999999999", "/fail/" + self.failure()),
                *("/fail/" + self.failure(), "/PLAIN", "/items/7\n", "/items/+7"),
            ]
        )

    def failure(self) -> str:
        hows = ["full", "abort", "teapot", "header", "away", "response", "stop", "undeclared", "x"]
        return self.pick.choice(hows)

    def query(self) -> str:
        return self.pick.choice(
            [
                *("", "", "", "n=5", "n=-5", "n=x", "n=5&n=6", "n", "n=", "n=%35", "n=%FF", "n=%"),
                *("tags=1&tags=2", "tags=1,2", "tags=", "flag=true", "flag=1", "flag=TRUE&n=1"),
                *("%6E=4", "n=5;flag=true", "&&n=5&", "=x", "a=%C3%A9&n=1", "n=1e3", "n=+1"),
                *("tags=1&tags=x", "n=5&unknown=1", "\xe9=1", "n=" + "9" * 1200),
            ]
        )

    def body(self) -> bytes:
        pick = self.pick
        line = {"sku": "a", "count": 2, "at": "2026-11-24T10:00:00Z"}
        bad = {"count": -1, "at": "yesterday"}
        return pick.choice(
            [
                b"",
                json.dumps(line).encode(),
                json.dumps([line] * pick.randrange(5)).encode(),
                json.dumps([line, bad]).encode(),
                json.dumps(bad).encode(),
                json.dumps(line).encode()[: pick.randrange(40)],
                b'{"sku": "a", "sku": "b"}',
                b'{"sku": "\\ud800"}',
                b'{"sku": "\xff"}',
                b"[" * 300,
                b"null",
                b"NaN",
                b"sku=a&count=2",
                b"count=x&sku=%FF",
                b"--b\r\nContent-Disposition: form-data; name=sku\r\n\r\nx\r\n--b--\r\n",
                b"--b\r\nContent-Disposition: form-data; na",
                json.dumps({"sku": "x" * LIMIT}).encode(),
                gzip.compress(json.dumps(line).encode(), mtime=0),
                "grüße".encode("latin-1"),
            ]
        )


Change = Callable[[dict[str, Any], random.Random, Traffic], None]


def header(name: str, *values: str) -> Change:
    def change(environ: dict[str, Any], pick: random.Random, _: Traffic) -> None:
        environ[name] = pick.choice(values)

    return change


def without(name: str) -> Change:
    return lambda environ, *_: environ.pop(name, None)


def truncated(environ: dict[str, Any], pick: random.Random, _: Traffic) -> None:
    environ["CONTENT_LENGTH"] = str(len(environ["wsgi.input"].getvalue()) + pick.randrange(1, 9))


def chunked(environ: dict[str, Any], pick: random.Random, _: Traffic) -> None:
    environ.pop("CONTENT_LENGTH", None)
    environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    environ["wsgi.input_terminated"] = pick.choice([True, True, False])


def authorized(environ: dict[str, Any], pick: random.Random, traffic: Traffic) -> None:
    token = traffic.token
    environ["HTTP_AUTHORIZATION"] = pick.choice(
        [f"Bearer {token}", f"bearer  {token}", f"Bearer {token[:-2]}", "Bearer", "Basic x", " "]
    )


def cookie_token(environ: dict[str, Any], _: random.Random, traffic: Traffic) -> None:
    environ["HTTP_COOKIE"] = f"token=Bearer%20{traffic.token}"


FORMS = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=b")
CHANGES: list[Change] = [
    header("CONTENT_TYPE", "", *FORMS, *FORMS, "multipart/form-data", "text/plain; charset=l1"),
    header("CONTENT_TYPE", "application/json; charset=utf-8", "APPLICATION/JSON", "image/png"),
    header("CONTENT_TYPE", "text/plain", "text/plain; charset=nonsense", "application/x+json", ";"),
    header("CONTENT_LENGTH", "", "0", "-1", "x", "\xb2", "1_0", " 5", "00005", "9" * 30, "12"),
    header("HTTP_ACCEPT", "application/json", "text/html", "*/*", "application/*;q=0", "x", ",,"),
    header("HTTP_ACCEPT_ENCODING", "gzip", "gzip;q=0", "br, *", "identity"),
    header("HTTP_CONTENT_ENCODING", "gzip", "deflate", "br", "identity", "gzip, gzip"),
    header("HTTP_X_REQUEST_ID", "a b", "x" * 200, "mine-1", "\xe9"),
    header("HTTP_X_WEIGHT", "1.5", "heavy", "\xc3\xa9", "\xff"),
    header("HTTP_ORIGIN", "https://example.org"),
    header("HTTP_X_FORWARDED_PROTO", "https", "http", "https,http"),
    header("HTTP_COOKIE", "mark=x", "mark=\"q\"; mark=z", "session=rubbish", "=;;", "\xff=1"),
    header("HTTP_HOST", "", "EXAMPLE.com:8080", "a b", "[::1]:80", "x/y", "ex\xe4mple", "a:b"),
    header("HTTP_UPGRADE", "websocket", "h2c"),
    header("HTTP_CONNECTION", "upgrade", "close"),
    header("HTTP_ACCESS_CONTROL_REQUEST_METHOD", "PUT"),
    header("HTTP_IF_NONE_MATCH", "*", '"x"'),
    header("HTTP_RANGE", "bytes=0-3"),
    header("HTTP_EXPECT", "100-continue"),
    header("SCRIPT_NAME", "/under", "/"),
    without("HTTP_HOST"),
    without("CONTENT_TYPE"),
    without("CONTENT_LENGTH"),
    truncated,
    chunked,
    authorized,
    authorized,
    cookie_token,
]  # fmt: skip


def answer(app: Any, environ: dict[str, Any]) -> Answer:
    told: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        told[:] = [status, list(headers)]

    chunks = app(environ, start)
    body = b"".join(chunks)
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
    return told[0], told[1], body


def masked(found: Answer) -> Any:
    """Without what differs from call to call: ids, and a session's time stamp."""
    status, headers, body = found
    names = {"X-Request-ID", "Set-Cookie"}
    kept = sorted((n, "" if n in names and v != "given" else v) for n, v in headers)
    if b"error_id" in body and not any(n == "Content-Encoding" for n, _ in headers):
        data = json.loads(body)
        data["error_id"] = "..."
        body = json.dumps(data).encode()
    return status, kept, body


def test_both_roads_lead_to_the_same_answers(
    roads: tuple[Service, Service], caplog: pytest.LogCaptureFixture
) -> None:
    short, long = roads
    caplog.set_level(logging.CRITICAL)
    traffic = Traffic(SEED)
    statuses: dict[str, int] = {}
    for number in range(REQUESTS):
        environ = traffic()
        other = {**environ, "wsgi.input": io.BytesIO(environ["wsgi.input"].getvalue())}
        sent = dict(environ)
        one, two = masked(answer(short.app, environ)), masked(answer(long.app, other))
        assert one == two, (number, sent)
        statuses[one[0][:3]] = statuses.get(one[0][:3], 0) + 1
    # What was sent has led everywhere.
    wanted = {"200", "202", "204", "302", "308", "400", "401", "404", "405", "406", "408", "409"}
    assert wanted | {"413", "415", "418", "500"} <= set(statuses), statuses
    assert statuses["200"] > REQUESTS / 10
