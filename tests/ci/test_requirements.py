from __future__ import annotations

import os
from pathlib import Path

import pytest

from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import requirements
from tests.ci.image_parts import ENVIRON, write

PYLOCK = """
lock-version = "1.0"
created-by = "x"
[[packages]]
name = "tiny"
version = "1.0"
marker = "python_version < '4'"
wheels = [{name = "a.whl", hashes = {sha256 = "bb"}}, {name = "b.whl", hashes = {sha256 = "aa"}}]
[[packages]]
name = "other"
version = "2.0"
sdist = {name = "o.tar.gz", hashes = {sha256 = "cc"}}
"""
PYPROJECT = '[project]\nname = "x"\nversion = "1"\ndependencies = ["tiny>=1", "other"]\n'


def test_the_first_of_the_known_files_counts(tmp_path: Path) -> None:
    assert requirements.read(tmp_path, ENVIRON).text == ""
    write(tmp_path, {"pyproject.toml": PYPROJECT})
    assert requirements.read(tmp_path, ENVIRON).text == "tiny>=1\nother\n"
    write(tmp_path, {"pylock.toml": PYLOCK})
    locked = requirements.read(tmp_path, ENVIRON)
    assert locked.text.splitlines() == [
        "tiny==1.0 ; python_version < '4' --hash=sha256:aa --hash=sha256:bb",
        "other==2.0 --hash=sha256:cc",
    ]
    assert locked.hashed
    write(tmp_path, {"requirements.txt": "tiny\n"})
    assert requirements.read(tmp_path, ENVIRON).text == "tiny\n"


def test_included_files_belong_to_the_requirements(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "requirements.txt": "-r more/base.txt\n-c limits.txt\n",
            "more/base.txt": "tiny --hash=sha256:aa\n-r deep.txt\n",
            "more/deep.txt": "other\n",
            "limits.txt": "tiny<2\n",
        },
    )
    found = requirements.read(tmp_path, ENVIRON)
    assert set(found.included) == {"more/base.txt", "more/deep.txt", "limits.txt"}
    assert found.hashed


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"requirements.txt": "-r ../outside.txt"}, "outside of the service's folder"),
        ({"requirements.txt": "-r gone.txt"}, "gone.txt can't be read"),
        ({"pylock.toml": "= nonsense"}, "pylock.toml can't be read"),
        ({"pylock.toml": '[[packages]]\nname = "local"\n'}, "local has no version"),
        ({"uv.lock": "version = 1"}, "uv is not installed here"),
    ],
)
def test_requirements_that_cannot_be_used_are_told(
    tmp_path: Path, files: dict[str, str], text: str
) -> None:
    (tmp_path / "outside.txt").touch()
    write(tmp_path / "service", files)
    with pytest.raises(BuildError, match=text):
        requirements.read(tmp_path / "service", {"PATH": "/nonexistent"})


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("pymacaron==3.0.0", True),
        ("flask\nPyMacaron[async] === 3.1", True),
        ("pymacaron @ https://example.com/p.whl", True),
        ("pymacaron", False),
        ("pymacaron[async]>=3", False),
        ("pymacaron-other==1", False),
        ("# pymacaron==3", False),
    ],
)
def test_only_an_exact_version_of_pymacaron_replaces_the_tools_own(
    tmp_path: Path, text: str, pinned: bool
) -> None:
    write(tmp_path, {"requirements.txt": text})
    assert requirements.read(tmp_path, ENVIRON).pins("pymacaron") is pinned


def test_a_uv_lock_is_exported_with_its_hashes(tmp_path: Path) -> None:
    uv = tmp_path / "bin" / "uv"
    write(tmp_path, {"service/uv.lock": "", "bin/uv": "#!/bin/sh\necho tiny==1.0 --hash=sha256:aa"})
    uv.chmod(0o755)
    environ = {"PATH": f"{uv.parent}:{os.environ['PATH']}"}
    found = requirements.read(tmp_path / "service", environ)
    assert (found.text, found.origin) == ("tiny==1.0 --hash=sha256:aa\n", "uv.lock")
