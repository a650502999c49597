"""The files of the image: what git tracks, without tests and what looks like a credential."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from pymacaron_ci import source
from pymacaron_ci.errors import BuildError
from pymacaron_ci.model import Problem, Secret

_LEFT_OUT = frozenset({"test", "testaccept", ".git", ".github", ".pymacaron"})
_CREDENTIAL_NAMES = re.compile(
    r"\.env(\.(?!example$|sample$|template$|dist$)[^/]*)?|\.envrc"
    r"|[^/]*\.(p12|pfx|jks|keystore|ppk|tfstate)"
    r"|id_(rsa|dsa|ecdsa|ed25519)|gha-(creds|kubeconfig)-[^/]*|kubeconfig[^/]*|[^/]*\.kubeconfig"
    r"|\.(npmrc|pypirc|netrc|pgpass|htpasswd|dockercfg|git-credentials|s3cfg|boto|vault_pass)|_netrc"
    r"|\.?credentials(\.(json|ya?ml|ini|toml|csv|txt|cfg))?|client_secret[^/]*\.json"
    r"|application_default_credentials\.json",
    re.IGNORECASE,
)
_CREDENTIAL_FOLDERS = frozenset({".aws", ".ssh", ".kube", ".docker", ".gnupg", ".azure"})
# The first bytes tell: a .pem may as well be a public certificate that the service needs.
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_PRIVATE_KEY_WITHIN = 65536
# Shorter values ("true", "8080") stand in many files without being the secret.
_TELLING_LENGTH = 8
_CHUNK = 1 << 20


class Packed(Protocol):
    """A file inside an archive."""

    @property
    def size(self) -> int: ...

    def open(self) -> IO[bytes]: ...


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file or a link in the image's folder; `content` is read when it is needed, file by file."""

    path: str
    content: bytes | Path | Packed = b""
    link: str | None = None
    program: bool = False

    @property
    def size(self) -> int:
        if isinstance(self.content, bytes):
            return len(self.content)
        return self.content.stat().st_size if isinstance(self.content, Path) else self.content.size

    def open(self) -> IO[bytes]:
        if isinstance(self.content, bytes):
            return io.BytesIO(self.content)
        if not isinstance(self.content, Path):
            return self.content.open()
        try:
            return self.content.open("rb")
        except OSError as error:
            raise BuildError(f"{self.content} can't be read: {error.strerror}") from error

    def digest(self) -> str:
        hashed = hashlib.sha256()
        with self.open() as stream:
            while chunk := stream.read(_CHUNK):
                hashed.update(chunk)
        return hashed.hexdigest()

    def read(self) -> bytes:
        with self.open() as stream:
            return stream.read()


@dataclass(frozen=True, kw_only=True)
class Context:
    """Entries sorted by path. `left_out` names the files that look like credentials."""

    entries: tuple[Entry, ...]
    left_out: tuple[str, ...] = ()

    def find(self, path: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.path == path), None)


def collect(
    folder: Path,
    environ: Mapping[str, str],
    *,
    config_file: Path,
    version: str,
    include_links: Sequence[str] = (),
    secrets: Iterable[Secret] = (),
    extra: Iterable[Entry] = (),
    tests_too: bool = False,
) -> Context:
    """The files of `folder`. `config_file` becomes the image's pym-config.yaml; `extra` files win.

    Raises BuildError for everything that must not be shipped, all of it at once.
    """
    entries: dict[str, Entry] = {}
    left_out: list[str] = []
    problems: list[Problem] = []
    for path, file in _listed(folder, environ, include_links, problems):
        parts = PurePosixPath(path).parts
        skipped = _LEFT_OUT - {"test", "testaccept"} if tests_too else _LEFT_OUT
        if parts[0] in skipped or "__pycache__" in parts or ".git" in parts:
            continue
        entry = _entry(path, file, folder, problems)
        if entry is None:
            continue
        if _looks_like_credential(entry):
            left_out.append(path)
        else:
            entries[path] = entry
    entries["pym-config.yaml"] = Entry(path="pym-config.yaml", content=config_file)
    entries["VERSION"] = Entry(path="VERSION", content=version.encode() + b"\n")
    entries.update((entry.path, entry) for entry in extra)
    for path in sorted(entries):
        problems += _secrets_within(entries[path], secrets)
    if problems:
        raise BuildError(problems=problems)
    return Context(
        entries=tuple(entries[path] for path in sorted(entries)), left_out=tuple(sorted(left_out))
    )


def write_tar(
    entries: Iterable[Entry], stream: IO[bytes], *, created: int, below: str = ""
) -> None:
    """A tar of the entries, under the folder `below`; nothing else but `created` shows in it."""
    with tarfile.open(
        fileobj=stream,
        mode="w",
        format=tarfile.PAX_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
    ) as tar:
        made: set[str] = set()
        for entry in sorted(entries, key=lambda e: e.path):
            path = f"{below}/{entry.path}" if below else entry.path
            for parent in reversed(PurePosixPath(path).parents[:-1]):
                if str(parent) not in made:
                    made.add(str(parent))
                    tar.addfile(_header(str(parent), tarfile.DIRTYPE, 0o755, created))
            if entry.link is not None:
                header = _header(path, tarfile.SYMTYPE, 0o777, created)
                header.linkname = entry.link
                tar.addfile(header)
                continue
            header = _header(path, tarfile.REGTYPE, 0o755 if entry.program else 0o644, created)
            with entry.open() as content:
                header.size = entry.size
                try:
                    tar.addfile(header, content)
                except OSError as error:
                    raise BuildError(f"{path} changed while it was read; try again") from error


def _header(path: str, kind: bytes, mode: int, created: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(path)
    header.type, header.mode, header.mtime = kind, mode, created
    header.uid = header.gid = 0
    header.uname = header.gname = ""
    return header


def _listed(
    folder: Path, environ: Mapping[str, str], include_links: Sequence[str], problems: list[Problem]
) -> Iterator[tuple[str, Path]]:
    """(path in the image, file) for the service's own files and those behind the links."""
    links = {PurePosixPath(link).as_posix() for link in include_links}
    for path in source.files(folder, environ).paths:
        if path not in links:
            yield path, folder / path
    for link in sorted(links):
        target = folder / link
        if ".." in PurePosixPath(link).parts or PurePosixPath(link).is_absolute():
            problems.append(
                Problem(text=f"include_links: {link} must be a path inside the service's folder")
            )
        elif not target.exists():
            problems.append(Problem(text=f"include_links: {link} leads nowhere"))
        elif target.is_dir() and target.is_symlink():
            real = target.resolve()
            for path in source.files(real, environ).paths:
                yield f"{link}/{path}", real / path
        elif target.is_symlink():
            yield link, target.resolve()


def _entry(path: str, file: Path, folder: Path, problems: list[Problem]) -> Entry | None:
    status = file.lstat()
    if stat.S_ISREG(status.st_mode):
        return Entry(path=path, content=file, program=bool(status.st_mode & 0o100))
    if not stat.S_ISLNK(status.st_mode):
        return None  # a socket, a fifo: git doesn't track them
    link = os.readlink(file)  # noqa: PTH115  (a Path would tidy it up)
    inside = os.path.normpath(os.path.join(os.path.dirname(path), link))  # noqa: PTH118, PTH120
    if os.path.isabs(link) or inside.startswith(".."):  # noqa: PTH117
        problems.append(
            Problem(
                text=f"{path} is a link to a place outside {folder.resolve().name}: {link}",
                hint=f"list {path} under include_links in pym-config.yaml, or remove it",
            )
        )
        return None
    return Entry(path=path, link=link)


def _looks_like_credential(entry: Entry) -> bool:
    path = PurePosixPath(entry.path)
    if _CREDENTIAL_NAMES.fullmatch(path.name) or _CREDENTIAL_FOLDERS & set(path.parts[:-1]):
        return True
    if entry.link is not None or path.suffix == ".py":
        return False
    with entry.open() as stream:
        return bool(_PRIVATE_KEY.search(stream.read(_PRIVATE_KEY_WITHIN)))


def _secrets_within(entry: Entry, secrets: Iterable[Secret]) -> Iterator[Problem]:
    wanted = {
        secret.name: secret.reveal().encode("utf-8", "surrogateescape")
        for secret in secrets
        if len(secret.reveal()) >= _TELLING_LENGTH
    }
    if not wanted:
        return
    names = os.fsencode(entry.path) + b"\0" + os.fsencode(entry.link or "")
    for name in sorted(name for name, value in wanted.items() if value in names):
        yield Problem(
            text=f"the path of a file, or a link's, holds the value of the secret {name}",
            hint="rename it (and change the secret: git remembers it)",
        )
    if entry.link is not None:
        return
    longest = max(map(len, wanted.values()))
    found: set[str] = set()
    with entry.open() as stream:
        window = b""
        while chunk := stream.read(_CHUNK):
            window = window[-longest:] + chunk
            found.update(name for name, value in wanted.items() if value in window)
    for name in sorted(found):
        yield Problem(
            text=f"{entry.path} holds the value of the secret {name}",
            hint="take it out of the file (and change the secret: git remembers it)",
        )


def note(context: Context, tell: Callable[[str], None]) -> None:
    """Says what was left out, so that nobody looks for it in the container."""
    if context.left_out:
        tell(f"left out of the image, they look like credentials: {', '.join(context.left_out)}")
