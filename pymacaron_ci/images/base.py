"""The base image as its registry describes it: found, judged, handed on, never unpacked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import oci
from pymacaron_ci.images.registry import Repository, parse, save, split
from pymacaron_ci.images.wire import Name

# https://devguide.python.org/versions/: the last day with security fixes, taken as the month's end.
_END_OF_LIFE = {
    "3.8": date(2024, 10, 31),
    "3.9": date(2025, 10, 31),
    "3.10": date(2026, 10, 31),
    "3.11": date(2027, 10, 31),
    "3.12": date(2028, 10, 31),
    "3.13": date(2029, 10, 31),
    "3.14": date(2030, 10, 31),
}
_OLD_AFTER_DAYS = 180


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A platform as registries name it: `linux/arm64`, `linux/arm/v7`."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str | None = None

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


def platform(text: str) -> Platform:
    parts = text.split("/")
    if len(parts) not in (2, 3) or parts[0] != "linux" or parts[1] not in ("amd64", "arm64"):
        raise BuildError(
            f"images can't be made for the platform {text}",
            hint="linux/amd64 and linux/arm64 can; `builder: docker` may know others",
        )
    return Platform(architecture=parts[1], variant=parts[2] if len(parts) == 3 else None)


@dataclass(frozen=True, kw_only=True)
class Base:
    """One platform's image; `digest` is its manifest's."""

    reference: str
    digest: str
    platform: Platform
    config: Mapping[str, Any] = field(repr=False)
    layers: tuple[Mapping[str, Any], ...] = field(repr=False)
    repository: Repository = field(repr=False)

    @property
    def environment(self) -> dict[str, str]:
        listed = (self.config.get("config") or {}).get("Env") or []
        return dict(item.partition("=")[::2] for item in listed)

    @property
    def python(self) -> str | None:
        """`3.11` or `3.11.9`, as official images tell it; None where the image doesn't."""
        told = self.environment.get("PYTHON_VERSION", "")
        return told if re.fullmatch(r"3\.\d+(\.\d+)?\w*", told) else None

    @property
    def musl(self) -> bool:
        return "alpine" in self.reference

    def hand_over(self, target: Repository, folder: Path, tell: Callable[[str], None]) -> int:
        """Brings the layers into `target`; how many bytes had to pass through this machine."""

        def bring(layer: Mapping[str, Any]) -> int:
            digest = str(layer["digest"])
            if target.has(digest) or target.mount(digest, self.repository.name):
                return 0
            tell(f"copying {layer['size'] / 1e6:.0f} MB of {self.reference}")
            blob = save(layer, self.repository, folder)
            target.push(blob)
            Path(str(blob.content)).unlink()
            return blob.size

        with ThreadPoolExecutor(4) as pool:
            return sum(pool.map(bring, self.layers))


def find(reference: str, wanted: Platform, connect: Callable[[Name], Repository]) -> Base:
    """The base image for a platform, without its layers' content."""
    where, name = split(reference)
    repository = connect(parse(where))
    manifest = repository.manifest(name)
    if manifest is None:
        raise BuildError(
            f"the base image {reference} is not in its registry",
            hint="check docker_base or python_version",
        )
    data = _json(manifest, reference)
    if manifest.media_type in (oci.INDEX, oci.DOCKER_INDEX) or "manifests" in data:
        digest = _choose(data.get("manifests", []), wanted, reference)
        manifest = repository.manifest(digest)
        if manifest is None:
            raise BuildError(f"the base image {reference} lacks its part for {wanted}")
        data = _json(manifest, reference)
    if "layers" not in data:
        raise BuildError(
            f"the base image {reference} is of a kind that can't be built upon: "
            f"{manifest.media_type}"
        )
    config = json.loads(repository.fetch(data["config"]["digest"]))
    found = Platform(architecture=config.get("architecture", ""), variant=config.get("variant"))
    if found.architecture != wanted.architecture:
        raise BuildError(f"the base image {reference} is for {found}, not for {wanted}")
    layers = tuple(_as_oci(layer) for layer in data["layers"])
    if any(layer.get("urls") for layer in layers):
        raise BuildError(f"the base image {reference} has layers outside of its registry")
    return Base(
        reference=reference,
        digest=manifest.digest,
        platform=wanted,
        config=config,
        layers=layers,
        repository=repository,
    )


def warnings(base: Base, today: date) -> list[str]:
    """What speaks against a base image, as far as its own description tells."""
    found = []
    created = str(base.config.get("created", ""))[:10]
    try:
        age = (today - date.fromisoformat(created)).days
    except ValueError:
        age = 0
    if age > _OLD_AFTER_DAYS and not created.startswith(("0001", "1970", "1980")):
        found.append(
            f"the base image {base.reference} is {age} days old: security fixes are missing"
        )
    minor = ".".join((base.python or "").split(".")[:2])
    ended = _END_OF_LIFE.get(minor)
    if ended and today > ended:
        found.append(f"Python {minor} gets no security fixes since {ended}: raise python_version")
    return found


def _choose(entries: Sequence[Mapping[str, Any]], wanted: Platform, reference: str) -> str:
    offered = []
    for entry in entries:
        each = entry.get("platform") or {}
        offered.append(f"{each.get('os')}/{each.get('architecture')}")
        if (each.get("os"), each.get("architecture")) == (wanted.os, wanted.architecture) and (
            wanted.variant in (None, each.get("variant"))
        ):
            return str(entry["digest"])
    raise BuildError(
        f"the base image {reference} does not exist for {wanted}",
        hint=f"it does for {', '.join(sorted(set(offered) - {'unknown/unknown'}))}",
    )


def _json(manifest: oci.Blob, reference: str) -> dict[str, Any]:
    try:
        data = json.loads(manifest.content if isinstance(manifest.content, bytes) else b"")
    except ValueError as error:
        raise BuildError(f"the manifest of {reference} is not JSON") from error
    if not isinstance(data, dict):
        raise BuildError(f"the manifest of {reference} is not an object")
    return data


def _as_oci(layer: Mapping[str, Any]) -> dict[str, Any]:
    """The same bytes under OCI's name: a manifest must not mix Docker's types with OCI's."""
    kinds = {"application/vnd.docker.image.rootfs.diff.tar.gzip": oci.LAYER}
    media_type = kinds.get(layer["mediaType"], layer["mediaType"])
    return {**layer, "mediaType": media_type}
