"""Tables of schemas with values they allow and forbid, asked over HTTP in every version of
OpenAPI."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runtime.serving import MODULE, Service, openapi, serve, swagger

TABLES = Path(__file__).parent / "schemas"
VERSIONS = {"2.0": ("both", "draft4"), "3.0": ("both", "draft4"), "3.1": ("both", "2020-12")}


@cache
def cases(version: str) -> list[dict[str, Any]]:
    found = []
    for table in VERSIONS[version]:
        text = (TABLES / f"{table}.yaml").read_text(encoding="utf-8")
        found += [c for c in yaml.safe_load(text) if version in c.get("versions", [version])]
    return found


def moved(schema: Any, home: str, own: str) -> Any:
    """The schema with its `#/...` made to point to where it stands in the file."""
    if isinstance(schema, list):
        return [moved(s, home, own) for s in schema]
    if not isinstance(schema, dict):
        return schema
    result = {}
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str):
            if value.startswith("#/more/"):
                value = f"{home}/{value.removeprefix('#/more/')}"
            elif value == "#" or value.startswith("#/"):
                value = own + value[1:]
        elif key not in ("enum", "const", "default"):
            value = moved(value, home, own)
        result[key] = value
    return result


def specification(version: str) -> dict[str, Any]:
    home = "#/definitions" if version == "2.0" else "#/components/schemas"
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for number, case in enumerate(cases(version)):
        name = f"Case{number}"
        schemas[name] = moved(case["schema"], home, f"{home}/{name}")
        more = case.get("more", {})
        for other, schema in more.items():
            assert other not in schemas or schemas[other] == moved(schema, home, ""), other
            schemas[other] = moved(schema, home, "")
        operation: dict[str, Any] = {
            "x-bind-server": f"{MODULE}.accept",
            "responses": {"204": {"description": "accepted"}},
        }
        if version == "2.0":
            body = {
                "in": "body",
                "name": "b",
                "required": True,
                "schema": {"$ref": f"{home}/{name}"},
            }
            operation["parameters"] = [body]
        else:
            content = {"application/json": {"schema": {"$ref": f"{home}/{name}"}}}
            operation["requestBody"] = {"required": True, "content": content}
        paths[f"/{number}"] = {"post": operation}
    if version == "2.0":
        return swagger(paths, schemas)
    return openapi(paths, schemas, {"3.0": "3.0.3", "3.1": "3.1.0"}[version])


def accept(body: Any) -> None:
    """Takes any body that the schema lets through."""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made: dict[str, Service] = {}
    patch = pytest.MonkeyPatch()

    def service(version: str) -> Service:
        if version not in made:
            folder = tmp_path_factory.mktemp("schemas")
            made[version] = serve(folder, patch, specification(version), {"accept": accept})
        return made[version]

    yield service
    patch.undo()


@pytest.mark.parametrize(
    ("version", "number", "about"),
    [(v, n, case["about"]) for v in VERSIONS for n, case in enumerate(cases(v))],
)
def test_a_schema_lets_through_what_it_allows_and_nothing_else(
    services: Any, version: str, number: int, about: str
) -> None:
    case = cases(version)[number]
    client = services(version).client
    wrong = []
    for expected, texts in ((204, case["valid"]), (400, case["invalid"])):
        for text in texts:
            response = client.post(
                f"/{number}", data=text.encode(), content_type="application/json"
            )
            if response.status_code != expected:
                wrong.append(f"{text}: {response.status_code} {response.get_data(as_text=True)}")
    assert wrong == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_exact_checker_agrees_with_the_tables_alone(services: Any, version: str) -> None:
    """The checker also words the refusals of what pydantic-core judges, so it must be right
    everywhere."""
    pool = services(version).models
    wrong = []
    for number, case in enumerate(cases(version)):
        codec = pool.requests.codec(pool.api.schemas[f"Case{number}"])
        for expected, texts in ((True, case["valid"]), (False, case["invalid"])):
            wrong += [
                f"{case['about']}: {text}"
                for text in texts
                if (codec.faults(json.loads(text)) == []) is not expected
            ]
    assert wrong == []
