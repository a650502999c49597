"""Layers that a registry keeps under the fingerprint of what they were made from."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from pymacaron_ci.images import oci
from pymacaron_ci.images.registry import Repository
from pymacaron_ci.images.wheels import Package

_CONFIG = "application/vnd.pymacaron.layer.v1+json"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A layer that is, or will be, in the registry; `blobs` and `manifest` are to be sent."""

    tag: str
    descriptor: dict[str, Any]
    diff_id: str
    made_by: str
    packages: tuple[Package, ...] = ()
    blobs: tuple[oci.Blob, ...] = field(default=(), repr=False)
    manifest: oci.Blob | None = field(default=None, repr=False)

    @property
    def reused(self) -> bool:
        return self.manifest is None


def fingerprint(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogateescape")
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:32]


def look_up(
    repository: Repository,
    tag: str,
    make: Callable[[], tuple[oci.Layer, Iterable[Package]]],
    anew: bool = False,
) -> Stored:
    """The layer under this tag; made where the registry hasn't got it, or `anew`."""
    return (None if anew else _find(repository, tag)) or _make(tag, *make())


def _find(repository: Repository, tag: str) -> Stored | None:
    manifest = repository.manifest(tag)
    if manifest is None or not isinstance(manifest.content, bytes):
        return None
    try:
        data = json.loads(manifest.content)
        descriptor = dict(data["layers"][0])
        if data["config"]["mediaType"] != _CONFIG or not repository.has(descriptor["digest"]):
            return None
        config = json.loads(base64.b64decode(data["config"]["data"]))
        return Stored(
            tag=tag,
            descriptor=descriptor,
            diff_id=config["diff_id"],
            made_by=config["made_by"],
            packages=tuple(
                Package(**{**package, "requires": tuple(package["requires"])})
                for package in config["packages"]
            ),
        )
    except (ValueError, KeyError, IndexError, TypeError):
        return None  # written by another version, or by somebody else: made anew


def _make(tag: str, layer: oci.Layer, packages: Iterable[Package]) -> Stored:
    listed = tuple(packages)
    config = oci.json_blob(
        {
            "diff_id": layer.diff_id,
            "made_by": layer.made_by,
            "packages": [asdict(package) for package in listed],
        },
        _CONFIG,
    )
    return Stored(
        tag=tag,
        descriptor=layer.blob.descriptor(),
        diff_id=layer.diff_id,
        made_by=layer.made_by,
        packages=listed,
        blobs=(layer.blob, config),
        manifest=oci.manifest(config, [layer.blob.descriptor()], {}, inline=True),
    )
