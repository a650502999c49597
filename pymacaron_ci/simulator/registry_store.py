"""Blobs, manifests and tags of the loopback registry, kept in files. Every digest is checked when
written and when read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pymacaron_ci.simulator.files import make_folder, read_json, write_atomic, write_json

DIGEST = re.compile(r"(sha256):[0-9a-f]{64}|(sha512):[0-9a-f]{128}")
REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


class DigestMismatch(Exception):
    """Content does not have the digest it is said to have."""


@dataclass(frozen=True)
class Manifest:
    digest: str
    media_type: str
    content: bytes


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


class Store:
    """`blobs/` holds content by digest, `repositories/<name>/` what a repository has of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = make_folder(folder)
        self._blobs = folder / "blobs"
        self._uploads = make_folder(folder / "uploads")
        self._verified: dict[str, tuple[int, int]] = {}

    def _repository(self, name: str) -> Path:
        return self.folder / "repositories" / name

    def _blob(self, digest: str) -> Path:
        algorithm, _, value = digest.partition(":")
        return self._blobs / algorithm / value

    def _link(self, name: str, kind: str, digest: str) -> Path:
        return self._repository(name) / kind / digest.replace(":", "-")

    # blobs

    def blob(self, name: str, digest: str) -> Path | None:
        """The file with a blob's content; None when the repository has no such blob.

        Raises DigestMismatch when the file was damaged."""
        if not self._link(name, "_blobs", digest).exists():
            return None
        return self._sound(digest)

    def _sound(self, digest: str) -> Path | None:
        path = self._blob(digest)
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        seen = (status.st_mtime_ns, status.st_size)
        if self._verified.get(digest) != seen:
            if _hash(path, digest) != digest:
                raise DigestMismatch(f"the file of {digest} was damaged")
            self._verified[digest] = seen
        return path

    def link_blob(self, name: str, digest: str) -> None:
        write_atomic(self._link(name, "_blobs", digest), b"")

    def has_content(self, digest: str) -> bool:
        return self._blob(digest).exists()

    def delete_blob(self, name: str, digest: str) -> bool:
        return _remove(self._link(name, "_blobs", digest))

    # uploads

    def start_upload(self) -> str:
        upload = uuid.uuid4().hex
        (self._uploads / upload).touch(mode=0o600)
        return upload

    def upload_size(self, upload: str) -> int | None:
        try:
            return (self._uploads / upload).stat().st_size
        except FileNotFoundError:
            return None

    def append(self, upload: str, pieces: Iterable[bytes]) -> int:
        with (self._uploads / upload).open("ab") as file:
            for piece in pieces:
                file.write(piece)
            return file.tell()

    def finish_upload(self, name: str, upload: str, digest: str) -> None:
        """Raises DigestMismatch, and keeps nothing, when the content is not what it says."""
        path = self._uploads / upload
        if _hash(path, digest) != digest:
            path.unlink()
            raise DigestMismatch(f"provided digest did not match uploaded content: {digest}")
        target = self._blob(digest)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.replace(target)
        self.link_blob(name, digest)

    def cancel_upload(self, upload: str) -> bool:
        return _remove(self._uploads / upload)

    # manifests and tags

    def put_manifest(self, name: str, reference: str, content: bytes, media_type: str) -> str:
        algorithm = reference.partition(":")[0] if DIGEST.fullmatch(reference) else "sha256"
        digest = digest_of(content, algorithm)
        if DIGEST.fullmatch(reference) and digest != reference:
            raise DigestMismatch(f"provided digest did not match uploaded content: {reference}")
        write_atomic(self._blob(digest), content)
        write_json(self._link(name, "_manifests", digest), {"mediaType": media_type})
        if not DIGEST.fullmatch(reference):
            write_atomic(self._repository(name) / "_tags" / reference, digest.encode())
        return digest

    def manifest(self, name: str, reference: str) -> Manifest | None:
        digest = reference if DIGEST.fullmatch(reference) else self.tag(name, reference)
        if digest is None:
            return None
        link = read_json(self._link(name, "_manifests", digest))
        path = self._sound(digest) if link else None
        if link is None or path is None:
            return None
        return Manifest(digest, str(link["mediaType"]), path.read_bytes())

    def manifests(self, name: str) -> Sequence[str]:
        folder = self._repository(name) / "_manifests"
        return sorted(p.name.replace("-", ":", 1) for p in _visible(folder))

    def tag(self, name: str, tag: str) -> str | None:
        try:
            return (self._repository(name) / "_tags" / tag).read_text()
        except FileNotFoundError:
            return None

    def tags(self, name: str) -> Sequence[str] | None:
        """None for a repository that nobody pushed to."""
        if not (self._repository(name) / "_manifests").exists():
            return None
        return sorted(p.name for p in _visible(self._repository(name) / "_tags"))

    def delete_manifest(self, name: str, reference: str) -> bool:
        """Removes a tag, or a manifest with all tags that lead to it."""
        if not DIGEST.fullmatch(reference):
            return _remove(self._repository(name) / "_tags" / reference)
        for tag in self.tags(name) or ():
            if self.tag(name, tag) == reference:
                _remove(self._repository(name) / "_tags" / tag)
        return _remove(self._link(name, "_manifests", reference))

    def repositories(self) -> Sequence[str]:
        root = self.folder / "repositories"
        found = (Path(p) for p, folders, _ in os.walk(root) if "_manifests" in folders)
        return sorted(p.relative_to(root).as_posix() for p in found)


def _hash(path: Path, like: str) -> str:
    """A file's digest, by the algorithm of another."""
    algorithm = like.partition(":")[0]
    actual = hashlib.new(algorithm)
    with path.open("rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            actual.update(piece)
    return f"{algorithm}:{actual.hexdigest()}"


def _visible(folder: Path) -> Iterable[Path]:
    return [p for p in folder.iterdir() if not p.name.startswith(".")] if folder.exists() else []


def _remove(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        return True
    return False
