"""JSON texts read in one go: what that accepts is what a closer look accepts, to the last type."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pymacaron.model import codec as codecs
from pymacaron.model.base import PymacaronBaseModel
from pymacaron.model.codec import Codec, Invalid, Malformed, Workshop, parse
from pymacaron.model.quick import UNSURE, Quick
from pymacaron.pool import ModelPool
from tests.runtime.serving import pool_of_schemas
from tests.runtime.test_model_agreement import SCHEMAS, VALUES

LINE = {
    "type": "object",
    "required": ["sku"],
    "properties": {
        "sku": {"type": "string"},
        "price": {"type": "number", "minimum": 0},
        "count": {"type": "integer"},
        "sent": {"type": "string", "format": "date-time"},
        "size": {"$ref": "#/components/schemas/Size"},
    },
}
ORDER = {
    "type": "object",
    "properties": {
        "lines": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}},
        "by_name": {
            "type": "object",
            "additionalProperties": {"$ref": "#/components/schemas/Line"},
        },
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "free": {},
        "before": {"$ref": "#/components/schemas/Order"},
        "usual": {"$ref": "#/components/schemas/Size", "default": {"width": 1}},
        "maybe": {"oneOf": [{"$ref": "#/components/schemas/Size"}, {"type": "null"}]},
    },
}
SIZE = {"type": "object", "properties": {"width": {"type": "number"}}, "additionalProperties": {}}
GOOD: dict[str, Any] = {
    "lines": [{"sku": "a", "price": 1}, {"sku": "b", "price": 1.5, "size": {"width": 2, "z": [{}]}}],  # noqa: E501
    "by_name": {"x": {"sku": "c", "count": 3}},
    "labels": {"a": "b"},
    "free": {"a": [{"b": 1}, None], "c": 1e300},
    "before": {"before": {"lines": []}},
    "maybe": None,
}  # fmt: skip

Read = Callable[[str], Any]


@pytest.fixture
def pool(tmp_path: Path) -> ModelPool:
    schemas = {"Line": LINE, "Order": ORDER, "Size": SIZE}
    return pool_of_schemas(tmp_path, schemas)


def fresh(pool: ModelPool, name: str) -> Codec:
    """One that has no doubts yet."""
    return Workshop(pool.models, "request").codec(pool.api.schemas[name])


def outcome(read: Callable[[], Any]) -> str:
    """What came of reading, as detailed as can be: `1` is not `1.0`."""
    try:
        value = read()
    except Malformed:
        return "malformed"
    except Invalid as error:
        return f"invalid: {error}"
    return f"{value!r} {given_of(value)!r}"


def given_of(value: Any) -> Any:
    if isinstance(value, PymacaronBaseModel):
        extra = value.__pydantic_extra__ or {}
        return {
            name: given_of(extra.get(name, value.__dict__.get(name)))
            for name in sorted(value.model_fields_set)
        }
    if isinstance(value, dict):
        return {name: given_of(inner) for name, inner in value.items()}
    return [given_of(inner) for inner in value] if isinstance(value, list) else value


def agree(pool: ModelPool, name: str, text: str) -> str:
    codec = fresh(pool, name)
    quick = outcome(lambda: codec.read(text.encode()))
    assert quick == outcome(lambda: codec.read_data(parse(text.encode()))), text
    return quick


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n", " :\t")])
def test_good_texts_are_read_without_being_parsed_first(
    pool: ModelPool, monkeypatch: pytest.MonkeyPatch, separators: tuple[str, str]
) -> None:
    text = json.dumps(GOOD, separators=separators)
    agree(pool, "Order", text)
    monkeypatch.setattr(codecs, "parse", None)
    order = fresh(pool, "Order").read(text.encode())
    assert order.lines[1].size.width == 2
    assert type(order.lines[0].price) is int
    assert order.usual.width == 1


def test_colons_in_texts_do_not_keep_a_text_from_being_read_at_once(
    pool: ModelPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecs, "parse", None)
    line = fresh(pool, "Line").read(b'{"sku": "urn:a", "sent": "2026-01-02T03:04:05Z"}')
    assert line.sku == "urn:a"


@pytest.mark.parametrize(
    "text",
    [
        '{"lines": [{"sku": "a", "sku": "b"}]}',
        '{"lines": [], "lines": []}',
        '{"lines" : [], "lines":[]}',
        '{"lines"\\n:[],"lines":[]}'.replace("\\n", "\n"),
        '{"labels": {"a": "b", "a": "c"}}',
        '{"free": {"a": {"b": 1, "b": 1}}}',
        '{"unknown": {"a": 1, "a": 1}}',
        '{"unknown": 1, "unknown": 2}',
        # The default of `usual` has a name which is in no text.
        '{"lines": [], "lines": [], "free": 1}',
        '{"by_name": {"a": {"sku": "1"}, "a": {"sku": "2"}}}',
        '{"maybe": {"width": 1, "width": 1}}',
        '{"maybe": {"a": 1, "a": 1}}',
        '{"before": {"before": {"free": 1, "free": 1}}}',
        '{"l\\u0069nes": [], "lines": []}',
        '{"free": NaN}',
        '{"free": [-Infinity]}',
        '{"unknown": NaN}',
        '{"free": "\\ud800"}',
        '{"free": 1',
        '{"free": 1}}',
        "",
    ],
)
def test_what_is_no_json_with_one_meaning_is_refused(pool: ModelPool, text: str) -> None:
    assert agree(pool, "Order", text) == "malformed"


@pytest.mark.parametrize(
    "text",
    [
        '{"lines": [{"sku": 1}]}',
        '{"lines": [{"price": 1}]}',
        '{"lines": [{"sku": "a", "price": -0.5}]}',
        '{"lines": [{"sku": "a", "price": true}]}',
        '{"lines": [{"sku": "a", "count": 1.5}]}',
        '{"lines": [{"sku": "a", "sent": "today"}]}',
        '{"labels": {"a": 1}}',
        '{"maybe": 1}',
        "[]",
        "null",
    ],
)
def test_wrong_values_have_the_same_faults(pool: ModelPool, text: str) -> None:
    assert agree(pool, "Order", text).startswith("invalid")


@pytest.mark.parametrize(
    "text",
    [
        '{"lines": [{"sku": "say \\"a\\": b", "count": 2.0}]}',
        '{"lines": [{"sku": "a", "price": 12345678901234567890123}]}',
        '{"lines": [{"sku": "a", "price": -0}]}',
        '{"free": 1e400}',
        '{"free": {}}',
        '{"unknown": {"a": 1}}',
        '{"usual": {"width": 1, "other": 5}}',
        "{}",
        ' {"free" :1}\r\n',
    ],
)
def test_odd_texts_are_read_alike(pool: ModelPool, text: str) -> None:
    agree(pool, "Order", text)


OPEN = {
    "type": "object",
    "properties": {
        "class": {"$ref": "#/components/schemas/Size"},
        "x-y": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "default": {"k": "v"},
        },
        "x-z": {"type": "array", "items": {"$ref": "#/components/schemas/Size"}},
    },
}


@pytest.mark.parametrize("rest", [{}, True, {"type": "integer"}])
@pytest.mark.parametrize(
    "text",
    [
        '{"class_": 1}',
        '{"x_z": 1, "class": {"width": 1}}',
        '{"x_y": 1}',
        '{"x_y": 1, "z": 2, "z": 3}',
        '{"class_": 1, "x": 1, "x": 2}',
    ],
)
def test_unknown_names_may_be_those_of_fields(tmp_path: Path, rest: Any, text: str) -> None:
    schemas = {"Open": {**OPEN, "additionalProperties": rest}, "Size": SIZE}
    agree(pool_of_schemas(tmp_path, schemas), "Open", text)


def test_a_constructor_of_the_service_runs_once_for_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parents.py").write_text(
        "made = []\n"
        "class Parent:\n"
        "    def model_post_init(self, context):\n"
        "        made.append(self)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = {**LINE, "properties": {"sku": {"type": "string"}}, "x-parent": "parents.Parent"}
    pool = pool_of_schemas(tmp_path, {"Own": own})
    fresh(pool, "Own").read(b'{"sku": "a", "unknown": 1}')
    import parents  # type: ignore[import-not-found]

    assert len(parents.made) == 1


class Validator:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def validate_json(self, text: bytes) -> Any:
        self.asked += 1
        return json.loads(text)


def test_what_is_often_in_vain_is_seldom_tried_until_it_is_not() -> None:
    validator: Any = Validator()
    quick = Quick(validator, len)
    doubtful, good = b'{"a": 1, "a": 2}', b'{"a": 1}'
    assert {id(quick.read(doubtful)) for _ in range(1000)} == {id(UNSURE)}
    assert 2 <= validator.asked <= 8
    read = [quick.read(good) for _ in range(1000)]
    assert read[-200:] == [{"a": 1}] * 200


@pytest.mark.parametrize(
    "schemas",
    [
        {"S": {"anyOf": [{"$ref": "#/components/schemas/S"}, {"type": "null"}]}},
        {"S": {"allOf": [{"$ref": "#/components/schemas/S"}]}},
        {
            "S": {"oneOf": [{"$ref": "#/components/schemas/T"}, {"type": "null"}]},
            "T": {"oneOf": [{"$ref": "#/components/schemas/S"}, {"type": "null"}]},
        },
        {
            "S": {
                "properties": {"a": {"$ref": "#/components/schemas/T"}},
                "type": "object",
            },
            "T": {"anyOf": [{"$ref": "#/components/schemas/T"}, {"type": "null"}]},
        },
        {
            "S": {
                "properties": {"a": {"$ref": "#/components/schemas/T"}},
                "type": "object",
            },
            "T": {"type": "array", "items": {"$ref": "#/components/schemas/T"}},
        },
    ],
)
@pytest.mark.parametrize("text", ["1", "null", '{"a": 1}', '{"a": null}', '{"a": [[], [[]]]}'])
def test_schemas_that_lead_to_themselves_are_no_crash(
    tmp_path: Path, schemas: Any, text: str
) -> None:
    agree(pool_of_schemas(tmp_path, schemas), "S", text)


def test_threads_that_lose_a_doubt_at_once_leave_none() -> None:
    validator: Any = Validator()
    quick = Quick(validator, len)
    quick._doubt(-1)
    assert quick.read(b'{"a": 1}') == {"a": 1}


def written(value: Any, chance: random.Random) -> str:
    """JSON, or nearly: with names repeated, unknown ones, odd spaces, numbers and escapes."""

    def space() -> str:
        return chance.choice(["", "", "", " ", "\n", "\t"])

    if isinstance(value, dict):
        pairs = [(name, written(inner, chance)) for name, inner in value.items()]
        if pairs and chance.random() < 0.15:
            pairs.append(chance.choice(pairs))
        if chance.random() < 0.1:
            pairs.append(("other", chance.choice(["1", "NaN", '{"a":1,"a":2}', '"a\\":"'])))
        members = [f"{space()}{json.dumps(n)}{space()}:{space()}{t}{space()}" for n, t in pairs]
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(inner, chance) for inner in value) + "]"
    if chance.random() < 0.05:
        return chance.choice(["NaN", "-Infinity", "1e400", "-0", '"\\ud800"', '"a:\\":"', "1e2"])
    return json.dumps(value)


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(SCHEMAS, st.lists(VALUES, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_random_texts_are_read_alike(
    tmp_path_factory: pytest.TempPathFactory, schema: Any, values: list[Any], chance: random.Random
) -> None:
    pool = pool_of_schemas(tmp_path_factory.getbasetemp(), {"S": schema})
    for value in values:
        agree(pool, "S", written(value, chance))
