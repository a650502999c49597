"""Which code is this: the commit of a folder or, without one, its content. Never the clock."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

from pymacaron_ci.errors import BuildError
from pymacaron_ci.model import Source

_KEPT = ("PATH", "HOME", "TMPDIR", "XDG_CONFIG_HOME", "USERPROFILE", "SYSTEMROOT")
_TIMEOUT = 60
_CHUNK = 1 << 20
_TOP = ("rev-parse", "--show-toplevel")
_MAY_FAIL = ("log", "rev-parse", "remote")  # there: no commit yet, no remote
# What lies in a folder without git but is nobody's source.
_IGNORED_FOLDERS = {
    ".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__",
    ".pymacaron", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".idea", ".vscode",
}  # fmt: skip
_IGNORED_SUFFIXES = (".pyc", ".pyo", ".swp", ".egg-info")


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of a folder that belong to its source, as sorted paths relative to it."""

    paths: tuple[str, ...]
    in_git: bool


def read(
    folder: Path,
    environ: Mapping[str, str],
    warn: Callable[[str], None] = lambda _: None,
    links: Sequence[str] = (),
) -> Source:
    """The source that `folder` holds, and the folders that its symbolic `links` lead to.

    `warn` is told what is not as in the commit.
    """
    git = Git(folder, environ)
    linked = sorted({(folder / link).resolve() for link in links if (folder / link).is_dir()})
    top = git.run(*_TOP) if linked else None
    ours = [path for path in linked if Git(path, environ).run(*_TOP) == top]
    foreign = [path for path in linked if path not in ours]  # no commit of ours tells of them
    with ThreadPoolExecutor(2) as beside:
        there = beside.submit(_changes, git)
        url = beside.submit(_url, git)
        commit = git.run("log", "-1", "--no-show-signature", "--format=%H %ct", "HEAD")
    if not commit:
        content = _content_hash([folder, *linked], environ)
        reason = git.absence or "git has no commit here"
        warn(f"{reason}: the release is named after its files' content")
        name = f"files-{content}"
        return Source(revision=name, version=name, created=0, url=url.result())
    sha, seconds = commit.split()
    created = int(seconds)
    day = datetime.fromtimestamp(created, timezone.utc).strftime("%y%m%d-%H%M")
    version = f"{day}-{sha[:7]}"
    changed, untracked = there.result()
    for path in ours:
        changed += _changes(Git(path, environ))[0]
    if foreign:
        version += f"-with-{_content_hash(foreign, environ)}"
        sha += version[version.index("-with-") :]
        warn(f"not in this repository: {_some([str(path) for path in foreign])}")
    if untracked:
        warn(f"git does not track {_some(untracked)}: not in the image")
    if not changed:
        return Source(revision=sha, version=version, created=created, url=url.result())
    warn(f"not as committed: {_some(changed)}; the release is not the commit {sha[:7]}")
    suffix = f"-dirty-{_content_hash([folder, *linked], environ)}"
    return Source(
        revision=sha + suffix,
        version=version + suffix,
        created=created,
        url=url.result(),
        dirty=True,
    )


def files(folder: Path, environ: Mapping[str, str]) -> Files:
    """What git tracks below `folder` and is there; before the first commit what it does not ignore;
    without git everything but caches and environments."""
    git = Git(folder, environ)
    with ThreadPoolExecutor(1) as beside:
        commit = beside.submit(git.run, "rev-parse", "--verify", "-q", "HEAD")
        listed = git.run("ls-files", "-z", "--cached", "--", ".")
    if not commit.result():
        listed = git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
    if git.absence:
        return Files(paths=tuple(sorted(_walk(folder))), in_git=False)
    paths: set[str] = set()
    for path in filter(None, (listed or "").split("\0")):
        if (folder / path).is_dir() and not (folder / path).is_symlink():  # a submodule
            if not (folder / path / ".git").exists():
                raise BuildError(
                    f"the git submodule {path} is not checked out",
                    hint="git submodule update --init, or submodules: true of actions/checkout",
                )
            paths.update(f"{path}/{inner}" for inner in files(folder / path, environ).paths)
        elif os.path.lexists(folder / path):
            paths.add(path)
    return Files(paths=tuple(sorted(paths)), in_git=True)


class Git:
    """git in one folder, with nothing of the run's environment that could lead it elsewhere."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = {name: environ[name] for name in _KEPT if name in environ} | {
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
        }
        self.absence = ""  # why there is no git here, once it is known

    def run(self, *arguments: str) -> str | None:
        """The output; None where there is no repository, no git, or nothing to tell."""
        if self.absence:
            return None
        # The user asked for this very folder: that a CI container's checkout belongs to another
        # user is no reason to refuse it. A repository must not start programs here, though.
        command = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", *arguments]
        try:
            done = subprocess.run(
                command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
            )
        except FileNotFoundError as error:
            if not self._folder.is_dir():
                raise BuildError(f"{self._folder} is not a folder") from error
            self.absence = "git is not installed"
            return None
        except subprocess.TimeoutExpired as error:
            raise BuildError(f"git {arguments[0]} took longer than {_TIMEOUT} s") from error
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "surrogateescape").rstrip("\n")
        complaint = done.stderr.decode("utf-8", "replace").strip()
        if "not a git repository" in complaint or "must be run in a work tree" in complaint:
            self.absence = "not a git repository"
        elif "dubious ownership" in complaint:
            raise BuildError(
                f"git does not trust {self._folder}: it belongs to another user",
                hint=f"git config --global --add safe.directory {self._folder.resolve()}",
            )
        elif "object file" in complaint or "bad object" in complaint or "corrupt" in complaint:
            raise BuildError(
                f"the git repository of {self._folder} is damaged",
                hint="clone it anew",
                details=complaint.splitlines()[-5:],
            )
        elif arguments[0] not in _MAY_FAIL:
            raise BuildError(
                f"git {arguments[0]} failed in {self._folder}",
                details=complaint.splitlines()[-5:],
            )
        return None


def _changes(git: Git) -> tuple[list[str], list[str]]:
    """(tracked files that differ from the commit, files git does not know)."""
    listed = git.run("status", "--porcelain=v1", "-z", "--no-renames", "--", ".") or ""
    entries = [(entry[:2], entry[3:]) for entry in listed.split("\0") if entry]
    changed = [path for state, path in entries if state != "??"]
    return changed, [path for state, path in entries if state == "??"]


def _some(paths: list[str], most: int = 3) -> str:
    shown = ", ".join(
        p.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for p in paths[:most]
    )
    return f"{shown} and {len(paths) - most} more" if len(paths) > most else shown


def _content_hash(folders: Sequence[Path], environ: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for path in files(folder, environ).paths:
            found = _content(folder / path)
            for part in (os.fsencode(path), *found) if found else ():
                digest.update(len(part).to_bytes(4, "big") + part)
    return digest.hexdigest()[:12]


def _content(file: Path) -> tuple[bytes, bytes] | None:
    """(kind, digest); None for what is neither a file nor a link."""
    status = file.lstat()
    if stat.S_ISLNK(status.st_mode):
        return b"link", os.fsencode(os.readlink(file))  # noqa: PTH115  (bytes as they are)
    if not stat.S_ISREG(status.st_mode):
        return None
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise BuildError(f"{file} can't be read: {error.strerror}") from error
    kind = b"program" if status.st_mode & 0o100 else b"file"
    return kind, digest.digest()


def _walk(folder: Path) -> Iterator[str]:
    def complain(error: OSError) -> None:
        raise BuildError(f"{error.filename} can't be read: {error.strerror}") from error

    for parent, folders, names in os.walk(folder, onerror=complain):
        here = Path(parent)
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = [name for name in folders if name not in links and _is_source(here / name)]
        for name in (*names, *links):
            if not name.endswith(_IGNORED_SUFFIXES):
                yield (here / name).relative_to(folder).as_posix()


def _is_source(folder: Path) -> bool:
    return not (
        folder.name in _IGNORED_FOLDERS
        or folder.name.endswith(_IGNORED_SUFFIXES)
        or (folder / "pyvenv.cfg").exists()
    )


def _url(git: Git) -> str | None:
    """The remote as a web address, without whatever credentials it carries."""
    remote = git.run("remote", "get-url", "origin") or ""
    scp = re.fullmatch(r"(?:[^@/]+@)?([\w.-]+):(?!//)(.+)", remote)
    address = f"https://{scp[1]}/{scp[2]}" if scp else remote
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("https", "http", "ssh", "git") or not host:
        return None
    where = f"{host}:{port}" if port and parts.scheme in ("https", "http") else host
    scheme = "http" if parts.scheme == "http" else "https"
    return f"{scheme}://{where}{parts.path.removesuffix('/').removesuffix('.git')}"
