"""What no linter sees in action.yml: names that must match, here and in the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pymacaron_ci.github import inputs
from pymacaron_ci.github.files import OUTPUTS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "action.yml").read_text(encoding="utf-8")
ACTION = yaml.safe_load(TEXT)
STEPS = ACTION["runs"]["steps"]


def test_every_input_is_handed_on_and_every_handed_on_input_is_declared() -> None:
    used = re.findall(r"(PYM_INPUT_\w+): \$\{\{ inputs\.([\w-]+) \}\}", TEXT)
    assert [name for _, name in used] == list(ACTION["inputs"])
    for variable, name in used:
        assert variable == inputs.PREFIX + name.upper().replace("-", "_")
    assert TEXT.count("${{ inputs.") == len(used)


def test_every_input_is_read_by_the_code() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "pymacaron_ci" / "github").glob("*.py")
    )
    for name in ACTION["inputs"]:
        assert f'"{name}"' in source or f"PREFIX}}{name.upper()}" in source, name


def test_every_output_is_declared_and_mapped() -> None:
    assert tuple(ACTION["outputs"]) == OUTPUTS
    (step,) = STEPS
    for name, output in ACTION["outputs"].items():
        assert output["value"] == f"${{{{ steps.{step['id']}.outputs.{name} }}}}"


def test_everything_is_documented() -> None:
    for entry in (*ACTION["inputs"].values(), *ACTION["outputs"].values()):
        assert len(entry["description"]) > 15
    for entry in ACTION["inputs"].values():
        assert isinstance(entry["default"], str)


def test_no_expression_reaches_a_script_and_no_name_is_githubs() -> None:
    for step in STEPS:
        assert "${{" not in step["run"]
        assert not any(name.startswith(("INPUT_", "GITHUB_")) for name in step["env"])
        assert step["shell"] == "bash"


def test_the_runner_signals_python_and_not_a_shell() -> None:
    (step,) = STEPS
    assert step["run"].startswith("exec python3 -I ")
    assert step["run"].endswith(" 2>&1")


def test_the_commands_that_action_yml_names_are_those_the_code_knows() -> None:
    described = ACTION["inputs"]["command"]["description"].partition(". ")[0]
    assert tuple(re.findall(r"[a-z-]+", described.replace(" or ", " "))) == inputs.COMMANDS


OLD = sorted(Path.home().glob(".pyenv/versions/3.[6-9].*/bin/python3"))


@pytest.mark.skipif(not OLD, reason="no Python older than 3.10 is installed")
def test_an_older_python_is_refused_in_words() -> None:
    done = subprocess.run(
        [str(OLD[0]), "-I", str(ROOT / "action" / "main.py")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout.startswith("::error::the runner's python3 is 3.")
    assert done.stderr == ""


def test_the_way_in_runs_on_any_python_far_enough_to_say_so() -> None:
    """Every line of main.py that comes before the version check must be old Python."""
    import ast

    tree = ast.parse(
        (ROOT / "action" / "main.py").read_text(encoding="utf-8"), feature_version=(3, 5)
    )
    before = [type(node).__name__ for node in tree.body[:3]]
    assert before == ["Expr", "Import", "Import"]


def test_the_bootstrap_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    """As on a bare runner: nothing installed, and the caller's files are nobody's modules."""
    for name in ("yaml", "click", "json", "pymacaron_ci", "action"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the workspace was imported')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "sys.path = [p for p in sys.path if 'site-packages' not in p]\n"
        "import action.step\n"
        "print(sorted(m for m in sys.modules if m in ('yaml', 'click', 'cerberus', 'boto3')))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.skipif(
    not (Path(sys.executable).parent / "shellcheck").exists() and not shutil.which("shellcheck"),
    reason="shellcheck is not installed",
)
def test_shellcheck_has_nothing_to_say_about_the_script() -> None:
    beside = Path(sys.executable).parent / "shellcheck"
    program = str(beside) if beside.exists() else "shellcheck"
    for step in STEPS:
        done = subprocess.run(
            [program, "-s", "bash", "-o", "all", "-"],
            input="set -eo pipefail\n" + step["run"] + "\n",
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout
