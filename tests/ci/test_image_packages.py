"""Which wheels an image gets: uv and pip must agree, whatever the settings for them say."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from pymacaron_ci.images import download, packages, pip_settings, uv_resolver
from pymacaron_ci.images.wheel_tags import Target, tags
from tests.ci.image_parts import tiny_wheel

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
OWN = f"cp{MINOR.replace('.', '')}"


def environ(index: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
    }


def uv() -> str:
    found = uv_resolver.find({"PATH": os.environ["PATH"]})
    if found is None:
        pytest.skip("uv is not installed here")
    return found


@pytest.mark.parametrize("python", ["3.10", "3.13.2"])
@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_wheels_are_ranked_as_pip_ranks_them(python: str, architecture: str) -> None:
    theirs = pytest.importorskip("pip._vendor.packaging.tags")
    target = Target(architecture=architecture, python=python)
    version = tuple(int(part) for part in target.minor.split("."))
    own = f"cp{version[0]}{version[1]}"
    wanted = [
        *theirs.cpython_tags(version, [own], target.platform_tags),
        *theirs.compatible_tags(version, own, target.platform_tags),
    ]
    assert list(tags(target)) == [str(tag) for tag in wanted]


FLAVOURS = [
    "py3-none-any",
    f"{OWN}-abi3-manylinux_2_17_x86_64",
    f"{OWN}-{OWN}-manylinux_2_17_x86_64.manylinux2014_x86_64",
    f"{OWN}-{OWN}-manylinux_2_28_x86_64",
    f"{OWN}-{OWN}-manylinux_2_39_x86_64",
    f"{OWN}-{OWN}-manylinux_2_28_aarch64",
    f"{OWN}-{OWN}-musllinux_1_2_x86_64",
    f"{OWN}-{OWN}-win_amd64",
    "cp32-abi3-manylinux_2_17_x86_64",
]


@pytest.mark.parametrize(("architecture", "musl"), [("amd64", False), ("amd64", True)])
def test_uv_and_pip_fetch_the_same_wheels(tmp_path: Path, architecture: str, musl: bool) -> None:
    index, target = tmp_path / "index", Target(architecture=architecture, python=MINOR, musl=musl)
    index.mkdir()
    tiny_wheel(index, "tiny", "1.0")
    tiny_wheel(index, "tiny", "1.1")
    content = tiny_wheel(index, "multi", "2.0").read_bytes()
    for flavour in FLAVOURS:
        (index / f"multi-2.0-{flavour}.whl").write_bytes(content)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text('multi\ntiny<1.1; python_version >= "3"\nnone; sys_platform == "win32"')
    runtime = tiny_wheel(tmp_path, "pymacaron", "9.0")
    (tmp_path / "by-uv").mkdir()
    links = uv_resolver.resolve(
        uv(), requirements, runtime, "", target, tmp_path / "by-uv", environ(index)
    )
    assert links
    assert download.all_of(links, tmp_path / "by-uv")
    (tmp_path / "by-pip").mkdir()
    fetched = packages._with_pip(
        requirements, str(runtime), target, tmp_path / "by-pip", environ(index), print
    )
    by_pip = {file.name for file in fetched} - {runtime.name}
    assert {file.name for file in (tmp_path / "by-uv").glob("*.whl")} == by_pip
    assert len(by_pip) == 2


def test_with_hashes_only_what_they_name_is_taken(tmp_path: Path) -> None:
    target = Target(architecture="amd64", python=MINOR)
    wheel = tiny_wheel(tmp_path)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for value, expected in ((digest, [wheel.name]), ("0" * 64, None)):
        (tmp_path / "requirements.txt").write_text(f"tiny==1.0 --hash=sha256:{value}\n")
        links = uv_resolver.resolve(
            uv(), tmp_path / "requirements.txt", None, "", target, tmp_path, environ(tmp_path)
        )
        assert (None if links is None else [link.name for link in links]) == expected


def test_a_download_that_is_not_what_its_digest_says_is_no_download(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"other bytes")
    link = download.Link(name="a.whl", where=str(tmp_path / "there"), sha256="0" * 64)
    assert not download.all_of([link], tmp_path)
    assert not (tmp_path / "a.whl").exists()


@pytest.mark.parametrize(
    ("config", "variables", "expected"),
    [
        ("", {}, {}),
        (
            "[global]\nindex-url = https://u:p@a.example/simple\n",
            {},
            {"UV_DEFAULT_INDEX": "https://u:p@a.example/simple"},
        ),
        (
            "[install]\nextra_index_url =\n  https://a.example\n  https://b.example\n",
            {"PIP_FIND_LINKS": "/a /b", "PIP_CERT": "/c.pem"},
            {
                "UV_INDEX": "https://a.example https://b.example",
                "UV_FIND_LINKS": "/a,/b",
                "SSL_CERT_FILE": "/c.pem",
            },
        ),
        ("[global]\nno-index = true\n", {"PIP_NO_INDEX": "0"}, {}),
        ("", {"PIP_NO_INDEX": "1", "PIP_TIMEOUT": "9"}, {"NO_INDEX": "1"}),
        ("[global]\ntrusted-host = a.example\n", {}, None),
        ("", {"PIP_PRE": "1"}, None),
        ("not a file of pip's", {}, None),
    ],
)
def test_pips_settings_are_translated_for_uv_or_left_to_pip(
    tmp_path: Path, config: str, variables: dict[str, str], expected: dict[str, str] | None
) -> None:
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text(config)
    around = {"HOME": "/nonexistent", "XDG_CONFIG_HOME": str(tmp_path)}
    found = pip_settings.for_uv(around | variables, shared=())
    if found is not None:
        assert found.pop("UV_INDEX_STRATEGY") == "unsafe-best-match"
    assert found == expected
