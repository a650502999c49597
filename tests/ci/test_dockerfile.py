from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pymacaron_ci import dockerfile

PLAIN: dict[str, Any] = {
    "base": "python:3.11-slim",
    "home": "/pym",
    "venv": "/opt/venv",
    "user": "10001:10001",
    "environment": {"PORT": "8080", "HOME": "/tmp"},
    "command": ["gunicorn", "server:app"],
    "wheel": ".runtime/pymacaron-3.0.0-py3-none-any.whl",
}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"wheel": None},
    {"hashed": True},
    {"base": "registry.example.com/base:1", "root_first": True},
    {"extra": "RUN echo extra > /extra\n"},
    {"command": ["python", "-m", "pymacaron.supervise"], "wheel": ".runtime/p.whl[async]"},
]


def lines(**changes: Any) -> list[str]:
    return dockerfile.text(**{**PLAIN, **changes}).splitlines()


def place(found: list[str], start: str) -> int:
    return next(i for i, line in enumerate(found) if line.startswith(start))


@pytest.mark.parametrize("changes", VARIANTS)
def test_hadolint_has_nothing_to_say(changes: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(dockerfile.text(**{**PLAIN, **changes}))
    program = Path(sys.executable).parent / "hadolint"
    if not program.exists():
        pytest.fail("hadolint is missing: pip install -e '.[dev]'")
    done = subprocess.run([program, file], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_packages_come_before_the_code_so_that_a_code_change_keeps_their_layer() -> None:
    found = lines()
    assert (
        place(found, 'COPY ["requirements.txt')
        < place(found, "RUN /opt/pip")
        < place(found, "COPY . ./")
    )


def test_the_final_stage_has_neither_pip_nor_build_steps() -> None:
    found = lines()
    final = found[place(found, "FROM python:3.11-slim") + 1 :]
    final = final[place(final, "FROM python:3.11-slim") :]
    assert not [line for line in final if line.startswith("RUN") or "/opt/pip" in line]


def test_the_command_is_in_exec_form_and_the_user_is_not_root() -> None:
    assert lines()[-2:] == ["USER 10001:10001", 'CMD ["gunicorn", "server:app"]']


def test_dockerfile_extra_stands_before_the_final_command_and_may_still_be_root() -> None:
    found = lines(extra="RUN apt-get update\nRUN x\n")
    assert found[-4:-2] == ["RUN apt-get update", "RUN x"]


def test_a_service_that_pins_its_own_runtime_gets_no_other() -> None:
    assert ".runtime" not in "\n".join(lines(wheel=None)).replace("rm -rf .runtime", "")


def test_locked_requirements_are_installed_with_their_hashes_and_the_runtime_on_top() -> None:
    text = "\n".join(lines(hashed=True))
    assert "-r requirements.txt \\\n" in text
    assert "--no-deps .runtime/pymacaron" in text
    assert "pip --python /opt/venv/bin/python check" in text


def test_a_base_with_a_user_of_its_own_is_entered_as_root_and_left_as_nobody() -> None:
    found = lines(root_first=True)
    assert found.count("USER 0") == 2
    assert found[-2] == "USER 10001:10001"
