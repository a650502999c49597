"""Reading API files: everything that is wrong is told at once, with file, line and JSON pointer."""

# ruff: noqa: E501 - tables read better with a case on a line

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pymacaron.openapi import SpecError, load
from pymacaron.openapi.document import plain
from pymacaron.pool import ModelPool
from tests.runtime.serving import openapi, swagger

HEAD = "openapi: 3.1.0\ninfo: {title: t, version: '1'}\n"


def problems(tmp_path: Path, text: str, name: str = "api.yaml") -> list[str]:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as error:
        load(file)
    return [str(p).replace(f"{tmp_path}/", "") for p in error.value.problems]


def test_all_problems_of_a_file_are_told_with_line_and_pointer(tmp_path: Path) -> None:
    text = """\
openapi: 3.0.3
info: {title: t, version: '1'}
paths:
  /a/{id}:
    get:
      operationId: same
      parameters:
        - {name: other, in: path, required: true, schema: {type: strin}}
        - {name: q, in: query, schema: {$ref: '#/components/schemas/Nope'}}
      responses: {'200': {description: ok}}
    post:
      operationId: same
      responses: {}
    fetch: {}
  /a/{name}:
    get: {responses: {'99': {description: x}}}
components:
  schemas:
    A:
      type: object
      required: yes
      minProperties: -1
      properties:
        p: {type: string, pattern: '(['}
        q: {if: {type: string}}
        r: {exclusiveMinimum: 3}
"""
    assert problems(tmp_path, text) == [
        "api.yaml:5: the path has {id}, but no path parameter 'id' is declared (at #/paths/~1a~1{id}/get)",
        "api.yaml:8: 'strin' is no type; there are array, boolean, integer, null, number, object, string (at #/paths/~1a~1{id}/get/parameters/0/schema/type)",
        "api.yaml:8: the path parameter 'other' is not part of '/a/{id}' (at #/paths/~1a~1{id}/get/parameters/0)",
        "api.yaml:9: the $ref '#/components/schemas/Nope' leads nowhere: there is nothing at 'Nope' (at #/paths/~1a~1{id}/get/parameters/1/schema/$ref)",
        "api.yaml:11: the path has {id}, but no path parameter 'id' is declared (at #/paths/~1a~1{id}/post)",
        "api.yaml:11: an operation needs responses, with at least one (at #/paths/~1a~1{id}/post)",
        "api.yaml:12: the operationId 'same' is used twice: GET /a/{id} has it too (at #/paths/~1a~1{id}/post/operationId)",
        "api.yaml:14: 'fetch' is neither a method nor anything else a path has (at #/paths/~1a~1{id}/fetch)",
        "api.yaml:15: the path '/a/{name}' is the same as '/a/{id}' (at #/paths/~1a~1{name})",
        "api.yaml:16: the path has {name}, but no path parameter 'name' is declared (at #/paths/~1a~1{name}/get)",
        "api.yaml:16: '99' is no status: write 200, 2XX or default (at #/paths/~1a~1{name}/get/responses/99)",
        "api.yaml:21: required must be a list of property names (at #/components/schemas/A/required)",
        "api.yaml:22: minProperties must be a whole number, 0 or more (at #/components/schemas/A/minProperties)",
        "api.yaml:24: the pattern '([' can't be used: a [ without its ] (at #/components/schemas/A/properties/p/pattern)",
        "api.yaml:25: if is OpenAPI 3.1's, this is 3.0 (at #/components/schemas/A/properties/q/if)",
        "api.yaml:26: exclusiveMinimum must be true or false in OpenAPI 3.0, beside minimum (at #/components/schemas/A/properties/r/exclusiveMinimum)",
    ]


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ("{$dynamicRef: '#x'}", "$dynamicRef is not supported: use $ref"),
        ("{$id: 'http://a/b'}", "$id inside an OpenAPI file is not supported"),
        ("{dependencies: {a: [b]}}", "use dependentRequired or dependentSchemas"),
        ("{items: [{}]}", "write the list in prefixItems"),
        ("{exclusiveMaximum: true}", "exclusiveMaximum must be a number"),
        ("{pattern: '\\Aa'}", "\\A is not part of ECMA-262: use ^ and $"),
        ("{pattern: '(?i)a'}", "(?i is not part of ECMA-262"),
        ("{type: {type: object}}", "is no type"),
        ("{maxItems: .inf}", "maxItems must be a number"),
        ("{multipleOf: 0}", "multipleOf must be greater than 0"),
        ("{enum: a}", "enum must be a list of values"),
        ("{allOf: []}", "allOf must be a list of schemas, with at least one"),
        ("{$ref: 'https://example.com/a.yaml#/A'}", "leads to another site: copy what it names"),
        ("{$ref: 'beside.yaml#/A'}", "can't be read: no such file or directory"),
        ("{x-parent: 3}", "x-parent must name a Python class"),
        ("[]", "a schema must be an object, not a list"),
    ],
)
def test_what_is_wrong_or_unsupported_in_a_schema_is_an_error(
    tmp_path: Path, schema: str, told: str
) -> None:
    (found,) = problems(tmp_path, f"{HEAD}components:\n  schemas:\n    A: {schema}\n")
    assert found.startswith("api.yaml:5: ")
    assert told in found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it holds no mapping"),
        ("[]", "it holds no mapping"),
        ("a: 1", "neither swagger"),
        ("swagger: '1.2'", "swagger 1.2 is not known"),
        ("openapi: 4.0.0", "OpenAPI 4.0.0 is not supported"),
        ("a: [", "not valid YAML"),
        ("a: 1\na: 2\nopenapi: 3.1.0", "the key 'a' is repeated"),
        ("a: &a [*a]\nopenapi: 3.1.0", "an alias that contains itself"),
        ("a: !!python/object:os.system x\nopenapi: 3.1.0", "can't be used in an OpenAPI file"),
        ("a: " + "[" * 300 + "]" * 300, "nested more than 200 levels deep"),
        ('{"openapi": "3.1.0", "a": 1, "a": 2}', "the key 'a' is repeated"),
        ("\x00", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_api_is_refused_with_a_reason(
    tmp_path: Path, text: str, told: str
) -> None:
    assert told in "\n".join(problems(tmp_path, text))


def test_aliases_that_multiply_end_quickly(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    started = time.perf_counter()
    (found, *_) = problems(tmp_path, "\n".join([*lines, "openapi: 3.1.0"]))
    assert "expand to too much" in found
    assert time.perf_counter() - started < 20


def test_a_missing_file_and_one_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    for name, told in (
        ("a.yaml", "no such file"),
        ("b.yaml", "not UTF-8 text"),
        (".", "directory"),
    ):
        with pytest.raises(SpecError, match=told):
            load(tmp_path / name)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="{}[]:,-&*!|>#'\"%@` \n\tab01~<?", max_size=60))
def test_whatever_stands_in_a_file_the_answer_is_a_spec_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.mktemp("noise") / "a.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError):
        load(file)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inner:
        yield (*path, key)
        if isinstance(each, dict | list):
            yield from places(each, (*path, key))


def test_whatever_stands_in_the_place_of_a_value_the_answer_is_a_spec_error(
    tmp_path: Path,
) -> None:
    text = (Path(__file__).parent / "garden" / "apis" / "garden.yaml").read_text(encoding="utf-8")
    garden = yaml.safe_load(text)
    everywhere = list(places(garden))
    others: list[Any] = [None, True, 1, -1.5, "", "x", [], [[]], [{}], {}, {"a": {}}, {"$ref": 7}]
    others += [{"$ref": "#"}, {"type": {}}, float("inf")]
    dice = random.Random(17)
    for _ in range(120):
        spec = deepcopy(garden)
        *above, last = dice.choice(everywhere)
        place: Any = spec
        for key in above:
            place = place[key]
        place[last] = dice.choice(others)
        (tmp_path / "garden.json").write_text(json.dumps(spec, default=str))
        with suppress(SpecError):
            ModelPool(load(tmp_path / "garden.json"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("12", 12),
        ("-1.5", -1.5),
        ("1e3", 1000.0),
        ("0x1F", 31),
        ("0o17", 15),
        ("012", 12),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
    ],
)
def test_yaml_is_read_as_yaml_1_2(text: str, value: object) -> None:
    assert plain(text) == value
    assert type(plain(text)) is type(value)


def test_keys_are_texts_whatever_they_look_like(tmp_path: Path) -> None:
    text = """\
openapi: 3.1.0
info: {title: t, version: '1'}
components:
  schemas:
    A: {type: object, properties: {on: {type: string, enum: [no, yes]}, 1: {}, null: {}}}
paths:
  /a: {get: {responses: {200: {description: x}}}}
"""
    file = tmp_path / "api.yaml"
    file.write_text(text)
    api = load(file)
    assert list(api.schemas["A"].properties) == ["on", "1", "null"]
    assert api.schemas["A"].properties["on"].enum == ["no", "yes"]
    assert api.operations[0].responses[0].status == "200"


def test_paths_that_differ_in_names_only_may_serve_different_methods(tmp_path: Path) -> None:
    def item(name: str, method: str) -> dict[str, Any]:
        parameter = {"name": name, "in": "path", "required": True, "type": "string"}
        return {method: {"parameters": [parameter], "responses": {"200": {"description": "x"}}}}

    spec = swagger({"/a/{x}": item("x", "get"), "/a/{y}": item("y", "delete")})
    (tmp_path / "api.yaml").write_text(yaml.safe_dump(spec))
    assert len(load(tmp_path / "api.yaml").operations) == 2


def test_files_beside_the_api_are_read_and_their_cycles_end(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "models.yaml").write_text(
        """\
definitions:
  Node: {type: object, properties: {next: {$ref: '#/definitions/Node'}, up: {$ref: '../api.yaml#/definitions/Up'}}}
"""
    )
    (tmp_path / "shared" / "only.json").write_text('{"type": "integer"}')
    (tmp_path / "api.yaml").write_text(
        """\
swagger: '2.0'
info: {title: t, version: '1'}
paths: {}
definitions:
  Up: {type: object, properties: {n: {$ref: 'shared/models.yaml#/definitions/Node'}, k: {$ref: shared/only.json}}}
"""
    )
    pool = ModelPool(load(tmp_path / "api.yaml"))
    read = pool.requests.codec(pool.api.schemas["Up"]).read
    assert read(b'{"n": {"next": {"up": {"k": 3}}}}').n.next.up.k == 3
    text = (
        (tmp_path / "shared" / "models.yaml")
        .read_text()
        .replace("next: {$ref", "next: {type: x, $ref: 'a.yaml'}, z: {$ref")
    )
    (tmp_path / "shared" / "models.yaml").write_text(text.replace("'#/definitions/Node'", "'#/no'"))
    with pytest.raises(SpecError) as error:
        load(tmp_path / "api.yaml")
    assert "models.yaml:2" in str(error.value)


def test_an_unknown_keyword_is_a_warning_that_guesses(tmp_path: Path) -> None:
    spec = openapi({}, {"A": {"type": "string", "minLenght": 3, "x-own": 1, "example": "x"}})
    (tmp_path / "api.json").write_text(json.dumps(spec, indent=1))
    (warning,) = load(tmp_path / "api.json").warnings
    assert "'minLenght' means nothing in a schema; did you mean minLength?" in warning.text
    assert warning.line is not None


def test_paths_and_parameters_may_be_references(tmp_path: Path) -> None:
    spec: dict[str, Any] = swagger({"/a/{id}": {"$ref": "#/x-paths/a"}})
    spec["parameters"] = {"Id": {"name": "id", "in": "path", "required": True, "type": "string"}}
    spec["responses"] = {"Ok": {"description": "x", "schema": {"type": "string"}}}
    spec["x-paths"] = {
        "a": {
            "parameters": [{"$ref": "#/parameters/Id"}],
            "get": {"responses": {"200": {"$ref": "#/responses/Ok"}}},
        }
    }
    (tmp_path / "api.yaml").write_text(yaml.safe_dump(spec))
    (operation,) = load(tmp_path / "api.yaml").operations
    assert [p.name for p in operation.parameters] == ["id"]
    assert operation.responses[0].media[0].schema is not None


def big(count: int) -> dict[str, Any]:
    """Models that refer to one another in every direction."""
    models = {
        f"Model{i}": {
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": {"type": "integer"},
                **{f"text{j}": {"type": "string", "maxLength": 10 + j} for j in range(6)},
                "next": {"$ref": f"#/definitions/Model{(i * 7 + 1) % count}"},
                "others": {
                    "type": "array",
                    "items": {"$ref": f"#/definitions/Model{(i * 13 + 5) % count}"},
                },
            },
        }
        for i in range(count)
    }
    return swagger({}, models)


def test_a_thousand_models_that_refer_to_one_another_load(tmp_path: Path) -> None:
    (tmp_path / "api.yaml").write_text(
        yaml.dump(big(1000), Dumper=getattr(yaml, "CDumper", yaml.Dumper))
    )
    pool = ModelPool(load(tmp_path / "api.yaml"))
    assert len(pool.get_model_names()) == 1000
    assert pool.Model3(id=1, next={"id": 2}).next.id == 2
    value = pool.requests.codec(pool.api.schemas["Model7"]).read(b'{"id": 1, "next": {"id": 2}}')
    assert value.next.id == 2
