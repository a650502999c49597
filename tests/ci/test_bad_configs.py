"""Each file of bad_configs/ has its problems beside it: `line:column severity text [-> hint]`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pymacaron_ci import config, document, yaml_nodes
from pymacaron_ci.errors import ConfigError
from pymacaron_ci.model import Problem
from pymacaron_ci.problems import render_text

FOLDER = Path(__file__).parent / "bad_configs"
FILES = sorted(FOLDER.glob("*.yaml"))
# The only secret in these files; it must never be shown.
PLANTED = "hunter2"


def problems_of(path: Path) -> tuple[Problem, ...]:
    try:
        return config.judge(document.load(path), path, path.parent, None).warnings
    except ConfigError as error:
        return error.problems


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_bad_file_gets_its_problems_and_no_others(path: Path) -> None:
    expected = path.with_suffix(".expected").read_text(encoding="utf-8").splitlines()
    found = problems_of(path)

    assert len(found) == len(expected), "\n".join(map(str, found))
    for problem, line in zip(found, expected, strict=True):
        place, severity, text = line.split(" ", 2)
        text, _, hint = text.partition(" -> ")
        assert problem.location
        assert f"{problem.location.line}:{problem.location.column}" == place, line
        assert problem.severity == severity, line
        assert text in problem.text
        assert hint in (problem.hint or "")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_no_secret_of_a_bad_file_is_ever_shown(path: Path) -> None:
    rendered = render_text(problems_of(path))

    assert PLANTED not in rendered
    assert "wJalrXUtnFEMI" not in rendered
    assert "ghp_0123456789" not in rendered


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_both_parsers_of_pyyaml_give_the_same_tree(path: Path) -> None:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        pytest.skip("not a text")
    if not hasattr(yaml, "CSafeLoader"):
        pytest.skip("this PyYAML has only one parser")

    def outcome(loader: type) -> object:
        try:
            return yaml_nodes.read(text, loader)
        except yaml_nodes.Unreadable as error:
            # document refuses control characters before; columns inside an escape may differ
            return "special" if "unacceptable" in error.text else error.text

    assert outcome(yaml.CSafeLoader) == outcome(yaml.SafeLoader)


def test_there_are_many_bad_files_each_with_what_is_expected() -> None:
    assert len(FILES) >= 150
    assert {p.stem for p in FILES} == {p.stem for p in FOLDER.glob("*.expected")}
