"""A value that a platform could not carry reaches the service byte for byte, whatever is in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymacaron import carried
from pymacaron_ci.model import Secret
from pymacaron_ci.targets.beanstalk import option_settings
from tests.ci.targets.beanstalk_deploys import release

REPOSITORY = Path(__file__).resolve().parents[2]
PEM = "-----BEGIN KEY-----\nMII=\n\ttab\r\n-----END KEY-----\n"


def arrived(value: str) -> str:
    """What a container's process reads after the runtime has been imported."""
    wanted = release(1, environment={"TOKEN": Secret("TOKEN", value)})
    environ = dict(option_settings.properties(wanted))
    for carried_value in environ.values():
        assert carried_value.isprintable()
        assert carried_value.isascii()
    carried.unpack(environ)
    assert carried.NAMES not in environ
    carried.unpack(environ)
    return environ["TOKEN"]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_value_arrives_as_it_was(value: str) -> None:
    assert arrived(value) == value


@pytest.mark.parametrize(
    "value", [PEM, "a\"b'c\\d", "$HOME `id` #x", "yes", " lead", "trail ", "ü", "\udc80", "a b"]
)
def test_values_that_break_files_and_shells_arrive_as_they_were(value: str) -> None:
    assert arrived(value) == value


def test_a_plain_value_stays_readable_in_the_console() -> None:
    wanted = release(1, environment={"TOKEN": Secret("TOKEN", "postgres://u@h:5432/db=x")})
    assert option_settings.properties(wanted)["TOKEN"] == "postgres://u@h:5432/db=x"
    assert carried.NAMES not in option_settings.properties(wanted)


def test_importing_the_runtime_is_enough() -> None:
    wanted = release(1, environment={"TOKEN": Secret("TOKEN", PEM)})
    code = "import pymacaron, os; print(repr(os.environ['TOKEN']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY / "runtime"),
            **option_settings.properties(wanted),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == repr(PEM)
