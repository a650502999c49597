"""The conversation with a container registry (OCI distribution 1.1). HTTPS, except on loopback."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import requests

from pymacaron_ci.errors import BuildError
from pymacaron_ci.images.oci import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Blob,
    digest_of,
)

_ACCEPT = ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX))
_LOOPBACK = re.compile(r"(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:\d+)?")
_TIMEOUT = (10, 120)


@dataclass(frozen=True, kw_only=True)
class Name:
    """A repository as its registry knows it."""

    host: str
    path: str

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"


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


class Repository:
    """One repository; nothing is sent that is there already, and every digest is checked."""

    def __init__(self, name: Name, session: requests.Session | None = None) -> None:
        self.name = name
        scheme = "http" if _LOOPBACK.fullmatch(name.host) else "https"
        self._root = f"{scheme}://{name.host}/v2/{name.path}/"
        self._session = session or requests.Session()

    def has(self, digest: str) -> bool:
        return self._ask("HEAD", f"blobs/{digest}", allowed=(200, 404)).status_code == 200

    def push(self, blob: Blob) -> bool:
        """Sends the blob unless the registry has it; whether it was sent."""
        if self.has(blob.digest):
            return False
        begun = self._ask("POST", "blobs/uploads/", allowed=(202,))
        place = urljoin(self._root, begun.headers["Location"])
        joined = "&" if "?" in place else "?"
        with blob.open() as stream:
            self._ask(
                "PUT",
                f"{place}{joined}digest={blob.digest}",
                allowed=(201,),
                data=stream if blob.size else b"",
                headers={
                    "Content-Type": "application/octet-stream",
                    "Content-Length": str(blob.size),
                },
            )
        return True

    def push_manifest(self, manifest: Blob, tag: str) -> str:
        """The digest as the registry answers it, which must be ours."""
        if isinstance(manifest.content, bytes):
            answer = self._ask(
                "PUT",
                f"manifests/{tag}",
                allowed=(201,),
                data=manifest.content,
                headers={"Content-Type": manifest.media_type},
            )
            told = answer.headers.get("Docker-Content-Digest", manifest.digest)
            if told != manifest.digest:
                raise BuildError(f"{self.name} answered the digest {told} for {manifest.digest}")
        return manifest.digest

    def manifest(self, reference: str) -> Blob | None:
        """The manifest or index under a tag or digest; None where there is none."""
        answer = self._ask(
            "GET", f"manifests/{reference}", allowed=(200, 404), headers={"Accept": _ACCEPT}
        )
        if answer.status_code == 404:
            return None
        digest = digest_of(answer.content)
        if reference.startswith("sha256:") and reference != digest:
            raise BuildError(f"{self.name} answered {digest} when asked for {reference}")
        media_type = answer.headers.get("Content-Type", MANIFEST).split(";")[0]
        return Blob(
            digest=digest, size=len(answer.content), media_type=media_type, content=answer.content
        )

    def fetch(self, digest: str) -> bytes:
        """A small blob (a configuration), checked."""
        content = self._ask("GET", f"blobs/{digest}", allowed=(200,)).content
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            raise BuildError(f"{self.name} answered other bytes than {digest}")
        return content

    def _ask(
        self,
        method: str,
        path: str,
        *,
        allowed: tuple[int, ...],
        data: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        try:
            answer = self._session.request(
                method, urljoin(self._root, path), data=data, headers=headers, timeout=_TIMEOUT
            )
        except requests.RequestException as error:
            raise BuildError(f"the registry {self.name.host} does not answer: {error}") from error
        if answer.status_code not in allowed:
            raise BuildError(
                f"the registry {self.name.host} refused {method} of {self.name.path} "
                f"({answer.status_code})",
                details=answer.text.splitlines()[:5],
            )
        return answer
