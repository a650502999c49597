from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pymacaron_ci import source
from pymacaron_ci.errors import BuildError
from tests.ci.image_parts import ENVIRON, SERVICE, VERSION, commit, git, write

pytestmark = pytest.mark.real("git")


def test_a_clean_checkout_is_named_after_its_commit_in_utc(tmp_path: Path) -> None:
    sha = commit(tmp_path)
    warnings: list[str] = []
    found = source.read(tmp_path, ENVIRON, warnings.append)
    assert (found.revision, found.version) == (sha, f"{VERSION}-{sha[:7]}")
    assert (found.created, found.dirty, warnings) == (1700000000, False, [])


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_the_time_zone_of_the_machine_does_not_show(
    tmp_path: Path, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(tmp_path)
    monkeypatch.setenv("TZ", zone)
    assert source.read(tmp_path, {**ENVIRON, "TZ": zone}).version.startswith(VERSION)


def test_a_changed_file_makes_it_dirty_and_names_the_change(tmp_path: Path) -> None:
    sha = commit(tmp_path)
    write(tmp_path, {"server.py": "app = 1\n"})
    warnings: list[str] = []
    first = source.read(tmp_path, ENVIRON, warnings.append)
    assert first.dirty
    assert first.version.startswith(f"{VERSION}-{sha[:7]}-dirty-")
    assert first.revision.startswith(f"{sha}-dirty-")
    assert "server.py" in warnings[0]
    assert source.read(tmp_path, ENVIRON) == first
    write(tmp_path, {"server.py": "app = 2\n"})
    assert source.read(tmp_path, ENVIRON).version != first.version


def test_an_executable_bit_is_content_too(tmp_path: Path) -> None:
    commit(tmp_path)
    (tmp_path / "server.py").chmod(0o755)
    assert source.read(tmp_path, ENVIRON).dirty


def test_an_untracked_file_is_told_but_does_not_change_the_release(tmp_path: Path) -> None:
    sha = commit(tmp_path)
    write(tmp_path, {"notes.txt": "x"})
    warnings: list[str] = []
    assert source.read(tmp_path, ENVIRON, warnings.append).revision == sha
    assert warnings == ["git does not track notes.txt: not in the image"]
    assert "notes.txt" not in source.files(tmp_path, ENVIRON).paths


def test_a_service_in_a_subfolder_is_dirty_only_by_its_own_files(tmp_path: Path) -> None:
    sha = commit(tmp_path, {"api/server.py": "", "other/x.py": ""})
    write(tmp_path, {"other/x.py": "changed"})
    assert source.read(tmp_path / "api", ENVIRON).revision == sha
    assert source.files(tmp_path / "api", ENVIRON).paths == ("server.py",)


def test_what_lies_behind_a_link_belongs_to_the_release(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    sha = commit(repository, {"api/server.py": "", "common/lib.py": ""})
    commit(tmp_path / "elsewhere", {"other.py": ""})
    (repository / "api" / "common").symlink_to("../common")
    (repository / "api" / "other").symlink_to(tmp_path / "elsewhere")
    sha = commit(repository, {})
    api = repository / "api"
    assert source.read(api, ENVIRON, links=["common"]).revision == sha
    warnings: list[str] = []
    foreign = source.read(api, ENVIRON, warnings.append, links=["common", "other"])
    assert foreign.version.startswith(f"{VERSION}-{sha[:7]}-with-")
    assert "elsewhere" in warnings[0]
    write(tmp_path, {"elsewhere/other.py": "changed"})
    assert source.read(api, ENVIRON, links=["other"]).version != foreign.version
    write(repository, {"common/lib.py": "changed"})
    assert source.read(api, ENVIRON, links=["common"]).dirty
    assert not source.read(api, ENVIRON).dirty


def test_shallow_clones_worktrees_and_detached_heads_tell_the_same(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    commit(origin)
    sha = commit(origin, {"server.py": "app = 2\n"})
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{origin}", "shallow")
    git(origin, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"), sha)
    for folder in (origin, tmp_path / "shallow", tmp_path / "tree"):
        found = source.read(folder, ENVIRON)
        assert (found.revision, found.version) == (sha, f"{VERSION}-{sha[:7]}")


def test_files_of_a_submodule_belong_to_the_source(tmp_path: Path) -> None:
    commit(tmp_path / "library", {"shared.py": ""})
    commit(tmp_path / "service")
    git(tmp_path / "service", "submodule", "add", "-q", str(tmp_path / "library"), "lib")
    commit(tmp_path / "service", {})
    assert "lib/shared.py" in source.files(tmp_path / "service", ENVIRON).paths
    git(tmp_path, "clone", "-q", str(tmp_path / "service"), "bare")
    with pytest.raises(BuildError, match="submodule lib is not checked out"):
        source.files(tmp_path / "bare", ENVIRON)


def test_without_git_the_release_is_named_after_its_files(tmp_path: Path) -> None:
    write(tmp_path, {**SERVICE, ".venv/pyvenv.cfg": "", "hello/__pycache__/api.pyc": "x"})
    warnings: list[str] = []
    found = source.read(tmp_path, ENVIRON, warnings.append)
    assert found.version.startswith("files-")
    assert found.revision == found.version
    assert found.created == 0
    assert "not a git repository" in warnings[0]
    assert source.files(tmp_path, ENVIRON).paths == tuple(sorted(SERVICE))
    other = shutil.copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}-copy")
    assert source.read(other, ENVIRON) == found


def test_before_the_first_commit_what_git_does_not_ignore_counts(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, {**SERVICE, ".gitignore": "*.log\n", "x.log": "noise"})
    found = source.read(tmp_path, ENVIRON)
    assert found.version.startswith("files-")
    assert set(source.files(tmp_path, ENVIRON).paths) == {*SERVICE, ".gitignore"}


def test_without_the_git_program_the_files_name_the_release(tmp_path: Path) -> None:
    commit(tmp_path)
    warnings: list[str] = []
    found = source.read(tmp_path, {"PATH": "/nonexistent"}, warnings.append)
    assert found.version.startswith("files-")
    assert "git is not installed" in warnings[0]
    assert set(source.files(tmp_path, {"PATH": "/nonexistent"}).paths) == set(SERVICE)


def test_a_checkout_that_belongs_to_another_user_is_read_all_the_same(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    sha = commit(tmp_path)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 12345, 12345)
    assert source.read(tmp_path, ENVIRON).revision == sha


def test_the_runs_own_git_variables_do_not_lead_elsewhere(tmp_path: Path) -> None:
    sha = commit(tmp_path / "here")
    commit(tmp_path / "there", {"x": "y"})
    environ = {**ENVIRON, "GIT_DIR": str(tmp_path / "there" / ".git")}
    assert source.read(tmp_path / "here", environ).revision == sha


@pytest.mark.parametrize(
    ("remote", "shown"),
    [
        ("https://x-access-token:ghs_abc@github.com/o/r.git", "https://github.com/o/r"),
        ("git@github.com:o/r.git", "https://github.com/o/r"),
        ("ssh://git@example.com:2222/o/r.git", "https://example.com/o/r"),
        ("https://u:p@example.com:8443/o/r?token=abc", "https://example.com:8443/o/r"),
        ("/srv/git/r.git", None),
        ("https://[bad", None),
    ],
)
def test_the_remotes_address_carries_no_credentials(
    tmp_path: Path, remote: str, shown: str | None
) -> None:
    commit(tmp_path)
    git(tmp_path, "remote", "add", "origin", remote)
    assert source.read(tmp_path, ENVIRON).url == shown


def test_a_damaged_repository_is_an_error_that_says_so(tmp_path: Path) -> None:
    sha = commit(tmp_path)
    (tmp_path / ".git" / "objects" / sha[:2] / sha[2:]).unlink()
    with pytest.raises(BuildError, match="damaged"):
        source.read(tmp_path, ENVIRON)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="is not a folder"):
        source.read(tmp_path / "gone", ENVIRON)
