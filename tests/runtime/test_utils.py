"""The small functions that services of PyMacaron 2 import."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from pymacaron import utils
from pymacaron.config import PyMacaronConfig
from pymacaron.utils import (
    get_app_name,
    get_container_version,
    is_ec2_instance,
    prune_none,
    timenow,
    to_datetime,
    to_epoch,
)


def test_timenow_is_in_utc_and_aware() -> None:
    assert timenow().tzinfo is timezone.utc
    assert abs(timenow() - datetime.now(timezone.utc)) < timedelta(seconds=5)


@pytest.mark.parametrize(
    "time",
    [
        "2020-01-01T00:00:00",
        "2020-01-01 00:00:00",
        "2020-01-01T00:00:00Z",
        "2020-01-01T00:00:00.5",
        "2020-01-01T00:00:00.123456789Z",
        "2020-01-01T02:00:00+02:00",
        "2019-12-31T22:00:00.000-02:00",
        datetime(2020, 1, 1),
        datetime(2020, 1, 1, tzinfo=timezone.utc),
        datetime(2020, 1, 1, 3, tzinfo=timezone(timedelta(hours=3))),
    ],
)
def test_to_epoch_reads_times_and_their_iso_forms(time: datetime | str) -> None:
    assert to_epoch(time) == 1577836800


def test_to_datetime_is_the_way_back() -> None:
    assert to_datetime(1577836800) == datetime(2020, 1, 1, tzinfo=timezone.utc)


def test_the_version_is_the_images_or_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utils, "VERSION_FILE", tmp_path / "VERSION")
    assert get_container_version() == "local"
    (tmp_path / "VERSION").write_text("3.1-abc\n")
    assert get_container_version() == "3.1-abc"


def test_the_name_is_the_configs(jwt_config: PyMacaronConfig) -> None:
    assert get_app_name() == "hello"


def test_prune_none_takes_keywords_and_dictionaries() -> None:
    assert prune_none(foo="bar", baz=None, n={"a": None, "b": [{"c": None, "d": 0}, None]}) == {
        "foo": "bar",
        "n": {"b": [{"d": 0}, None]},
    }
    given = {"a": None, "b": ""}
    assert prune_none(given) is given
    assert given == {"b": ""}
    assert prune_none() == {}
    with pytest.raises(TypeError, match="needs a dictionary"):
        prune_none([1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ec2abcde-1234\n", True), ("Amazon EC2", True), ("Dell Inc.", False), (None, False)],
)
def test_is_ec2_instance_asks_files_and_never_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, expected: bool
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    file = tmp_path / "uuid"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(utils, "EC2_FILES", (file,))
    assert is_ec2_instance() is expected


def test_a_container_of_ecs_is_amazons_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "EC2_FILES", (tmp_path / "none",))
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_ECS_EC2")
    assert is_ec2_instance() is True
