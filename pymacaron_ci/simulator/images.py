"""An image as the registry holds it: which manifest a reference means, its config, the files below
/pym.
"""

from __future__ import annotations

import gzip
import json
import platform
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pymacaron_ci.simulator.instances import ImageNotFound, ImageUnusable
from pymacaron_ci.simulator.registry_store import DIGEST, DigestMismatch, Manifest, Store

BASE_LABEL = "pymacaron.base"
EXTRAS_LABEL = "pymacaron.extras"
CODE = PurePosixPath("pym")
MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """`digest` names the one manifest that is run; `command` is Entrypoint and Cmd."""

    repository: str
    digest: str
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    architecture: str = ""
    layers: tuple[tuple[str, str], ...] = ()

    @property
    def has_base(self) -> bool:
        """Whether it can be run as a container: not only the service's own files."""
        return self.labels.get(BASE_LABEL) != "none"

    @property
    def extras(self) -> str:
        """With which of its extras the runtime is installed where there is no base."""
        return self.labels.get(EXTRAS_LABEL, "")


def split_reference(reference: str) -> tuple[str, str]:
    """`host:port/repo@sha256:…` or `host/repo:tag` → repository, digest or tag. The host is not
    looked at: a name of the real registry leads to the same repository here.
    """
    name, _, digest = reference.partition("@")
    host, slash, rest = name.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        name = rest
    repository, _, tag = name.partition(":")
    return repository, digest or tag or "latest"


class Images:
    """Reads images out of the registry's own files. `host` is the `host:port` it serves them at."""

    def __init__(self, store: Store, host: str) -> None:
        self.store, self.host = store, host

    def find(self, reference: str) -> StoredImage:
        """Raises ImageNotFound, ImageUnusable."""
        repository, wanted = split_reference(reference)
        try:
            manifest = self._one(self.store.manifest(repository, wanted), repository, reference)
            data = json.loads(manifest.content)
            config = self._config(repository, data["config"]["digest"])
        except DigestMismatch as error:
            raise ImageUnusable(f"image {reference} is damaged: {error}") from error
        run = config.get("config") or {}
        return StoredImage(
            repository=repository,
            digest=manifest.digest,
            command=(*(run.get("Entrypoint") or ()), *(run.get("Cmd") or ())),
            environment=dict(pair.split("=", 1) for pair in run.get("Env") or () if "=" in pair),
            labels=run.get("Labels") or {},
            folder=run.get("WorkingDir") or "/",
            architecture=config.get("architecture", ""),
            layers=tuple((layer["digest"], layer.get("mediaType", "")) for layer in data["layers"]),
        )

    def _one(self, manifest: Manifest | None, repository: str, reference: str) -> Manifest:
        """Follows an index to the manifest for this machine."""
        if manifest is None:
            raise ImageNotFound(f"Image '{reference}' not found.")
        children = json.loads(manifest.content).get("manifests")
        if children is None:
            return manifest
        machine = MACHINES.get(platform.machine(), platform.machine())
        for architecture in (machine, "amd64"):
            for child in children:
                wanted = child.get("platform") or {}
                if wanted.get("os", "linux") == "linux" and (
                    wanted.get("architecture", architecture) == architecture
                ):
                    return self._one(
                        self.store.manifest(repository, child["digest"]), repository, reference
                    )
        raise ImageUnusable(f"image {reference} has no manifest for linux/{machine}")

    def _config(self, repository: str, digest: str) -> Mapping[str, Any]:
        path = self.store.blob(repository, digest) if DIGEST.fullmatch(digest) else None
        if path is None:
            raise ImageUnusable(f"the config {digest} is missing")
        config = json.loads(path.read_bytes())
        return config if isinstance(config, dict) else {}

    def unpack(self, image: StoredImage, target: Path) -> None:
        """Puts the image's files below /pym into `target`, layer by layer."""
        for digest, media_type in image.layers:
            path = self.store.blob(image.repository, digest)
            if path is None:
                raise ImageUnusable(f"the layer {digest} is missing")
            try:
                _unpack_layer(path, target)
            except (tarfile.TarError, gzip.BadGzipFile, EOFError) as error:
                raise ImageUnusable(f"the layer {digest} ({media_type}): {error}") from error


def _unpack_layer(layer: Path, target: Path) -> None:
    with tarfile.open(layer, "r:*") as archive:
        for member in archive:
            name = PurePosixPath("/", member.name.removeprefix("./")).relative_to("/")
            if CODE not in (name, *name.parents) or ".." in name.parts:
                continue
            if name.name.startswith(".wh."):
                _erase(target.joinpath(*name.parts[1:]))
                continue
            member.name = str(name.relative_to(CODE))
            _extract(archive, member, target)


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Files, folders and links that stay inside: what a service's own code is made of."""
    path = target / member.name
    inside = target.resolve()
    if not path.parent.resolve().is_relative_to(inside):
        return
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.is_file():
        path.unlink()
    if member.issym():
        link = PurePosixPath(member.linkname)
        if link.is_absolute() and CODE in (rest := link.relative_to("/")).parents:
            link = PurePosixPath(target, *rest.parts[1:])
        if (path.parent / link).resolve().is_relative_to(inside):
            path.symlink_to(link)
    elif member.isfile() or member.islnk():
        source = archive.extractfile(member)
        if source is not None:
            with source, path.open("wb") as file:
                shutil.copyfileobj(source, file)
            path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _erase(whiteout: Path) -> None:
    """What a `.wh.` file says: its namesake, or all its siblings, were deleted in this layer."""
    if whiteout.name == ".wh..wh..opq":
        victims = list(whiteout.parent.iterdir()) if whiteout.parent.is_dir() else []
    else:
        victims = [whiteout.with_name(whiteout.name.removeprefix(".wh."))]
    for victim in victims:
        if victim.is_dir() and not victim.is_symlink():
            shutil.rmtree(victim)
        else:
            victim.unlink(missing_ok=True)
