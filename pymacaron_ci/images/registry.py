"""A repository in a container registry: blobs and manifests (OCI distribution 1.1)."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin

from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import transport
from pymacaron_ci.images.logins import Login
from pymacaron_ci.images.oci import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Blob,
    digest_of,
)
from pymacaron_ci.images.wire import Interrupted, Name, Wire
from pymacaron_ci.waiting import Clock

_ACCEPT = ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX))
_MANIFEST_LIMIT = 4 << 20
_PIECE = 1 << 20
_UPLOAD_TRIES = 6


def parse(repository: str) -> Name:
    """`host/path` as Docker reads it: without a host it is Docker Hub."""
    first, _, rest = repository.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        host, path = first, rest
    else:
        host, path = "docker.io", repository
    if host in ("docker.io", "index.docker.io"):
        host = "registry-1.docker.io"
        path = path if "/" in path else f"library/{path}"
    return Name(host=host, path=path)


def split(image: str) -> tuple[str, str]:
    """(repository, tag or digest) of an image's name; the tag is `latest` where none is given."""
    named, at, digest = image.partition("@")
    head, colon, tag = named.rpartition(":")
    if not colon or "/" in tag:
        head, tag = named, "latest"
    return head, digest if at else tag


class Repository:
    """Nothing is sent that is there already, and every digest is checked in both directions."""

    MONOLITHIC = 4 << 20  # larger blobs go in chunks, so that a break costs one of them
    CHUNK = 16 << 20

    def __init__(
        self,
        name: Name,
        login: Callable[[], Login | None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self._wire = Wire(name, login, clock)

    def has(self, digest: str) -> bool:
        return self._wire.ask("HEAD", f"blobs/{digest}", allowed=(200, 404)).status == 200

    def push_all(self, blobs: Iterable[Blob], at_once: int = 6) -> int:
        """Sends the missing ones side by side; how many bytes were sent."""
        with ThreadPoolExecutor(at_once) as pool:
            sent = pool.map(lambda blob: blob.size if self.push(blob) else 0, blobs)
            return sum(sent)

    def push(self, blob: Blob) -> bool:
        """Sends a blob unless the registry has it; whether it was sent."""
        if self.has(blob.digest):
            return False
        last = ""
        place, start = "", 0
        for attempt in range(_UPLOAD_TRIES):
            if attempt:
                self._wire.pause(attempt)
                place, start = self._resume(place)
            try:
                place = place or self._begin()
                self._upload(blob, place, start)
            except Interrupted as broken:
                last, place = str(broken), broken.place
                continue
            return True
        raise BuildError(
            f"the registry {self.name.host} breaks off the upload of {blob.digest[:19]}: {last}",
            hint="nothing was published; the next run sends only what is missing",
        )

    def mount(self, digest: str, source: Name) -> bool:
        """Takes a blob over from another repository of the same registry, where that is allowed."""
        if source.host != self.name.host:
            return False
        query = f"blobs/uploads/?mount={digest}&from={source.path}"
        try:
            answer = self._wire.ask("POST", query, allowed=(201, 202, 404, 405))
        except BuildError:  # no right to read the other one: then it is sent
            return False
        return answer.status == 201

    def push_manifest(self, manifest: Blob, reference: str) -> str:
        """Publishes it under a tag (or its digest); the digest, as the registry answers it."""
        self._put_manifest(manifest, reference)
        return manifest.digest

    def push_referrer(self, manifest: Blob) -> bool:
        """Publishes a manifest with a subject; whether the registry lists it as its referrer."""
        return "OCI-Subject" in self._put_manifest(manifest, manifest.digest).headers

    def _put_manifest(self, manifest: Blob, reference: str) -> transport.Answer:
        answer = self._wire.ask(
            "PUT",
            f"manifests/{reference}",
            allowed=(201,),
            data=manifest.read,
            headers={"Content-Type": manifest.media_type},
        )
        told = answer.headers.get("Docker-Content-Digest")
        if told is None:
            published = self.manifest(manifest.digest)
            told = published.digest if published else "nothing"
        if told != manifest.digest:
            raise BuildError(
                f"{self.name} stored {told} when it was sent {manifest.digest}",
                hint="the registry, or a proxy before it, changes what it is sent",
            )
        return answer

    def manifest(self, reference: str) -> Blob | None:
        """The manifest or index under a tag or digest; None where there is none."""
        answer = self._wire.ask(
            "GET", f"manifests/{reference}", allowed=(200, 404), headers={"Accept": _ACCEPT}
        )
        if answer.status == 404:
            return None
        content = answer.data
        if len(content) > _MANIFEST_LIMIT:
            raise BuildError(f"{self.name} has a manifest of {len(content)} bytes: {reference}")
        digest = digest_of(content)
        wanted = reference if reference.startswith("sha256:") else None
        told = answer.headers.get("Docker-Content-Digest")
        for claim in (wanted, told):
            if claim and claim.startswith("sha256:") and claim != digest:
                raise BuildError(f"{self.name} answered {digest} as {claim}")
        media_type = answer.headers.get("Content-Type", MANIFEST).split(";")[0]
        return Blob(digest=digest, size=len(content), media_type=media_type, content=content)

    def fetch(self, digest: str) -> bytes:
        """A small blob (a configuration), checked."""
        with tempfile.TemporaryFile() as file:
            self.download(digest, file)
            file.seek(0)
            return file.read()

    def download(self, digest: str, file: IO[bytes]) -> int:
        """A blob into a file, checked; goes on where a broken connection ended."""
        done, hashed, last = 0, hashlib.sha256(), ""
        for attempt in range(_UPLOAD_TRIES):
            if attempt:
                self._wire.pause(attempt)
            headers = {"Range": f"bytes={done}-"} if done else {}
            answer = self._wire.ask(
                "GET", f"blobs/{digest}", allowed=(200, 206), headers=headers, stream=True
            )
            if done and answer.status == 200:  # ranges are no must for a registry
                file.seek(0)
                file.truncate()
                done, hashed = 0, hashlib.sha256()
            try:
                for piece in answer.stream(_PIECE, decode_content=False):
                    file.write(piece)
                    hashed.update(piece)
                    done += len(piece)
            except transport.HTTPError as error:
                last = str(error)[:200]
                continue
            finally:
                answer.close()
            if f"sha256:{hashed.hexdigest()}" != digest:
                raise BuildError(
                    f"{self.name} answered other bytes than {digest}",
                    hint="the registry's storage, or a proxy before it, is damaged",
                )
            return done
        raise BuildError(f"the registry {self.name.host} breaks off the download: {last}")

    def _begin(self) -> str:
        answer = self._wire.ask("POST", "blobs/uploads/", allowed=(202,))
        return urljoin(self._wire.root, answer.headers["Location"])

    def _upload(self, blob: Blob, place: str, start: int) -> None:
        """Raises Interrupted, which carries the place to go on at."""
        if blob.size > self.MONOLITHIC:
            while start < blob.size:
                end = min(start + self.CHUNK, blob.size)
                place = self._step(
                    "PATCH",
                    place,
                    allowed=(202,),
                    data=_part(blob, start, end),
                    headers={
                        "Content-Type": "application/octet-stream",
                        "Content-Range": f"{start}-{end - 1}",
                        "Content-Length": str(end - start),
                    },
                )
                start = end
        joined = "&" if "?" in place else "?"
        self._step(
            "PUT",
            f"{place}{joined}digest={blob.digest}",
            allowed=(201,),
            data=_part(blob, start, blob.size),
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(blob.size - start),
            },
        )

    def _step(self, method: str, place: str, **options: Any) -> str:
        answer = self._wire.ask(method, place, once=True, **options)
        told = answer.headers.get("Docker-Content-Digest")
        if method == "PUT" and told and f"digest={told}" not in place:
            raise BuildError(f"{self.name} stored {told}, which is not what it was sent")
        return urljoin(self._wire.root, answer.headers.get("Location", place))

    def _resume(self, place: str) -> tuple[str, int]:
        """(where to go on, from which byte); ("", 0) where it must begin anew."""
        if not place:
            return "", 0
        place = place.split("&digest=")[0].split("?digest=")[0]
        answer = self._wire.ask("GET", place, allowed=(204, 202, 200, 400, 401, 403, 404, 405, 416))
        reached = answer.headers.get("Range", "").rpartition("-")[2]
        if answer.status != 204 or not reached.isdigit():
            return "", 0
        start = int(reached) + 1 if int(reached) else 0
        return urljoin(self._wire.root, answer.headers.get("Location", place)), start


def _part(blob: Blob, start: int, end: int) -> Callable[[], _Window]:
    return lambda: _Window(blob, start, end)


class _Window:
    """A part of a blob as a request's body; never in memory as a whole."""

    def __init__(self, blob: Blob, start: int, end: int) -> None:
        self._stream = blob.open()
        self._stream.seek(start)
        self._left = self._length = end - start

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        if not self._left:
            self._stream.close()
            return b""
        piece = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(piece)
        return piece


def save(blob: Mapping[str, Any], repository: Repository, folder: Path) -> Blob:
    """A blob of another repository as a file here."""
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        size = repository.download(str(blob["digest"]), file)
    return Blob(
        digest=str(blob["digest"]),
        size=size,
        media_type=str(blob["mediaType"]),
        content=Path(file.name),
    )
