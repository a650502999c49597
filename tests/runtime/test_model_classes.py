"""What a model object can do: the promises of PyMacaron 2, and pydantic 2 beside them."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import types
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from pymacaron.config import get_config
from pymacaron.model.codec import Invalid
from pymacaron.model.formats import TEXTS, register_format
from pymacaron.openapi import SpecError, load
from pymacaron.pool import ModelPool
from pymacaron.stubs import stub
from pymacaron.utils import prune_none
from tests.runtime.serving import openapi, swagger

DEFINITIONS: dict[str, Any] = {
    "Order": {
        "type": "object",
        "description": "An order",
        "required": ["customer"],
        "properties": {
            "customer": {"$ref": "#/definitions/Customer"},
            "lines": {"type": "array", "items": {"$ref": "#/definitions/Line"}},
            "at": {"type": "string", "format": "date-time"},
            "day": {"type": "string", "format": "date"},
            "note": {"type": "string", "x-nullable": True},
            "kind": {"type": "string", "enum": ["new", "old"]},
            "size": {"type": "integer", "default": 3},
            "tags": {"type": "array", "items": {"type": "string"}, "default": ["a"]},
            "class": {"type": "string"},
            "a-b": {"type": "string"},
            "json": {"type": "string"},
            "Config": {"type": "string"},
            "register": {"type": "string"},
            "free": {"type": "object"},
        },
    },
    "Customer": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "x-mandatory": True},
            "orders": {"type": "array", "items": {"$ref": "#/definitions/Order"}},
        },
    },
    "Line": {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "price": {"type": "number"}},
    },
    "Special": {
        "allOf": [
            {"$ref": "#/definitions/Line"},
            {"type": "object", "properties": {"why": {"type": "string"}}},
        ]
    },
    "Color": {"type": "string", "enum": ["red"]},
}


def pool_of(tmp_path: Path, definitions: dict[str, Any], name: str = "shop") -> ModelPool:
    file = tmp_path / f"{name}.yaml"
    file.write_text(yaml.safe_dump(swagger({}, definitions), sort_keys=False))
    return ModelPool(load(file))


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    return pool_of(tmp_path, DEFINITIONS)


def test_a_model_is_a_pydantic_model_with_typed_properties(shop: Any) -> None:
    order = shop.Order(customer={"name": "Ada"}, lines=[{"n": "3", "price": 2}, shop.Line(n=1)])
    assert issubclass(shop.Order, BaseModel)
    assert isinstance(order.customer, shop.Customer)
    assert [line.n for line in order.lines] == [3, 1]
    assert (order.size, order.tags, order.note) == (3, ["a"], None)
    with pytest.raises(ValidationError):
        shop.Line(n="x")
    with pytest.raises(ValidationError):
        shop.Order(kind="neither")


def test_only_mandatory_properties_must_be_set_when_an_object_is_made(shop: Any) -> None:
    assert shop.Order().customer is None
    with pytest.raises(ValidationError):
        shop.Customer()


def test_unknown_properties_are_left_out(shop: Any) -> None:
    line = shop.Line(n=1, color="red")
    assert line.to_json() == {"n": 1}
    assert not hasattr(line, "color")


def test_strict_models_refuse_unknown_properties_and_wrong_assignments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(get_config().__dict__["_code"], "strict_models", True)
    shop: Any = pool_of(tmp_path, DEFINITIONS)
    line = shop.Line(n=1)
    with pytest.raises(ValidationError):
        line.n = "x"
    with pytest.raises(ValidationError):
        shop.Line(color="red")


def test_assignment_is_not_validated(shop: Any) -> None:
    line = shop.Line(n=1)
    line.n = "x"
    assert line.n == "x"


def test_dates_are_datetimes(shop: Any) -> None:
    order = shop.Order(at="2020-01-02T03:04:05Z", day=date(2020, 1, 2))
    assert order.at == datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert order.day == datetime(2020, 1, 2)
    assert order.to_json() == {"at": "2020-01-02T03:04:05+00:00", "day": "2020-01-02"}
    assert order.to_json(keep_datetime=True)["at"] is order.at
    assert order.to_json(datetime_encoder=lambda d: d.year) == {"at": 2020, "day": 2020}


def test_to_json_shows_what_it_is_asked_for(shop: Any) -> None:
    order = shop.Order(kind=None, customer=shop.Customer(name="Ada"))
    assert order.to_json() == {"customer": {"name": "Ada"}, "kind": None}
    assert order.to_json(exclude_none=True) == {"customer": {"name": "Ada"}}
    assert order.to_json(keep_nullable=True)["note"] is None
    everything = order.to_json(exclude_unset=False)
    assert (everything["size"], everything["class"]) == (3, None)


def test_names_that_python_or_pydantic_use_work_by_their_own_name(shop: Any) -> None:
    order = shop.Order(**{"class": "c", "a-b": "d", "json": "e"})
    assert (order.class_, order.a_b, order.json_) == ("c", "d", "e")
    assert (getattr(order, "class"), getattr(order, "a-b")) == ("c", "d")
    setattr(order, "a-b", "f")
    assert order.to_json() == {"class": "c", "a-b": "f", "json": "e"}
    assert shop.Order(class_="c").to_json() == {"class": "c"}
    assert '"a-b": "f"' in order.json()
    order = shop.Order(Config="g", register="h")
    assert (order.Config, order.register) == ("g", "h")
    assert order.to_json() == {"Config": "g", "register": "h"}


def test_from_json_prunes_none_unless_told_otherwise(shop: Any) -> None:
    data = {"customer": {"name": "Ada", "orders": None}, "note": None}
    order = shop.Order.from_json(data)
    assert order.to_json() == {"customer": {"name": "Ada"}}
    assert shop.Order.from_json(data, prune_none=False).to_json()["note"] is None
    assert data["note"] is None
    assert shop.json_to_model("Line", {"n": 1}).n == 1
    assert shop.Line(**prune_none(n=1, price=None)).to_json() == {"n": 1}


def test_what_a_model_knows_of_itself(shop: Any) -> None:
    order = shop.Order()
    assert (order.get_model_name(), order.get_model_api()) == ("Order", "shop")
    assert order.get_property_names() == list(DEFINITIONS["Order"]["properties"])
    assert order.get_model_properties() == order.get_property_names()
    assert order.get_nullable_properties() == ["note"]
    assert shop.get_model_names() == ["Customer", "Line", "Order", "Special"]
    with pytest.raises(Exception, match="that schema is no object"):
        shop.Color()


def test_the_names_of_pydantic_1_keep_working_without_warnings(
    shop: Any, recwarn: pytest.WarningsRecorder
) -> None:
    order = shop.Order.parse_obj({"customer": {"name": "Ada"}, "at": "2020-01-02T03:04:05Z"})
    assert order.dict()["customer"]["name"] == "Ada"
    assert order.dict(exclude_unset=True)["customer"] == {"name": "Ada"}
    assert '"2020-01-02T03:04:05+00:00"' in order.json()
    assert order.copy(update={"size": 9}).size == 9
    clone = order.clone()
    clone.customer.name = "Bob"
    assert order.customer.name == "Ada"
    assert order.model_dump()["customer"]["name"] == "Ada"
    assert str(order).startswith("Order(")
    assert not [w for w in recwarn if "deprecated" in str(w.message)]


def test_a_model_that_extends_another_is_its_subclass(shop: Any) -> None:
    special = shop.Special(n=1, why="x")
    assert isinstance(special, shop.Line)
    assert special.to_json() == {"n": 1, "why": "x"}
    assert shop.Order(lines=[special]).lines[0] is special


def test_the_difference_of_two_models_leaves_descriptions_aside(tmp_path: Path, shop: Any) -> None:
    one = {"type": "object", "description": "x", "properties": {"n": {"type": "integer"}}}
    same = {"type": "object", "description": "y", "properties": {"n": {"type": "integer"}}}
    other = {"type": "object", "properties": {"n": {"type": "string"}}}
    pool: Any = pool_of(tmp_path, {"A": one, "B": same, "C": other}, "diff")
    assert pool.A.diff_with(pool.B) == ""
    diff = pool.A.diff_with(pool.C)
    assert "--- diff.A" in diff
    assert '+            "type": "string"' in diff


class Greeter:
    """A parent with an attribute that is no property, a method and state of its own."""

    cache: dict[str, int]
    greeting = "hello"

    def greet(self) -> str:
        return f"{self.greeting} {self.name}"  # type: ignore[attr-defined]


def test_x_parent_comes_first_and_its_methods_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("parents_of_a_test")
    module.Greeter = Greeter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "parents_of_a_test", module)
    named = {"type": "object", "properties": {"name": {"type": "string"}}}
    model = {**named, "x-parent": "parents_of_a_test.Greeter"}
    pool: Any = pool_of(tmp_path, {"Person": model})
    made = pool.Person(name="Ada")
    assert made.greet() == "hello Ada"
    assert type(made).__mro__[1] is Greeter
    read = pool.requests.codec(pool.api.schemas["Person"]).read(b'{"name": "Bob"}')
    assert (read.greet(), isinstance(read, Greeter)) == ("hello Bob", True)
    for path, told in (("nowhere.A", "can't be imported"), ("parents_of_a_test.x", "imported")):
        with pytest.raises(SpecError, match=told):
            pool_of(tmp_path, {"Person": {**named, "x-parent": path}})


def test_own_formats_can_be_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TEXTS, "even", TEXTS["date"])
    register_format("even", lambda text: len(text) % 2 == 0)
    pool: Any = pool_of(
        tmp_path,
        {"A": {"type": "object", "properties": {"x": {"type": "string", "format": "even"}}}},
    )
    read = pool.requests.codec(pool.api.schemas["A"]).read
    assert read(b'{"x": "ab"}').x == "ab"
    with pytest.raises(ValueError, match="must be a valid even"):
        read(b'{"x": "abc"}')


def test_strict_required_false_is_2s_leniency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(get_config().__dict__["_code"], "strict_required", False)
    pool: Any = pool_of(tmp_path, DEFINITIONS)
    read = pool.requests.codec(pool.api.schemas["Order"]).read
    assert read(b"{}").customer is None
    with pytest.raises(ValueError, match="must be an integer"):
        read(b'{"size": "x"}')
    assert read(b'{"customer": null}').customer is None


def test_a_null_that_strict_required_false_accepts_is_not_told_beside_another_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(get_config().__dict__["_code"], "strict_required", False)
    pool: Any = pool_of(tmp_path, DEFINITIONS)
    codec = pool.requests.codec(pool.api.schemas["Order"])
    with pytest.raises(Invalid) as error:
        codec.read(b'{"customer": null, "size": "x"}')
    assert [fault.pointer for fault in error.value.faults] == ["/size"]


def test_a_class_is_made_once_though_many_threads_ask_for_it(tmp_path: Path) -> None:
    for _ in range(5):
        pool: Any = pool_of(tmp_path, DEFINITIONS)
        seen: list[Any] = []
        barrier = threading.Barrier(8)

        def ask(pool: Any = pool, seen: list[Any] = seen, barrier: Any = barrier) -> None:
            barrier.wait()
            seen.append(pool.Order)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(seen)) == 1


def test_stubs_tell_mypy_what_the_models_are(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(swagger({}, DEFINITIONS), sort_keys=False))
    command = [sys.executable, "-m", "pymacaron.stubs", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "wrote" in run.stdout
    assert (tmp_path / "shop_models.pyi").read_text() == stub(load(tmp_path / "shop.yaml"))
    (tmp_path / "use.py").write_text(
        "from shop_models import Order, Customer, Special\n"
        "o = Order(customer=Customer(name='a'), kind='new')\n"
        "Order(kind='neither')\n"
        "Customer()\n"
        "x: str = o.size\n"
        "Special(n=1, why='x')\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "use.py"]
    told = subprocess.run(
        mypy, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    lines = [
        line.split(":")[1]
        for line in told.stdout.splitlines()
        if "error" in line and "use.py" in line
    ]
    assert sorted(set(lines)) == ["3", "4", "5"], told.stdout


def test_nullable_has_three_spellings(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text(
        yaml.safe_dump(
            openapi(
                {},
                {
                    "A": {
                        "type": "object",
                        "properties": {
                            "a": {"type": ["string", "null"]},
                            "b": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                            "c": {"type": "string"},
                        },
                    }
                },
                "3.1.0",
            )
        )
    )
    pool: Any = ModelPool(load(tmp_path / "n.yaml"))
    assert pool.A().get_nullable_properties() == ["a", "b"]
    assert pool.responses.codec(pool.api.schemas["A"]).write(pool.A()) == b'{"a":null,"b":null}'


def test_a_model_survives_copying_and_pickling_of_its_data(shop: Any) -> None:
    order = shop.Order(customer={"name": "Ada"})
    assert shop.Order(**pickle.loads(pickle.dumps(order.dict()))) == shop.Order(**order.dict())
