"""The parts of an image as plain data: blobs, layers, configuration, manifest (OCI image 1.1)."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, Protocol, cast

from pymacaron_ci.context import Entry, write_tar
from pymacaron_ci.images.gzipped import Gzipped

CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"


@dataclass(frozen=True, kw_only=True)
class Blob:
    """Bytes with their digest; a large one lies in a file, none is held in memory twice."""

    digest: str
    size: int
    media_type: str
    content: bytes | Path = field(repr=False)

    def open(self) -> IO[bytes]:
        if isinstance(self.content, Path):
            return self.content.open("rb")
        return io.BytesIO(self.content)

    def read(self) -> bytes:
        with self.open() as stream:
            return stream.read()

    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A compressed layer and the digest of what is inside (`diff_id`)."""

    blob: Blob
    diff_id: str
    made_by: str


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def json_blob(data: Mapping[str, Any], media_type: str) -> Blob:
    content = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return Blob(
        digest=digest_of(content), size=len(content), media_type=media_type, content=content
    )


def rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_layer(
    entries: Iterable[Entry], folder: Path, *, created: int, below: str, made_by: str
) -> Layer:
    """Entries as a layer in a file inside `folder`. Nothing of the machine gets into it."""
    with (
        tempfile.NamedTemporaryFile(dir=folder, suffix=".tar.gz", delete=False) as file,
        Gzipped(cast("IO[bytes]", file)) as zipped,
    ):
        write_tar(entries, cast("IO[bytes]", zipped), created=created, below=below)
    return Layer(
        blob=Blob(
            digest=zipped.digest, size=zipped.size, media_type=LAYER, content=Path(file.name)
        ),
        diff_id=zipped.diff_id,
        made_by=made_by,
    )


class Described(Protocol):
    """What an image's configuration tells of a layer."""

    @property
    def diff_id(self) -> str: ...

    @property
    def made_by(self) -> str: ...


def image_config(
    layers: Sequence[Described],
    runtime: Mapping[str, Any],
    *,
    created: int,
    architecture: str = "amd64",
    base: Mapping[str, Any] | None = None,
) -> Blob:
    """The configuration: `base`'s own (of a base image), then our layers and `runtime` settings."""
    base = base or {}
    when = rfc3339(created)
    history = [{"created": when, "created_by": layer.made_by} for layer in layers]
    config = {
        "architecture": base.get("architecture", architecture),
        "os": base.get("os", "linux"),
        "created": when,
        "config": dict(runtime),
        "rootfs": {
            "type": "layers",
            "diff_ids": [
                *base.get("rootfs", {}).get("diff_ids", []),
                *(layer.diff_id for layer in layers),
            ],
        },
        "history": [*base.get("history", []), *history],
    }
    if base.get("variant"):
        config["variant"] = base["variant"]
    return json_blob(config, CONFIG)


def manifest(
    config: Blob,
    layers: Sequence[Mapping[str, Any]],
    annotations: Mapping[str, str],
    *,
    inline: bool = False,
) -> Blob:
    """`inline`: with the configuration inside, for whoever reads it together with the manifest."""
    described = config.descriptor()
    if inline:
        described["data"] = base64.b64encode(config.read()).decode()
    return json_blob(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described,
            "layers": list(layers),
            "annotations": dict(annotations),
        },
        MANIFEST,
    )


def index(manifests: Sequence[Mapping[str, Any]], annotations: Mapping[str, str]) -> Blob:
    return json_blob(
        {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": list(manifests),
            "annotations": dict(annotations),
        },
        INDEX,
    )
