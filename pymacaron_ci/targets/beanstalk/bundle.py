"""The source bundle: which image to run, by digest. Never anything secret. Pure."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass

from pymacaron_ci.model import Image

PORT = 8080
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Login:
    """An object in S3 with the log-in of a private registry."""

    bucket: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """`key` is made from the content: the same bundle has the same key."""

    key: str
    data: bytes


def make(service: str, image: Image, login: Login | None) -> Bundle:
    """Dockerrun.aws.json, version 1: one container, nginx before it, properties handed in."""
    run: dict[str, object] = {
        "AWSEBDockerrunVersion": "1",
        "Image": {"Name": str(image), "Update": "true"},
        "Ports": [{"ContainerPort": PORT}],
    }
    if login:
        run["Authentication"] = {"Bucket": login.bucket, "Key": login.key}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo("Dockerrun.aws.json", _EPOCH)
        entry.external_attr = 0o100644 << 16
        entry.create_system = 3  # the same bytes on every machine
        archive.writestr(entry, json.dumps(run, indent=2, sort_keys=True) + "\n")
    data = buffer.getvalue()
    return Bundle(key=f"pymacaron/{service}/{hashlib.sha256(data).hexdigest()[:32]}.zip", data=data)
