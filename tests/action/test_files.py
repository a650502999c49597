"""Outputs and summary files, read back as the runner reads them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymacaron_ci.github.files import (
    LONGEST_SUMMARY,
    OUTPUTS,
    append_outputs,
    append_summary,
    outputs,
    outputs_text,
)
from pymacaron_ci.model import Image, Release, Report
from tests.action.runner import read_outputs

RELEASE = Release(
    id="0123456789ab",
    version="261122-2100-abcdef0",
    revision="a" * 40,
    image=Image(repository="reg/repo", tag="t", digest="sha256:" + "0" * 64),
)


@given(st.text())
def test_an_output_is_read_as_it_was_written_on_one_line(value: str) -> None:
    found = read_outputs(outputs_text({"a": value, "b": "after"}))
    assert found == {"a": " ".join(value.split()), "b": "after"}


def test_a_value_can_neither_end_itself_nor_start_another(tmp_path: Path) -> None:
    file = tmp_path / "out"
    append_outputs(file, {"url": "x\nEOF\nurl=evil\nghadelimiter_1\n::error::x"})
    assert list(read_outputs(file.read_text())) == ["url"]
    delimiters = re.findall(r"<<(\S+)", outputs_text({"a": "1", "b": "2"}))
    assert len(set(delimiters)) == 2


@pytest.mark.parametrize("name", ["a=b", "a<<b", "a\nb", "", "1a", "a b"])
def test_a_bad_name_of_an_output_is_a_bug(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of an output"):
        outputs_text({name: "x"})


def test_every_output_is_there_after_a_failure_too() -> None:
    found = outputs(Report(status="failed", exit_code=2))
    assert tuple(found) == OUTPUTS
    assert found["status"] == "failed"
    assert found["changed"] == "false"
    assert {v for k, v in found.items() if k not in ("status", "changed")} == {""}


def test_outputs_of_a_deployment() -> None:
    report = Report(
        status="deployed", release=RELEASE, previous=RELEASE, url="https://a", changed=True
    )
    found = outputs(report, Path("/tmp/report.json"))
    assert found["image"] == f"reg/repo@{RELEASE.image.digest}"
    assert found["digest"] == RELEASE.image.digest
    assert (found["release"], found["previous-release"]) == (RELEASE.id, RELEASE.id)
    assert (found["changed"], found["report"]) == ("true", "/tmp/report.json")


def test_a_long_summary_is_cut_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "summary"
    append_summary(file, "é" * 700_000)
    append_summary(file, "more")
    assert file.stat().st_size <= LONGEST_SUMMARY
    assert file.read_text(encoding="utf-8").endswith("(cut here: GitHub shows at most 1 MiB)_\n")


def test_a_summary_is_added_to_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "summary"
    append_summary(file, "a\n")
    append_summary(file, "b \ud800\n")
    assert file.read_text() == "a\nb ?\n"
