from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pymacaron_ci import installer
from pymacaron_ci.errors import BuildError
from tests.ci.image_parts import ENVIRON, tiny_wheel


@pytest.fixture
def index(tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    tiny_wheel(folder)
    return folder


@pytest.fixture
def environ(index: Path) -> dict[str, str]:
    return {**ENVIRON, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "MY_SECRET": "s3cret"}


def run(python: Path, code: str) -> str:
    return subprocess.run(
        [python, "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def requirements(folder: Path, text: str, name: str = "requirements.txt") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_packages_and_their_scripts_run_in_the_new_environment(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    python = installer.ensure(
        tmp_path / "with blank", [requirements(tmp_path, "tiny")], environ=environ
    )
    assert run(python, "import tiny; print(tiny.__version__)") == "1.0"
    script = python.parent / "tiny-hello"
    assert subprocess.run([script], capture_output=True, text=True, check=True).stdout == "hi\n"
    assert "pip" not in {p.name for p in installer.site_packages(python).iterdir()}


def test_the_same_requirements_give_the_same_environment_at_once(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    file = requirements(tmp_path, "tiny")
    first = installer.ensure(tmp_path / "e", [file], environ=environ)
    shutil.rmtree(environ["PIP_FIND_LINKS"])
    assert installer.ensure(tmp_path / "e", [file], environ=environ) == first


def test_a_change_in_an_included_file_makes_another_environment(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    file = requirements(tmp_path, "-r more.txt\n")
    requirements(tmp_path, "tiny\n", "more.txt")
    first = installer.ensure(tmp_path / "e", [file], environ=environ)
    requirements(tmp_path, "tiny==1.0\n", "more.txt")
    assert installer.ensure(tmp_path / "e", [file], environ=environ) != first


def test_an_environment_over_another_sees_its_packages_and_paths(
    tmp_path: Path, index: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine.py").write_text("x = 7\n")
    below = installer.ensure(
        tmp_path / "e",
        [requirements(tmp_path, "tiny")],
        paths=[tmp_path / "code"],
        environ=environ,
    )
    other = tiny_wheel(index, "other")
    python = installer.ensure(tmp_path / "e", [], wheels=[other], over=below, environ=environ)
    assert run(python, "import tiny, mine, other; print(mine.x)") == "7"


def test_a_wheel_is_installed_with_the_extras_asked_for(
    tmp_path: Path, index: Path, environ: dict[str, str]
) -> None:
    wheel = tiny_wheel(index, "other", extras={"more": "tiny"})
    without = installer.ensure(tmp_path / "e", [], wheels=[wheel], environ=environ)
    python = installer.ensure(tmp_path / "e", [], wheels=[wheel], extras="[more]", environ=environ)
    assert python != without
    assert run(python, "import other, tiny; print(tiny.__version__)") == "1.0"


def test_an_environment_whose_making_was_killed_is_made_anew(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    file = requirements(tmp_path, "tiny")
    python = installer.ensure(tmp_path / "e", [file], environ=environ)
    (python.parent.parent / ".complete").unlink()
    shutil.rmtree(installer.site_packages(python) / "tiny")
    assert installer.ensure(tmp_path / "e", [file], environ=environ) == python
    assert run(python, "import tiny; print('there')") == "there"


def _make(folder: str, file: str, environ: Mapping[str, str]) -> str:
    return str(installer.ensure(Path(folder), [Path(file)], environ=environ))


def test_two_processes_at_once_make_one_whole_environment(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    file = requirements(tmp_path, "tiny")
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        made = pool.starmap(_make, [(str(tmp_path / "e"), str(file), environ)] * 3)
    assert len(set(made)) == 1
    assert run(Path(made[0]), "import tiny; print('there')") == "there"


def test_the_installer_never_sees_the_runs_secrets(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    fake = tmp_path / "bin" / "uv"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\nenv > {seen}\nexit 1\n")
    fake.chmod(0o755)
    outer = {
        "PATH": f"{fake.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "MY_SECRET": "s3cret",
    }
    monkeypatch.setattr(installer, "_PIP_FILES", ())  # this machine's own settings
    with pytest.raises(BuildError):
        installer.ensure(tmp_path / "e", [requirements(tmp_path, "tiny")], environ=outer)
    assert "PATH=" in seen.read_text()
    assert "s3cret" not in seen.read_text()


def test_uv_is_left_alone_where_pip_has_an_index_of_its_own(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    fake = tmp_path / "bin" / "uv"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    environ["PATH"] = f"{fake.parent}:{environ['PATH']}"
    python = installer.ensure(tmp_path / "e", [requirements(tmp_path, "tiny")], environ=environ)
    assert run(python, "import tiny; print('there')") == "there"


def test_a_package_that_is_nowhere_is_told_with_pips_own_words(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    with pytest.raises(BuildError) as caught:
        installer.ensure(tmp_path / "e", [requirements(tmp_path, "nowhere")], environ=environ)
    assert "exit status 1" in str(caught.value)
    assert any("nowhere" in line for line in caught.value.details)


def test_a_locked_file_whose_hash_is_wrong_installs_nothing(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    file = requirements(tmp_path, "tiny==1.0 --hash=sha256:" + "0" * 64)
    with pytest.raises(BuildError) as caught:
        installer.ensure(tmp_path / "e", [file], locked=True, environ=environ)
    assert any("HASH" in line.upper() for line in caught.value.details)


def test_a_missing_requirements_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"gone\.txt can't be read"):
        installer.ensure(tmp_path / "e", [tmp_path / "gone.txt"], environ=ENVIRON)


def test_the_installer_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import pymacaron_ci.installer\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('yaml', 'click', 'requests')])"
    )
    root = Path(installer.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(root)], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
