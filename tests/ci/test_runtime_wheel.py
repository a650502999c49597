from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from pymacaron_ci import runtime_wheel
from pymacaron_ci.errors import BuildError
from tests.ci.image_parts import tiny_wheel, write


def test_two_builds_give_the_same_bytes_whatever_the_files_times(tmp_path: Path) -> None:
    first = tiny_wheel(tmp_path).read_bytes()
    for file in tmp_path.rglob("*.py"):
        os.utime(file, (1, 1))
        file.chmod(0o600)
    (tmp_path / "tiny-sources" / "tiny" / "__pycache__").mkdir()
    write(tmp_path, {"tiny-sources/tiny/__pycache__/x.pyc": "x"})
    assert tiny_wheel(tmp_path).read_bytes() == first


def test_the_runtimes_wheel_holds_its_packages_metadata_and_scripts() -> None:
    wheel = runtime_wheel.build()
    with zipfile.ZipFile(BytesIO(wheel.content)) as archive:
        names = archive.namelist()
        info = f"pymacaron-{wheel.version}.dist-info"
        assert {"pymacaron/__init__.py", "pymacaron/py.typed", f"{info}/RECORD"} <= set(names)
        assert "pymacaron_async/__init__.py" in names
        metadata = archive.read(f"{info}/METADATA").decode()
        assert archive.testzip() is None
    assert "Requires-Dist: flask" in metadata
    assert "extra == 'async'" in metadata
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in names)


def test_pip_installs_it_with_everything_recorded(tmp_path: Path) -> None:
    wheel = runtime_wheel.build()
    (tmp_path / wheel.name).write_bytes(wheel.content)
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target"]
    subprocess.run([*command, target, tmp_path / wheel.name], check=True)
    code = (
        "import sys, importlib.metadata as m; sys.path.insert(0, sys.argv[1])\n"
        "d = next(iter(m.distributions(path=[sys.argv[1]])))\n"
        # --target puts scripts elsewhere than the record says
        "listed = [f for f in d.files if f.suffix != '.pyc' and f.parts[0] != '..']\n"
        "missing = [f for f in listed if not f.locate().exists()]\n"
        "print(d.metadata['Name'], d.version, missing)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, target], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"pymacaron {wheel.version} []"


def test_an_installed_tool_finds_the_runtime_inside_itself(tmp_path: Path) -> None:
    """As `force-include` in pyproject.toml lays it out: at pymacaron_ci/_runtime."""
    root = Path(runtime_wheel.__file__).parents[1]
    site = tmp_path / "site"
    runtime = root / "runtime"
    for package in ("pymacaron", "pymacaron_async", "pymacaron_dynamodb"):
        for file in (runtime / package).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                inside = file.relative_to(runtime).as_posix()
                write(site / "pymacaron_ci" / "_runtime", {inside: file.read_bytes()})
    pyproject = (runtime / "pyproject.toml").read_bytes()
    write(site / "pymacaron_ci" / "_runtime", {"pyproject.toml": pyproject})
    for name in ("__init__", "runtime_wheel", "errors", "model"):
        content = (root / "pymacaron_ci" / f"{name}.py").read_bytes()
        write(site / "pymacaron_ci", {f"{name}.py": content})
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pymacaron_ci import runtime_wheel as w; import hashlib\n"
        "print(w.find_sources()); print(hashlib.sha256(w.build().content).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, site], capture_output=True, text=True, check=True
    )
    where, digest = done.stdout.split()
    assert where == str(site / "pymacaron_ci" / "_runtime")
    assert digest == hashlib.sha256(runtime_wheel.build().content).hexdigest()


def test_sources_without_a_version_are_refused(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pyproject.toml": (
                '[project]\nname = "x"\ndescription = ""\nrequires-python = ">=3"\ndependencies=[]'
            ),
            "x/__init__.py": "",
        },
    )
    with pytest.raises(BuildError, match="names no __version__"):
        runtime_wheel.build(tmp_path, name="x", packages=("x",))
