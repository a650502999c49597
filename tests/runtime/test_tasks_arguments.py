from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from pymacaron.config import PyMacaronConfig
from pymacaron.pool import apipool, use_pool
from pymacaron.tasks import CannotTravel, asynctask, wire
from tests.runtime.tasks_service import SPEC


class Colour(Enum):
    RED = 1


class Access(Flag):
    READ = 1
    WRITE = 2


class Size(str, Enum):
    SMALL = "s"


LOOP: list[Any] = []
LOOP.append(LOOP)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.none() | st.just(timezone.utc))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
)
keys = st.text() | st.integers() | st.dates() | st.tuples(st.integers(), st.text())
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner)
        | st.dictionaries(st.just(wire.MARK) | st.text(), inner)
    ),
    max_leaves=12,
)


def travelled(value: Any) -> Any:
    return wire.read(json.loads(json.dumps(wire.write(value))))


@given(values)
def test_whatever_can_travel_arrives_as_it_was(value: Any) -> None:
    arrived = travelled(value)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        datetime(2020, 2, 29, 1, 2, 3, 4, timezone(timedelta(hours=-3, minutes=-30))),
        date(2020, 2, 29),
        time(23, 59, 59, 999999),
        Decimal("1.10"),
        b"\x00\xff",
        UUID(int=7),
        {1, 2},
        frozenset("ab"),
        (1, (2, [3])),
        {3: {"a": (b"x",)}},
        10**40,
        Colour.RED,
        [Size.SMALL, Access.WRITE],
    ],
)
def test_a_kind_stays_its_kind(value: Any) -> None:
    arrived = travelled(value)
    assert arrived == value
    assert repr(arrived) == repr(value) or isinstance(value, set | frozenset)


def test_models_arrive_as_models_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(SPEC)
    with use_pool():
        apipool.load_swagger("jobs", tmp_path / "jobs.yaml")
        jobs = apipool.jobs
        due = datetime(2030, 1, 1, tzinfo=timezone.utc)
        job = jobs.Job(name="x", due=due, parts=[jobs.Part(number=1), jobs.Part()])
        job.parts[0].number = "not valid, but so it was"
        arrived = travelled({"deep": [(job,)]})["deep"][0][0]
        assert type(arrived) is jobs.Job
        assert type(arrived.parts[1]) is jobs.Part
        assert arrived == job
        assert arrived.model_fields_set == job.model_fields_set
        assert arrived.to_json() == job.to_json()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (object(), "argument is a object, which can't be sent"),
        ([1, {"a": open}], "argument[1]['a'] is a builtin_function_or_method"),
        (Access.READ | Access.WRITE, "which no module holds: pass its .value"),
        (Enum("Local", "RED").RED, "which no module holds"),  # type: ignore[attr-defined]
        ({"a": LOOP}, "argument is nested too deeply, or contains itself"),
    ],
)
def test_what_cannot_travel_is_refused_with_its_place(value: Any, text: str) -> None:
    with pytest.raises(CannotTravel) as caught:
        wire.pack(value, "argument")
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("args", "kwargs", "largest"),
    [((1, "x" * 300), {}, "2"), ((1,), {"to": "me", "image": b"x" * 200}, "image")],
)
def test_arguments_that_are_too_large_are_refused_with_what_is_large_in_them(
    fresh_config: PyMacaronConfig, args: Any, kwargs: Any, largest: str
) -> None:
    wire.write_call("send", args, kwargs)
    fresh_config.max_task_size = 250
    with pytest.raises(CannotTravel, match=f"250 bytes as JSON .*in argument {largest}: store"):
        wire.write_call("send", args, kwargs)
    fresh_config.max_task_size = 400
    wire.write_call("send", args, kwargs)


def test_a_task_in_place_gets_its_arguments_as_a_worker_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYM_TASKS_IN_PLACE", "1")
    got: list[object] = []

    @asynctask(delay=60)
    def note(value: object) -> None:
        got.append(value)

    given_value = [1, {"a": (2,)}]
    with Flask("tasks").test_request_context():
        handle: Any = note(given_value)
        with pytest.raises(CannotTravel, match="argument 1 of"):
            note(object())
    assert handle.state == "done"
    assert got == [given_value]
    assert got[0] is not given_value
