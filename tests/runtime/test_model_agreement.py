"""Random schemas and values: pydantic-core, our checker and the jsonschema library come to one
verdict."""

# ruff: noqa: E501

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pymacaron.model.codec import Invalid
from tests.runtime.serving import openapi, pool_of_schemas

NAMES = st.sampled_from(["a", "b", "class", "class_", "x-y", "x_y"])
LARGE = st.sampled_from([2**53, 2**53 + 1, 2**60, 2**60 + 1, -(2**53) - 1, 2**63 - 1, 1e300])
NUMBERS = st.one_of(st.integers(-4, 4), st.sampled_from([0.5, 1.0, -2.0, 2.5, 0.1, 0.3]), LARGE)
TEXTS = st.sampled_from(["", "a", "b", "ab", "1", "true"])
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
COUNTS = st.integers(0, 3)


def optional(**keywords: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keywords)


def typed(kind: str, **keywords: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return optional(**keywords).map(lambda schema: {"type": kind, **schema})


def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(NAMES, inner, max_size=3)
    several = st.lists(inner, min_size=1, max_size=2)
    return st.one_of(
        typed(
            "object",
            properties=properties,
            required=st.lists(NAMES, max_size=2, unique=True),
            additionalProperties=st.one_of(st.booleans(), inner),
            minProperties=COUNTS,
            maxProperties=COUNTS,
        ),
        typed("array", items=inner, minItems=COUNTS, maxItems=COUNTS, uniqueItems=st.booleans()),
        optional(allOf=several, properties=properties, required=st.lists(NAMES, max_size=1)),
        optional(anyOf=several, type=st.sampled_from(["object", "string", "integer"])),
        optional(oneOf=several, enum=st.lists(SCALARS, min_size=1, max_size=3)),
        optional(prefixItems=several, items=inner, contains=inner, unevaluatedItems=inner),
        typed("object", properties=properties, allOf=several, unevaluatedProperties=inner),
        optional(**{"not": inner, "if": inner, "then": inner, "else": inner}),
        typed(
            "object",
            properties=properties,
            patternProperties=st.fixed_dictionaries({"^a": inner}),
            propertyNames=st.just({"maxLength": 2}),
        ),
    )


BASIC = st.one_of(
    typed("string", minLength=COUNTS, maxLength=COUNTS, enum=st.lists(TEXTS, min_size=1), pattern=st.sampled_from(["a", "^b$"])),
    typed("integer", minimum=NUMBERS, exclusiveMaximum=NUMBERS, multipleOf=st.sampled_from([1, 2, 0.5])),
    typed("number", exclusiveMinimum=NUMBERS, maximum=NUMBERS, multipleOf=st.sampled_from([0.1, 2])),
    typed("boolean", const=st.booleans()),
    st.just({"type": "null"}),
    st.just({"type": ["string", "null"], "minLength": 1}),
    st.builds(lambda v: {"type": ["string", "null"], "enum": v}, st.lists(st.one_of(TEXTS, st.none()), min_size=1)),
    st.builds(lambda v: {"type": ["string", "integer", "null"], "const": v}, SCALARS),
    st.builds(lambda v: {"enum": v}, st.lists(VALUES, min_size=1, max_size=3)),
    st.builds(lambda v: {"const": v}, VALUES),
    st.just({}),
    st.booleans(),
    st.just({"$ref": "#/components/schemas/S"}),
)  # fmt: skip
SCHEMAS = st.recursive(BASIC, extend, max_leaves=6)


def expected(schema: Any, value: Any) -> bool | None:
    """jsonschema's verdict; None where the schema runs in circles, on which it has none."""
    root = {**openapi({}, {"S": schema}), "$ref": "#/components/schemas/S"}
    try:
        return bool(jsonschema.Draft202012Validator(root).is_valid(value))
    except BaseException as error:  # its maps are Rust's, which panic where the stack ends
        if isinstance(error, RecursionError) or type(error).__name__ == "PanicException":
            return None
        raise


@pytest.mark.parametrize("part", [{"type": "null"}, {"type": "integer"}, False])
def test_an_object_whose_part_is_no_object_has_no_values(tmp_path: Path, part: Any) -> None:
    none = {"type": "object", "properties": {"a": {}}, "allOf": [part]}
    pool = pool_of_schemas(tmp_path, {"S": none})
    with pytest.raises(Invalid):
        pool.requests.codec(pool.api.schemas["S"]).read_data({})


@pytest.mark.parametrize("value", [None, 1, "a"])
def test_a_schema_that_denies_itself_is_judged_by_its_type(tmp_path: Path, value: Any) -> None:
    itself = {"$ref": "#/components/schemas/S"}
    schema = {"not": {"type": "object", "anyOf": [itself]}}
    pool = pool_of_schemas(tmp_path, {"S": schema})
    assert expected(schema, value)
    assert pool.requests.codec(pool.api.schemas["S"]).read_data(value) == value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer", "multipleOf": 3}, 2**53 + 3),
        ({"type": "integer", "maximum": 2**53}, 2**53 + 1),
        ({"type": "number", "maximum": 2**53}, 2**53 + 1),
        ({"type": "number", "minimum": -(2**53)}, -(2**53) - 1),
        ({"type": "integer", "maximum": 2**60}, 2**60 + 1),
        ({"type": "number", "maximum": 1e300}, int(1e300) + 1),
        ({"type": ["string", "null"], "enum": ["a"]}, None),
        ({"type": ["string", "null"], "const": "a"}, None),
    ],
)
def test_large_numbers_and_null_do_not_slip_through(
    tmp_path: Path, schema: Any, value: Any
) -> None:
    pool = pool_of_schemas(tmp_path, {"S": schema})
    assert not expected(schema, value)
    codec = pool.requests.codec(pool.api.schemas["S"])
    with pytest.raises(Invalid):
        codec.read(json.dumps(value).encode())


def test_a_schema_that_only_leads_to_itself_is_a_fault_and_no_crash(tmp_path: Path) -> None:
    schema = {"anyOf": [{"$ref": "#/components/schemas/S"}]}
    pool = pool_of_schemas(tmp_path, {"S": schema})
    with pytest.raises(Invalid, match="is nested too deeply"):
        pool.requests.codec(pool.api.schemas["S"]).read_data(1)


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(SCHEMAS, st.lists(VALUES, min_size=1, max_size=8))
def test_random_schemas_get_the_verdict_that_jsonschema_gives(
    tmp_path_factory: pytest.TempPathFactory, schema: Any, values: list[Any]
) -> None:
    pool = pool_of_schemas(tmp_path_factory.getbasetemp(), {"S": schema})
    codec = pool.requests.codec(pool.api.schemas["S"])
    for value in values:
        verdict = expected(schema, value)
        if verdict is None:
            continue
        assert (codec.faults(value) == []) is verdict, (schema, value)
        try:
            read = codec.read_data(value)
        except Invalid:
            assert not verdict, (schema, value)
            continue
        assert verdict, (schema, value)
        pool.responses.codec(pool.api.schemas["S"]).write(read)
