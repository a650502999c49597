"""Bodies: JSON, forms, files, text; what is malformed ends in a 4xx and never in a hang."""

from __future__ import annotations

import gzip
import io
import time
from pathlib import Path
from typing import Any

import pytest
from flask import request as flask_request

from tests.runtime.serving import MODULE, Service, openapi, serve, swagger

ITEM = {
    "type": "object",
    "required": ["a"],
    "properties": {
        "a": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"},
        "size": {"type": "string", "default": "big"},
        "next": {"$ref": "#/components/schemas/Item"},
    },
}
ANSWER = {"200": {"description": "x", "content": {"application/json": {"schema": {}}}}}


def echo(body: Any) -> Any:
    return {"kind": type(body).__name__, "body": body if not isinstance(body, bytes) else len(body)}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def start(content: dict[str, Any], *, required: bool = True, version: str = "3.0.3") -> Service:
        post = {
            "x-bind-server": f"{MODULE}.echo",
            "requestBody": {"required": required, "content": content},
            "responses": ANSWER,
        }
        spec = openapi({"/x": {"post": post}}, {"Item": ITEM}, version)
        return serve(tmp_path, monkeypatch, spec, {"echo": echo})

    return start


@pytest.fixture
def item(served: Any) -> Service:
    service: Service = served(
        {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}
    )
    return service


@pytest.fixture
def anything(served: Any) -> Service:
    service: Service = served({"application/json": {"schema": {}}})
    return service


def test_a_json_body_arrives_as_its_model_with_defaults(item: Service) -> None:
    body = {"a": 1, "at": "2020-01-01T00:00:00Z", "next": {"a": 9007199254740993}}
    got = item.post("/x", body).get_json()
    assert got["kind"] == "Item"
    assert got["body"] == {
        "a": 1,
        "at": "2020-01-01T00:00:00+00:00",
        "size": "big",
        "next": {"a": 9007199254740993, "size": "big"},
    }


MALFORMED = {
    "not JSON": b"{",
    "two values": b"{} {}",
    "a repeated name": b'{"a": 1, "a": 2}',
    "a repeated name far inside": b'{"a": 1, "next": {"a": 1, "\\u0061": 2}}',
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "a lone low surrogate": b'{"a": "\\udc00x"}',
    "invalid UTF-8": b'{"a": "\xff\xfe"}',
    "overlong UTF-8": b'{"a": "\xc0\xaf"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a control character": b'{"a": "\x01"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "10,000 lists": b"[" * 10_000 + b"]" * 10_000,
    "10,000 objects": b'{"next":' * 10_000 + b"1" + b"}" * 10_000,
    "an endless number": b"1" * 100_000,
    "a comment": b'{"a": 1} // x',
    "a trailing comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "nothing but white space": b"   ",
}


@pytest.mark.parametrize("what", MALFORMED)
@pytest.mark.parametrize("service", ["item", "anything"])
def test_a_malformed_body_is_a_400_in_the_documented_form(
    request: pytest.FixtureRequest, service: str, what: str
) -> None:
    served: Service = request.getfixturevalue(service)
    status, text = served.error("POST", "/x", data=MALFORMED[what], content_type="application/json")
    assert status == 400
    assert text.startswith("body")


def test_depth_within_the_limit_is_no_problem(item: Service) -> None:
    body = b'{"a":1,"next":' * 90 + b'{"a":1}' + b"}" * 90
    response = item.client.post("/x", data=body, content_type="application/json")
    assert response.status_code == 200
    wrong = b'{"a":1,"next":' * 190 + b'{"a":"x"}' + b"}" * 190
    status, text = item.error("POST", "/x", data=wrong, content_type="application/json")
    assert status == 400
    assert "/next" * 190 + "/a: must be an integer" in text or "nested too deeply" in text


def test_a_number_too_large_for_a_float_is_no_integer_and_no_number(item: Service) -> None:
    status, text = item.error("POST", "/x", data=b'{"a": 1e400}', content_type="application/json")
    assert (status, text) == (400, "body /a: must be an integer, not a number too large to hold")


def test_problems_are_named_by_json_pointer_with_escapes(served: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"a/b": {"type": "object", "properties": {"c~d": LIST}}},
    }
    service = served({"application/json": {"schema": schema}})
    status, text = service.error("POST", "/x", json={"a/b": {"c~d": [1, "x"]}})
    assert status == 400
    assert "body /a~1b/c~0d/1: must be an integer, not a text" in text


LIST = {"type": "array", "items": {"type": "integer"}}


def test_an_absent_body(served: Any) -> None:
    schema = {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}
    status, text = served(schema).error("POST", "/x")
    assert (status, text) == (400, "body: is required")
    optional = served(schema, required=False)
    assert optional.client.post("/x").get_json() == {"kind": "NoneType", "body": None}
    status, _ = optional.error("POST", "/x", data=b"null", content_type="application/json")
    assert status == 400


def test_an_absent_body_of_swagger_2_is_an_empty_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameter = {"in": "body", "name": "b", "schema": {"$ref": "#/definitions/Item"}}
    answer = {"200": {"description": "x", "schema": {}}}
    post = {"x-bind-server": f"{MODULE}.echo", "parameters": [parameter], "responses": answer}
    item = {"type": "object", "properties": {"a": {"type": "integer"}}}
    service = serve(
        tmp_path, monkeypatch, swagger({"/x": {"post": post}}, {"Item": item}), {"echo": echo}
    )
    assert service.client.post("/x").get_json() == {"kind": "Item", "body": {}}
    for sent in ({"data": {"a": "5"}}, {"data": b'{"a": 5}'}, {"json": {"a": 5}}):
        assert service.client.post("/x", **sent).get_json()["body"] == {"a": 5}
    curl = service.client.post(
        "/x", data=b'{"a": 5}', content_type="application/x-www-form-urlencoded"
    )
    assert curl.get_json()["body"] == {"a": 5}


def test_a_media_type_that_is_not_declared_is_a_415(item: Service) -> None:
    for content_type in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "x"):
        status, text = item.error("POST", "/x", data=b'{"a": 1}', content_type=content_type)
        assert status == 415
        assert "application/json" in text
    for content_type in ("application/json", "Application/JSON; charset=utf-8"):
        assert (
            item.client.post("/x", data=b'{"a": 1}', content_type=content_type).status_code == 200
        )


def test_the_media_type_chooses_the_schema(served: Any) -> None:
    service = served(
        {
            "application/json": {"schema": {"type": "integer"}},
            "application/vnd.api+json": {"schema": {"type": "string"}},
            "text/*": {"schema": {"type": "string", "maxLength": 3}},
            "*/*": {},
        }
    )
    post = service.client.post
    assert post("/x", data=b"1", content_type="application/json").get_json()["body"] == 1
    assert (
        post("/x", data=b'"a"', content_type="application/vnd.api+json").get_json()["body"] == "a"
    )
    assert post("/x", data="äé", content_type="text/csv").get_json()["body"] == "äé"
    assert post("/x", data="abcd", content_type="text/csv").status_code == 400
    assert post("/x", data=b"\xff", content_type="text/csv").status_code == 400
    assert post("/x", data=b"\xff\xd8", content_type="image/jpeg").get_json() == {
        "kind": "bytes",
        "body": 2,
    }


def test_a_form_becomes_the_model_its_schema_describes(served: Any) -> None:
    schema = {
        "type": "object",
        "required": ["n"],
        "properties": {
            "n": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "more": {"type": "object", "properties": {"x": {"type": "integer"}}},
            "upload": {"type": "string", "format": "binary"},
        },
    }
    service = served(
        {
            t: {"schema": schema}
            for t in ("multipart/form-data", "application/x-www-form-urlencoded")
        }
    )
    got = service.client.post("/x", data={"n": "3", "tags": ["a", "b"]}).get_json()["body"]
    assert got == {"n": 3, "tags": ["a", "b"]}
    data = {"n": "3", "more": '{"x": 1}', "upload": (io.BytesIO(b"\x00\xff"), "f.bin")}
    taken: list[Any] = []
    service.api.endpoints[0].handler = taken.append
    assert service.client.post("/x", data=data).status_code == 500  # it returns nothing
    assert taken[0].upload == b"\x00\xff"
    assert taken[0].more.x == 1
    status, text = service.error("POST", "/x", data={"n": "x"})
    assert (status, text) == (400, "body /n: must be an integer, not a text")


def test_swagger_2_files_arrive_as_bytes_by_keyword(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = [
        {"in": "formData", "name": "avatar", "type": "file", "required": True},
        {"in": "formData", "name": "size", "type": "integer", "default": 3},
    ]
    post = {
        "x-bind-server": f"{MODULE}.upload",
        "consumes": ["multipart/form-data"],
        "parameters": fields,
        "responses": {"200": {"description": "x", "schema": {}}},
    }

    def upload(avatar: bytes, size: int) -> Any:
        return [list(avatar), size]

    service = serve(tmp_path, monkeypatch, swagger({"/x": {"post": post}}), {"upload": upload})
    file = {"avatar": (io.BytesIO(b"\x01\x02"), "a.png")}
    assert service.client.post("/x", data=file).get_json() == [[1, 2], 3]
    status, text = service.error(
        "POST", "/x", data={"size": "x"}, content_type="multipart/form-data"
    )
    assert status == 400
    assert "form /avatar: is required" in text
    assert "form /size: must be an integer" in text
    for bad in (b"junk", b""):
        response = service.client.post(
            "/x", data=bad, content_type="multipart/form-data; boundary=x"
        )
        assert response.status_code == 400
    assert service.client.post("/x", json={}).status_code == 415


def test_a_compressed_body_is_read_and_a_bomb_is_not(anything: Service) -> None:
    def send(body: bytes, encoding: str = "gzip") -> Any:
        headers = {"Content-Encoding": encoding}
        return anything.client.post(
            "/x", data=body, headers=headers, content_type="application/json"
        )

    assert send(gzip.compress(b"[1]")).get_json()["body"] == [1]
    started = time.perf_counter()
    assert send(gzip.compress(b" " * (200 * 1024 * 1024), 1)).status_code == 413
    assert time.perf_counter() - started < 30  # a bomb of 200 MiB, unpacked to its limit only
    assert send(gzip.compress(b"[1]")[:-4]).status_code == 400
    assert send(b"no gzip").status_code == 400
    assert send(b"[1]", "br").status_code == 415


def test_a_body_over_the_limit_is_a_413(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service = served({"application/json": {"schema": {}}})
    service.app.config["MAX_CONTENT_LENGTH"] = 100
    status, _ = service.error("POST", "/x", data=b" " * 101, content_type="application/json")
    assert status == 413


def test_names_of_unknown_properties_are_left_out_unless_the_schema_speaks_of_them(
    served: Any,
) -> None:
    plain = {"type": "object", "properties": {"a": {"type": "integer"}}}
    for rule, expected in (
        (None, {"a": 1}),
        (True, {"a": 1, "b": 2}),
        ({"type": "integer"}, {"a": 1, "b": 2}),
    ):
        schema = plain if rule is None else {**plain, "additionalProperties": rule}
        service = served({"application/json": {"schema": schema}})
        assert service.post("/x", {"a": 1, "b": 2}).get_json()["body"] == expected
    closed = served({"application/json": {"schema": {**plain, "additionalProperties": False}}})
    status, text = closed.error("POST", "/x", json={"a": 1, "b": 2})
    assert (status, text) == (400, "body /b: is not a property that this object may have")


def test_read_only_properties_need_not_be_sent(served: Any) -> None:
    schema = {
        "type": "object",
        "required": ["id", "name"],
        "properties": {"id": {"type": "integer", "readOnly": True}, "name": {"type": "string"}},
    }
    service = served({"application/json": {"schema": schema}})
    assert service.post("/x", {"name": "a"}).status_code == 200
    assert service.post("/x", {"id": 1}).status_code == 400


def test_a_discriminated_body_arrives_as_its_own_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pet(kind: str, **own: Any) -> dict[str, Any]:
        properties = {"kind": {"type": "string", "enum": [kind]}, **own}
        return {"type": "object", "required": ["kind", *own], "properties": properties}

    schemas = {
        "Cat": pet("cat", lives={"type": "integer"}),
        "Dog": pet("dog", size={"type": "string"}),
        "Pet": {
            "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
            "discriminator": {"propertyName": "kind", "mapping": {"cat": "Cat", "dog": "Dog"}},
        },
    }
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}
    post = {
        "x-bind-server": f"{MODULE}.echo",
        "requestBody": {"content": content},
        "responses": {"200": {"description": "x", "content": content}},
    }
    spec = openapi({"/x": {"post": post}}, schemas)
    kinds: list[str] = []

    def keep(body: Any) -> Any:
        kinds.append(type(body).__name__)
        return body

    service = serve(tmp_path, monkeypatch, spec, {"echo": keep})
    for body in ({"kind": "dog", "size": "big"}, {"kind": "cat", "lives": 9}):
        assert service.post("/x", body).get_json() == body
    assert kinds == ["Dog", "Cat"]
    assert service.post("/x", {"kind": "fish"}).status_code == 400


def test_a_handler_may_look_at_the_request_itself(served: Any) -> None:
    service = served({"application/json": {"schema": {}}})

    def look(body: Any) -> Any:
        return [body, flask_request.get_json(), flask_request.get_data(as_text=True)]

    service.api.endpoints[0].handler = look
    assert service.post("/x", {"a": 1}).get_json() == [{"a": 1}, {"a": 1}, '{"a": 1}']
    service.app.before_request_funcs[None] = [lambda: flask_request.get_data() and None]
    assert service.post("/x", {"a": 1}).get_json()[0] == {"a": 1}


def test_a_form_is_still_there_for_the_handler_and_for_what_ran_before(served: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    service = served({"multipart/form-data": {"schema": schema}})
    service.api.endpoints[0].handler = lambda body: [body.a, flask_request.form["a"]]
    file = {"a": "5", "f": (io.BytesIO(b"x"), "x")}
    assert service.client.post("/x", data=file).get_json() == [5, "5"]


def test_a_request_that_ends_too_early_is_a_408(item: Service) -> None:
    response = item.client.post(
        "/x",
        input_stream=io.BytesIO(b'{"a"'),
        environ_overrides={"CONTENT_LENGTH": "100"},
        content_type="application/json",
    )
    assert response.status_code == 408
