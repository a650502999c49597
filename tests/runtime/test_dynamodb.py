from __future__ import annotations

import json
import os
import sys
import threading
import types
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pymacaron.dynamodb import (
    BadKey,
    DynamoDBItemNotFound,
    ItemChanged,
    PersistentSwaggerObject,
    Store,
    StoreError,
    Table,
    open_store,
    use_store,
)
from pymacaron.pool import apipool, use_pool
from pymacaron.tasks import wire
from tests.runtime.stores import opened

SPEC = """\
swagger: "2.0"
info: {title: shop, version: "1"}
paths: {}
definitions:
  Profile:
    type: object
    x-persist: persisted_of_a_test.PersistentProfile
    properties:
      profile_id: {type: string}
      view_count: {type: integer}
      score: {type: number}
      active: {type: boolean}
      born: {type: string, format: date-time}
      picture: {type: string, format: binary}
      home: {$ref: "#/definitions/Address"}
      others: {type: array, items: {$ref: "#/definitions/Address"}}
      tags: {type: array, uniqueItems: true, items: {type: string}}
      numbers: {type: array, uniqueItems: true, items: {type: integer}}
      free: {type: object, additionalProperties: true}
      note: {type: string, x-nullable: true}
  Address:
    type: object
    properties:
      street: {type: string}
      number: {type: integer}
      since: {type: string, format: date-time}
  Visit:
    type: object
    x-persist: persisted_of_a_test.PersistentVisit
    properties:
      profile_id: {type: string}
      number: {type: integer}
      profile: {$ref: "#/definitions/Profile"}
      expires: {type: string, format: date-time}
"""


class PersistentProfile(PersistentSwaggerObject):
    api_name, model_name = "shop", "Profile"
    table_name, primary_key = "profile", "profile_id"

    def seen(self: Any) -> None:
        self.view_count = (self.view_count or 0) + 1


class PersistentVisit(PersistentSwaggerObject):
    api_name, model_name = "shop", "Visit"
    table_name, primary_key, sort_key = "visit", "profile_id", "number"
    ttl_attribute = "expires"


@pytest.fixture(
    scope="module",
    params=[
        "sqlite",
        "moto",
        pytest.param("dynalite", marks=pytest.mark.real("node", "npm")),
    ],
)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    with opened(request.param, tmp_path_factory.mktemp(request.param)) as store:
        yield store


@pytest.fixture
def shop(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    module = types.ModuleType("persisted_of_a_test")
    module.PersistentProfile = PersistentProfile  # type: ignore[attr-defined]
    module.PersistentVisit = PersistentVisit  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    (tmp_path / "shop.yaml").write_text(SPEC)
    with use_pool():
        apipool.load_swagger("shop", tmp_path / "shop.yaml")
        use_store(store)
        PersistentProfile.create_table()
        PersistentVisit.create_table()
        yield apipool.shop
        use_store(None)


def test_the_documented_example_works(shop: Any) -> None:
    shop.Profile(profile_id="doc", view_count=1).save_to_db()
    p: Any = PersistentProfile.load_from_db("doc")
    p.view_count += 1
    p.save_to_db()
    assert PersistentProfile.load_from_db("doc").view_count == 2
    assert PersistentProfile.get_table().has_item(profile_id="doc")
    p.delete_from_db()
    assert not PersistentProfile.get_table().has_item(profile_id="doc")
    with pytest.raises(DynamoDBItemNotFound, match="no item 'doc'"):
        PersistentProfile.load_from_db("doc")


def test_a_loaded_model_is_an_instance_of_both_classes_also_nested(shop: Any) -> None:
    profile = shop.Profile(profile_id="both")
    shop.Visit(profile_id="both", number=1, profile=profile).save_to_db()
    visit: Any = PersistentVisit.load_from_db("both", 1)
    for value, kinds in (
        (visit, (shop.Visit, PersistentVisit)),
        (visit.profile, (shop.Profile, PersistentProfile)),
    ):
        assert all(isinstance(value, kind) for kind in kinds)
    visit.profile.seen()
    visit.profile.save_to_db()
    assert PersistentProfile.load_from_db("both").view_count == 1


moments = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(timezone.utc)
)
numbers = st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda f: f == 0 or 1e-120 < abs(f) < 1e120
)
integers = st.integers(min_value=-(10**37), max_value=10**37)
texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
addresses = st.fixed_dictionaries(
    {}, optional={"street": texts, "number": integers, "since": moments}
)
profiles = st.fixed_dictionaries(
    {"profile_id": texts.filter(bool)},
    optional={
        "view_count": integers,
        "score": numbers,
        "active": st.booleans(),
        "born": moments,
        "picture": st.binary(min_size=1, max_size=20),
        "home": addresses,
        "others": st.lists(addresses, max_size=3),
        "tags": st.lists(texts.filter(bool), max_size=4, unique=True).map(sorted),
        "numbers": st.lists(integers, max_size=4, unique=True).map(sorted),
        "free": st.dictionaries(texts.filter(bool), integers | texts | st.none(), max_size=3),
        "note": texts | st.none(),
    },
)


def made(shop: Any, data: dict[str, Any]) -> Any:
    nested = dict(data)
    if "home" in data:
        nested["home"] = shop.Address(**data["home"])
    if "others" in data:
        nested["others"] = [shop.Address(**one) for one in data["others"]]
    return shop.Profile(**nested)


@pytest.mark.usefixtures("shop")
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(profiles)
def test_whatever_is_saved_is_loaded_as_it_was(data: dict[str, Any]) -> None:
    profile = made(apipool.shop, data)
    profile.save_to_db()
    loaded: Any = PersistentProfile.load_from_db(data["profile_id"], consistent=True)
    assert loaded == profile
    assert loaded.to_json() == profile.to_json()
    assert loaded.model_fields_set == profile.model_fields_set


def test_keys_are_read_in_batches_and_come_in_order(shop: Any) -> None:
    for number in range(130):
        shop.Visit(profile_id="batch", number=number).save_to_db()
    keys = [("batch", number) for number in range(131, -1, -1)]
    found: Any = PersistentVisit.get_items([*keys, keys[5]])
    assert [visit.number for visit in found] == [*range(129, -1, -1), 126]


def test_a_query_reads_page_by_page_in_order(shop: Any) -> None:
    for number in (10, 9, 100, -5, 2):
        shop.Visit(profile_id="query", number=number).save_to_db()

    def asked(**bounds: Any) -> list[int]:
        return [visit.number for visit in PersistentVisit.query("query", page_size=2, **bounds)]  # type: ignore[attr-defined]

    assert asked() == [-5, 2, 9, 10, 100]
    assert asked(reverse=True) == [100, 10, 9, 2, -5]
    assert asked(low=2, high=10) == [2, 9, 10]
    assert asked(low=10) == [10, 100]
    assert asked(high=2, reverse=True) == [2, -5]
    page = PersistentVisit.query_page("query", limit=3)
    assert page.after
    rest: Any = PersistentVisit.query_page("query", after=page.after)
    assert [visit.number for visit in rest.items] == [10, 100]
    assert rest.after is None
    assert list(PersistentVisit.query("nobody")) == []


def test_of_two_that_save_if_unchanged_only_one_does(
    shop: Any, request: pytest.FixtureRequest
) -> None:
    # DynamoDB compares sets and maps, too; dynalite does not.
    whole = "dynalite" not in request.node.name
    rich = {"tags": ["a"], "home": shop.Address(number=1)} if whole else {}
    new = shop.Profile(profile_id="lost", **rich)
    new.save_to_db(if_unchanged=True)
    with pytest.raises(ItemChanged):
        shop.Profile(profile_id="lost").save_to_db(if_unchanged=True)
    one: Any = PersistentProfile.load_from_db("lost", consistent=True)
    two: Any = PersistentProfile.load_from_db("lost", consistent=True)
    one.score = 0.5
    one.save_to_db(if_unchanged=True)
    two.view_count = 1
    with pytest.raises(ItemChanged):
        two.save_to_db(if_unchanged=True)
    one.score = 0.7
    one.save_to_db(if_unchanged=True)
    assert PersistentProfile.load_from_db("lost", consistent=True).score == 0.7  # type: ignore[attr-defined]


def test_threads_that_count_with_if_unchanged_lose_no_count(
    shop: Any, request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.params["store"] == "moto":
        pytest.skip("moto looks at a condition and writes in two steps")
    shop.Profile(profile_id="count", view_count=0).save_to_db()

    def count() -> None:
        for _ in range(5):
            while True:
                profile: Any = PersistentProfile.load_from_db("count", consistent=True)
                profile.seen()
                try:
                    profile.save_to_db(if_unchanged=True)
                    break
                except ItemChanged:
                    continue

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert PersistentProfile.load_from_db("count", consistent=True).view_count == 15


def test_a_model_that_travelled_to_a_task_is_saved_as_one_that_was_loaded(
    shop: Any, store: Store
) -> None:
    table = Table(name="profile", primary_key="profile_id", key_types={"profile_id": "S"})
    store.put(table, {"profile_id": "task", "of_before": b"x", "score": Decimal("1.5")})
    loaded: Any = PersistentProfile.load_from_db("task", consistent=True)
    arrived = wire.read(json.loads(json.dumps(wire.write(loaded))))
    assert arrived.to_json() == loaded.to_json() == {"profile_id": "task", "score": 1.5}
    arrived.seen()
    arrived.save_to_db(if_unchanged=True)
    stored = PersistentProfile.get_table().get_item(consistent=True, profile_id="task")
    assert (stored["of_before"], stored["view_count"]) == (b"x", 1)
    with pytest.raises(ItemChanged):
        loaded.save_to_db(if_unchanged=True)


def test_attributes_the_model_does_not_know_survive_unless_unwanted(
    shop: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(name="profile", primary_key="profile_id", key_types={"profile_id": "S"})
    store.put(table, {"profile_id": "old", "of_before": "x", "view_count": 3})
    profile: Any = PersistentProfile.load_from_db("old")
    profile.save_to_db()
    assert PersistentProfile.get_table().get_item(profile_id="old")["of_before"] == "x"
    monkeypatch.setattr(PersistentProfile, "keep_unknown", False)
    profile.save_to_db()
    assert "of_before" not in PersistentProfile.get_table().get_item(profile_id="old")


def test_a_ttl_attribute_is_stored_in_seconds(shop: Any) -> None:
    moment = datetime(2031, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=7)
    shop.Visit(profile_id="ttl", number=1, expires=moment).save_to_db()
    stored = PersistentVisit.get_table().get_item(profile_id="ttl", number=1)
    assert stored["expires"] == int(moment.timestamp())
    assert PersistentVisit.load_from_db("ttl", 1).expires == moment  # type: ignore[attr-defined]


def test_a_forked_process_loads_and_saves(shop: Any) -> None:
    shop.Profile(profile_id="fork", view_count=1).save_to_db()
    child = os.fork()
    if child == 0:
        try:
            profile: Any = PersistentProfile.load_from_db("fork")
            profile.seen()
            profile.save_to_db()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert PersistentProfile.load_from_db("fork", consistent=True).view_count == 2


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, "the key profile_id of table profile is missing or empty"),
        ({"profile_id": ""}, "is missing or empty"),
        ({"profile_id": "x", "view_count": 10**40 + 1}, "view_count is 1000"),
        ({"profile_id": "x", "score": 1e200}, "declare the property as a string"),
        ({"profile_id": "x", "score": float("nan")}, "score is nan, which can't be stored"),
        ({"profile_id": "x", "free": {"a": [object()]}}, "free.a[0] is a object"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_words(
    shop: Any, data: dict[str, Any], text: str
) -> None:
    with pytest.raises(StoreError) as caught:
        shop.Profile(**data).save_to_db()
    assert text in str(caught.value)


def test_a_table_that_is_missing_is_named(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PersistentProfile, "table_name", "nowhere")
    for act in (
        shop.Profile(profile_id="x").save_to_db,
        lambda: PersistentProfile.load_from_db("x"),
        lambda: list(PersistentProfile.query("x")),
    ):
        with pytest.raises(StoreError, match=r"no table nowhere.*create_table"):
            act()


def test_an_item_over_400_kb_is_refused_by_dynamodb_only(
    shop: Any, request: pytest.FixtureRequest
) -> None:
    large = shop.Profile(profile_id="large", note="x" * 409_600)
    if "sqlite" in request.node.name:
        large.save_to_db()
        assert PersistentProfile.load_from_db("large") == large
        return
    with pytest.raises(StoreError, match="too large for table profile: DynamoDB takes 400 KB"):
        large.save_to_db()


def test_a_table_with_another_key_is_told(
    shop: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sqlite" in request.node.name:
        return  # its tables are made of our own keys
    monkeypatch.setattr(PersistentProfile, "primary_key", "note")
    monkeypatch.setattr(PersistentProfile, "table_name", "other-key")
    PersistentProfile.create_table()
    monkeypatch.setattr(PersistentProfile, "primary_key", "profile_id")
    acts = [
        shop.Profile(profile_id="x").save_to_db,
        lambda: list(PersistentProfile.query("x")),
        lambda: PersistentProfile.load_from_db("x"),
    ]
    # Of a batch's keys moto says no more than "Validation Exception".
    for act in acts if "dynalite" in request.node.name else acts[:2]:
        with pytest.raises(BadKey, match="table other-key has another key than profile_id"):
            act()


def test_a_wrong_key_is_refused(shop: Any) -> None:
    with pytest.raises(BadKey, match="must be a text"):
        PersistentProfile.load_from_db(7)
    with pytest.raises(StoreError, match="needs two keys: profile_id and number"):
        PersistentVisit.load_from_db("x")


def test_a_persist_url_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"persist_url can.t be used: write sqlite"):
        open_store("postgres://x/y")
