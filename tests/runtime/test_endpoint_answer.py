"""Answers: what a handler may return, which status it gets, how it is written; what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from flask import Response, abort, redirect
from flask import request as flask_request
from pydantic import BaseModel

from pymacaron import apipool
from pymacaron.config import get_config
from pymacaron.exceptions import PyMacaronException
from tests.runtime.serving import MODULE, Service, openapi, serve

SCHEMAS = {
    "Pet": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "tag": {"type": "string", "nullable": True},
            "note": {"type": "string"},
            "born": {"type": "string", "format": "date"},
            "seen": {"type": "string", "format": "date-time"},
            "secret": {"type": "string", "writeOnly": True},
            "class": {"type": "string"},
            "friends": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}},
        },
    },
    "Dog": {
        "allOf": [
            {"$ref": "#/components/schemas/Pet"},
            {"type": "object", "properties": {"size": {"type": "integer"}}},
        ]
    },
    "Other": {"type": "object", "properties": {"x": {"type": "integer"}}},
    "Error": {
        "type": "object",
        "properties": {"status": {"type": "integer"}, "error": {"type": "string"}},
    },
}


def content(schema: dict[str, Any] | str, kind: str = "application/json") -> dict[str, Any]:
    if isinstance(schema, str):
        schema = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": "x", "content": {kind: {"schema": schema}}}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def start(handler: Callable[[], Any], responses: dict[str, Any], **options: Any) -> Service:
        get = {"x-bind-server": f"{MODULE}.handle", "responses": responses}
        spec = openapi({"/x": {"get": get}}, SCHEMAS)
        return serve(tmp_path, monkeypatch, spec, {"handle": handler}, **options)

    return start


PET = {"200": content("Pet"), "default": content("Error")}


def test_a_model_is_written_with_its_nulls_names_and_dates(served: Any) -> None:
    def handle() -> Any:
        zone = timezone.utc
        friend = apipool.test.Pet(name="b", secret="hidden")
        return apipool.test.Pet(
            name="a",
            note=None,
            born=datetime(2020, 1, 2),
            seen=datetime(2020, 1, 2, 3, 4, 5, tzinfo=zone),
            friends=[friend],
            **{"class": "cat"},
        )

    assert served(handle, PET).client.get("/x").get_json() == {
        "name": "a",
        "tag": None,
        "born": "2020-01-02",
        "seen": "2020-01-02T03:04:05+00:00",
        "friends": [{"name": "b", "tag": None}],
        "class": "cat",
    }


def test_dates_are_written_as_json_encoders_say(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handle() -> Any:
        return apipool.test.Pet(name="a", seen=datetime(2020, 1, 2, tzinfo=timezone.utc))

    from pymacaron.model.base import encoders

    monkeypatch.setattr(encoders, "custom", None)
    service = served(handle, PET, json_encoders={datetime: lambda d: d.strftime("%d.%m.%Y")})
    assert service.client.get("/x").get_json()["seen"] == "02.01.2020"


def test_a_model_that_extends_the_declared_one_is_written_whole(served: Any) -> None:
    service = served(lambda: apipool.test.Dog(name="a", size=3), PET)
    assert service.client.get("/x").get_json() == {"name": "a", "tag": None, "size": 3}


@pytest.mark.parametrize("result", [None, "Other", {"name": "a"}, "text", 5, [], object()])
def test_what_is_not_declared_is_a_500(served: Any, result: Any) -> None:
    def handle() -> Any:
        return apipool.test.Other(x=1) if result == "Other" else result

    response = served(handle, {"200": content("Pet")}).client.get("/x")
    assert response.status_code == 500
    assert response.get_json()["error"] == "BAD_RESPONSE"


def test_an_invalid_model_made_in_a_handler_is_a_500(served: Any) -> None:
    class Own(BaseModel):
        x: int

    def by_model() -> Any:
        return apipool.test.Other(x="not a number")

    def by_own() -> Any:
        return Own.model_validate({"x": "not a number"})

    for handle in (by_model, by_own):
        response = served(handle, PET).client.get("/x")
        assert response.status_code == 500
        assert response.get_json()["error"] == "INTERNAL_VALIDATION_ERROR"


def test_the_status_is_that_of_the_model_that_was_returned(served: Any) -> None:
    responses = {"201": content("Pet"), "404": content("Other"), "default": content("Error")}
    made: list[Callable[[], tuple[Any, int]]] = [
        lambda: (apipool.test.Pet(name="a"), 201),
        lambda: (apipool.test.Other(x=1), 404),
        lambda: (apipool.test.Error(status=543, error="X"), 543),
    ]
    for make in made:
        service = served(lambda make=make: make()[0], responses)
        assert service.client.get("/x").status_code == make()[1]


def test_a_handler_may_choose_status_and_headers(served: Any) -> None:
    responses = {"200": content("Pet"), "202": content("Pet"), "4XX": content("Other")}
    service = served(lambda: (apipool.test.Pet(name="a"), 202, {"X-A": "b"}), responses)
    response = service.client.get("/x")
    assert (response.status_code, response.headers["X-A"]) == (202, "b")
    typed = served(
        lambda: ({}, 200, {"content-type": "application/problem+json"}), {"200": content({})}
    )
    assert typed.client.get("/x").headers.getlist("Content-Type") == ["application/problem+json"]
    assert (
        served(lambda: (apipool.test.Other(), 409), responses).client.get("/x").status_code == 409
    )
    assert (
        served(lambda: (apipool.test.Other(), 202), responses).client.get("/x").status_code == 500
    )


def test_nothing_is_an_answer_where_it_is_declared(served: Any) -> None:
    response = served(lambda: None, {"204": {"description": "gone"}}).client.get("/x")
    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Type" not in response.headers


def test_a_flask_response_passes_as_it_is(served: Any) -> None:
    response = served(lambda: Response("tea", 418, {"X-A": "b"}), PET).client.get("/x")
    assert (response.status_code, response.data, response.headers["X-A"]) == (418, b"tea", "b")
    response = served(lambda: redirect("/y"), PET).client.get("/x")
    assert (response.status_code, response.headers["Location"]) == (302, "/y")


def test_an_abort_and_a_returned_error_are_answered_in_the_documented_form(served: Any) -> None:
    class Teapot(PyMacaronException):
        code, status = "TEAPOT", 418

    def raising() -> Any:
        raise Teapot("no coffee")

    service = served(lambda: abort(409, "taken"), PET)
    assert service.error("GET", "/x") == (409, "taken")
    for handle in (raising, lambda: Teapot("no coffee")):
        service = served(handle, PET)
        assert service.error("GET", "/x") == (418, "no coffee")


def test_an_exception_does_not_show_its_text_but_in_debug_mode(served: Any) -> None:
    def handle() -> Any:
        raise ValueError("inner text")

    status, text = served(handle, PET).error("GET", "/x")
    assert status == 500
    assert "inner text" not in text
    assert "inner text" in served(handle, PET, debug=True).error("GET", "/x")[1]


def test_an_error_callback_writes_the_body(served: Any) -> None:
    def handle() -> Any:
        raise PyMacaronException("oops")

    service = served(handle, PET, error_callback=lambda e: {"my": e.code})
    assert list(service.client.get("/x").get_json()) == ["my"]


def test_lists_maps_and_plain_values_of_inline_schemas(served: Any) -> None:
    pet = {"$ref": "#/components/schemas/Pet"}
    cases: list[tuple[Any, dict[str, Any], Any]] = [
        (
            lambda: [apipool.test.Pet(name="a")],
            {"type": "array", "items": pet},
            [{"name": "a", "tag": None}],
        ),
        (
            lambda: {"k": apipool.test.Pet(name="a")},
            {"type": "object", "additionalProperties": pet},
            {"k": {"name": "a", "tag": None}},
        ),
        (lambda: 5, {"type": "integer"}, 5),
        (lambda: "x", {"type": "string"}, "x"),
        (
            lambda: apipool.test.Other(x=1),
            {"oneOf": [pet, {"$ref": "#/components/schemas/Other"}]},
            {"x": 1},
        ),
        (
            lambda: {"free": [1, {"a": apipool.test.Pet(name="b")}]},
            {"type": "object"},
            {"free": [1, {"a": {"name": "b", "tag": None}}]},
        ),
    ]
    for handle, schema, expected in cases:
        assert served(handle, {"200": content(schema)}).client.get("/x").get_json() == expected
    wrong = served(
        lambda: [apipool.test.Other()], {"200": content({"type": "array", "items": pet})}
    )
    assert wrong.client.get("/x").status_code == 500


def test_text_bytes_and_files_where_json_is_not_what_is_declared(
    served: Any, tmp_path: Path
) -> None:
    file = tmp_path / "f.bin"
    file.write_bytes(b"\x00\x01")
    binary = {"type": "string", "format": "binary"}
    for result, expected in (
        (b"\x00\x01", b"\x00\x01"),
        (io.BytesIO(b"\x00\x01"), b"\x00\x01"),
        (file, b"\x00\x01"),
    ):
        service = served(lambda result=result: result, {"200": content(binary, "image/png")})
        response = service.client.get("/x")
        assert (response.data, response.headers["Content-Type"]) == (expected, "image/png")
    page = served(lambda: "<p>é</p>", {"200": content({"type": "string"}, "text/html")})
    response = page.client.get("/x")
    assert (response.text, response.headers["Content-Type"]) == (
        "<p>é</p>",
        "text/html; charset=utf-8",
    )


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (None, 200),
        ("*/*", 200),
        ("application/json", 200),
        ("application/*;q=0.1", 200),
        ("text/html, application/xhtml+xml, */*;q=0.8", 200),
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("application/xml, image/*", 406),
    ],
)
def test_a_client_that_accepts_none_of_our_types_is_told_so_before_anything_runs(
    served: Any, accept: str | None, status: int
) -> None:
    ran: list[bool] = []

    def handle() -> Any:
        ran.append(True)
        return apipool.test.Pet(name="a")

    headers = {"Accept": accept} if accept else {}
    assert (
        served(handle, {"200": content("Pet")}).client.get("/x", headers=headers).status_code
        == status
    )
    assert bool(ran) is (status == 200)


def test_answers_are_validated_in_full_on_request_only(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handle() -> Any:
        return apipool.test.Pet(tag="no name")

    assert served(handle, PET).client.get("/x").status_code == 200
    monkeypatch.setitem(get_config().__dict__["_code"], "validate_responses", True)
    response = served(handle, PET).client.get("/x")
    assert response.status_code == 500
    assert "/name: is required" in response.get_json()["error_description"]


def test_an_async_handler_runs_with_the_request_at_hand(served: Any) -> None:
    async def handle() -> Any:
        return apipool.test.Pet(name=flask_request.path)

    service = served(handle, PET)
    for _ in range(2):
        assert service.client.get("/x").get_json()["name"] == "/x"
