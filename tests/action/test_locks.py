"""The action's locks: fresh, complete, hashed, and of one mind with pyproject.toml."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from action import lock
from action.step import LOCKS
from pymacaron_ci.options import TARGETS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]


def wanted(name: str) -> dict[str, Requirement]:
    lines = (lock.FOLDER / f"{name}.in").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {requirement.name: requirement for requirement in found}


def test_the_locks_are_made_from_their_inputs_as_they_are_now() -> None:
    assert lock.stale() == []


def test_a_changed_input_makes_its_lock_and_those_above_it_stale(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "requirements"
    shutil.copytree(lock.FOLDER, folder)
    monkeypatch.setattr(lock, "FOLDER", folder)
    (folder / "gcp.in").write_text("requests\n")
    assert [text.split()[0] for text in lock.stale()] == ["gcp.txt"]
    (folder / "core.in").write_text("click\n")
    assert [text.split()[0] for text in lock.stale()] == ["core.txt", "aws.txt", "gcp.txt"]
    assert lock.main(["--check"]) == 1


def test_the_locks_ask_for_what_the_tool_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {str(Requirement(text)) for text in project["dependencies"]}
    asked = {str(r) for name in lock.BELOW for r in wanted(name).values()}
    assert asked == declared


@pytest.mark.parametrize("name", list(lock.BELOW))
def test_every_requirement_is_pinned_and_every_pin_has_hashes(name: str) -> None:
    text = (lock.FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE))
    for requirement in wanted(name).values():
        assert pinned[requirement.name.lower()] in requirement.specifier
    for entry in re.split(r"\n(?=[a-z])", text.partition("\n")[2]):
        assert "--hash=sha256:" in entry
    assert "://" not in text


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_a_targets_lock_holds_nothing_that_core_has(name: str) -> None:
    assert set(lock.pins(name)) & set(lock.pins("core")) == set()


def test_both_targets_pin_the_same_version_of_what_they_share() -> None:
    def versions(name: str) -> set[str]:
        text = (lock.FOLDER / f"{name}.txt").read_text(encoding="utf-8")
        return set(re.findall(r"^[\w.-]+==[\w.]+", text, re.MULTILINE))

    shared = set(lock.pins("aws")) & set(lock.pins("gcp"))
    names = {pin for pin in versions("aws") ^ versions("gcp") if pin.split("==")[0] in shared}
    assert shared
    assert names == set()


def test_every_target_has_a_lock() -> None:
    assert set(LOCKS) == set(TARGETS)
    assert set(LOCKS.values()) <= {f"{name}.txt" for name in lock.BELOW}


def test_the_script_says_that_the_locks_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "action" / "lock.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "the locks are fresh\n")
