"""An image as one file that both `docker load` and OCI tools read."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import oci
from pymacaron_ci.model import Image

Fetch = Callable[[Mapping[str, Any], IO[bytes]], None]


def write(file: Path, image: Image, top: oci.Blob, fetch: Fetch) -> None:
    """`top` is the image's manifest, or the index of several; `fetch` brings what they name."""
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as part:
            with tarfile.open(fileobj=part, mode="w") as tar:
                _fill(tar, image, top, fetch)
            made = Path(part.name)
        made.chmod(0o644)
        made.replace(file)  # never half a file
    except OSError as error:
        raise BuildError(f"{file} can't be written: {error.strerror or error}") from error


def _fill(tar: tarfile.TarFile, image: Image, top: oci.Blob, fetch: Fetch) -> None:
    written: set[str] = set()

    def add(descriptor: Mapping[str, Any]) -> None:
        digest = str(descriptor["digest"])
        if digest not in written:
            written.add(digest)
            with tempfile.TemporaryFile() as content:
                fetch(descriptor, content)
                content.seek(0)
                _add(tar, _place(digest), content, int(descriptor["size"]))

    def add_json(descriptor: Mapping[str, Any]) -> dict[str, Any]:
        with io.BytesIO() as content:
            fetch(descriptor, content)
            data: dict[str, Any] = json.loads(content.getvalue())
        add(descriptor)
        return data

    named = f"{image.repository}:{image.tag}"
    first: dict[str, Any] = add_json(top.descriptor())
    parts = [add_json(entry) for entry in first["manifests"]] if "manifests" in first else [first]
    for manifest in parts:
        for descriptor in (manifest["config"], *manifest["layers"]):
            add(descriptor)
    entry = top.descriptor() | {
        "annotations": {
            "io.containerd.image.name": named,
            "org.opencontainers.image.ref.name": image.tag,
        }
    }
    # Docker's own list, which it reads in the place of OCI's, has room for one platform.
    docker = {
        "Config": _place(parts[0]["config"]["digest"]),
        "RepoTags": [named],
        "Layers": [_place(layer["digest"]) for layer in parts[0]["layers"]],
    }
    for name, data in (
        ("index.json", {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry]}),
        ("oci-layout", {"imageLayoutVersion": "1.0.0"}),
        ("manifest.json", [docker]),
    ):
        content = json.dumps(data, sort_keys=True).encode()
        _add(tar, name, io.BytesIO(content), len(content))


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    header = tarfile.TarInfo(name)
    header.size = size
    tar.addfile(header, content)


def _place(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
