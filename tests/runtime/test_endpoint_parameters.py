"""Parameters: every place, style and type; defaults; all problems of a request at once."""

# ruff: noqa: RUF001 - tables read better with a case on a line

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.runtime.serving import MODULE, Service, openapi, serve, swagger

OBJECT = {"type": "object", "properties": {"r": {"type": "integer"}, "g": {"type": "string"}}}
LIST = {"type": "array", "items": {"type": "integer"}}


def echo(**arguments: Any) -> dict[str, Any]:
    return arguments


def operation(*parameters: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {
        "x-bind-server": f"{MODULE}.echo",
        "parameters": list(parameters),
        "responses": {"200": {"description": "the arguments", "content": content}},
    }


def query(name: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, **more}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def start(*parameters: dict[str, Any], path: str = "/x") -> Service:
        spec = openapi({path: {"get": operation(*parameters)}})
        return serve(tmp_path, monkeypatch, spec, {"echo": echo})

    return start


@pytest.mark.parametrize(
    ("parameter", "sent", "expected"),
    [
        (query("a", {"type": "integer"}), "a=5", 5),
        (query("a", {"type": "integer"}), "a=9007199254740993", 9007199254740993),
        (query("a", {"type": "number"}), "a=-1.5e3", -1500.0),
        (query("a", {"type": "boolean"}), "a=false", False),
        (query("a", {"type": "string"}), "a=5", "5"),
        (query("a", {"type": "string"}), "a=", ""),
        (query("a", {"type": "string"}), "a=%C3%A9+b%2Bc", "é b+c"),
        (query("a", {"type": "string"}), "a=1&a=2", "1"),
        (query("a", {}), "a=5", "5"),
        (query("a", {"enum": [1, 2]}), "a=2", 2),
        (query("a", {"anyOf": [{"type": "integer"}, {"type": "string"}]}), "a=x", "x"),
        (query("a", {"type": "integer", "default": 7}), "", 7),
        (query("a", {"type": "integer"}), "", None),
        (query("a", {"type": "integer"}, allowEmptyValue=True), "a=", None),
        (query("a", LIST), "a=1&a=2", [1, 2]),
        (query("a", LIST, explode=False), "a=1,2", [1, 2]),
        (
            query("a", {"type": "array", "items": {"type": "string"}}, explode=False),
            "a=x%2Cy,z",
            ["x,y", "z"],
        ),
        (query("a", LIST, style="spaceDelimited", explode=False), "a=1%202", [1, 2]),
        (query("a", LIST, style="pipeDelimited", explode=False), "a=1|2", [1, 2]),
        (query("a", LIST, style="pipeDelimited", explode=False), "a=1%7C2", [1, 2]),
        (query("a", OBJECT), "r=1&g=x", {"r": 1, "g": "x"}),
        (query("a", OBJECT, explode=False), "a=r,1,g,x", {"r": 1, "g": "x"}),
        (
            query("a", OBJECT, style="deepObject", explode=True),
            "a[r]=1&a%5Bg%5D=x",
            {"r": 1, "g": "x"},
        ),
        (
            {"name": "a", "in": "query", "content": {"application/json": {"schema": LIST}}},
            "a=%5B1,2%5D",
            [1, 2],
        ),
    ],
)
def test_a_query_is_read_as_its_style_says(
    served: Any, parameter: dict[str, Any], sent: str, expected: Any
) -> None:
    response = served(parameter).client.get(f"/x?{sent}")
    assert response.get_json() == {"a": expected} or (
        response.get_json() == {} and expected is None
    )


@pytest.mark.parametrize(
    ("style", "explode", "schema", "sent", "expected"),
    [
        ("simple", False, {"type": "integer"}, "5", 5),
        ("simple", False, LIST, "1,2", [1, 2]),
        ("simple", False, OBJECT, "r,1,g,x", {"r": 1, "g": "x"}),
        ("simple", True, OBJECT, "r=1,g=x", {"r": 1, "g": "x"}),
        ("label", False, {"type": "string"}, ".v", "v"),
        ("label", True, LIST, ".1.2", [1, 2]),
        ("label", False, OBJECT, ".r,1,g,x", {"r": 1, "g": "x"}),
        ("label", True, OBJECT, ".r=1.g=x", {"r": 1, "g": "x"}),
        ("matrix", False, {"type": "integer"}, ";a=5", 5),
        ("matrix", False, LIST, ";a=1,2", [1, 2]),
        ("matrix", True, LIST, ";a=1;a=2", [1, 2]),
        ("matrix", True, OBJECT, ";r=1;g=x", {"r": 1, "g": "x"}),
    ],
)
def test_a_path_is_read_as_its_style_says(
    served: Any, style: str, explode: bool, schema: dict[str, Any], sent: str, expected: Any
) -> None:
    parameter = {
        "name": "a",
        "in": "path",
        "required": True,
        "style": style,
        "explode": explode,
        "schema": schema,
    }
    assert served(parameter, path="/x/{a}").client.get(f"/x/{sent}").get_json() == {"a": expected}


def test_a_path_may_hold_several_values_in_one_segment(served: Any) -> None:
    parameters = [
        {"name": n, "in": "path", "required": True, "schema": {"type": "string"}}
        for n in ("user-name", "format")
    ]
    service = served(*parameters, path="/files/{user-name}.{format}/raw")
    got = service.client.get("/files/ada.png/raw").get_json()
    assert got == {"user_name": "ada", "format": "png"}
    assert service.client.get("/files/ada/raw").status_code == 404


def test_headers_and_cookies_are_arguments_too(served: Any) -> None:
    service = served(
        {"name": "X-Page", "in": "header", "schema": LIST},
        {"name": "theme", "in": "cookie", "schema": {"type": "string", "enum": ["dark", "light"]}},
    )
    service.client.set_cookie("theme", "dark")
    got = service.client.get("/x", headers={"X-Page": "1, 2"}).get_json()
    assert got == {"x_page": [1, 2], "theme": "dark"}
    service.client.set_cookie("theme", "pink")
    status, text = service.error("GET", "/x", headers={"X-Page": "1,z"})
    assert status == 400
    assert "header /X-Page/1: must be an integer" in text
    assert "cookie /theme: must be one of" in text


def test_all_problems_of_a_request_are_told_at_once(served: Any) -> None:
    service = served(
        query("limit", {"type": "integer", "minimum": 1}, required=True),
        query("sort", {"type": "string", "pattern": "^[a-z]+$"}),
        query("tags", {"type": "array", "items": {"type": "string", "maxLength": 2}}),
    )
    status, text = service.error("GET", "/x?sort=A&tags=ab&tags=abc")
    assert status == 400
    assert "query /limit: is required" in text
    assert "query /sort: must match the pattern" in text
    assert "query /tags/1: must have at most 2 characters" in text


@pytest.mark.parametrize(
    "sent",
    [
        "a=x",
        "a=1.5",
        "a=",
        "a=true",
        "a=0x1",
        "a=+1",
        "a=1_0",
        "a=%20",
        "a=١",
        "a=nan",
        "a=%ff",
        "a=1e400",
    ],
)
def test_a_text_that_is_no_integer_is_refused(served: Any, sent: str) -> None:
    assert served(query("a", {"type": "integer"})).client.get(f"/x?{sent}").status_code == 400


@pytest.mark.parametrize(
    ("collection", "sent"),
    [("csv", "1,2"), ("ssv", "1%202"), ("tsv", "1%092"), ("pipes", "1|2"), ("multi", "1&a=2")],
)
def test_swagger_2_lists_are_read_as_their_collection_format_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collection: str, sent: str
) -> None:
    parameter = {
        "name": "a",
        "in": "query",
        "type": "array",
        "items": {"type": "integer"},
        "collectionFormat": collection,
    }
    response = {"200": {"description": "x", "schema": {"type": "object"}}}
    get = {"x-bind-server": f"{MODULE}.echo", "parameters": [parameter], "responses": response}
    service = serve(tmp_path, monkeypatch, swagger({"/x": {"get": get}}), {"echo": echo})
    assert service.client.get(f"/x?a={sent}").get_json() == {"a": [1, 2]}


def test_a_parameter_of_the_operation_wins_over_one_of_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = operation(query("a", {"type": "integer", "default": 2}))
    item = {
        "parameters": [
            query("a", {"type": "string"}),
            query("b", {"type": "string", "default": "c"}),
        ],
        "get": own,
    }
    service = serve(tmp_path, monkeypatch, openapi({"/x": item}), {"echo": echo})
    assert service.client.get("/x").get_json() == {"a": 2, "b": "c"}
