"""Source bundles, as the simulated platform reads them."""

from __future__ import annotations

import io
import json
import zipfile


def image_of(bundle: bytes) -> tuple[str, int]:
    """Image and port out of a source bundle's Dockerrun.aws.json, version 1."""
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            run = json.loads(archive.read("Dockerrun.aws.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ValueError(f"Unable to read Dockerrun.aws.json: {error}") from error
    if str(run.get("AWSEBDockerrunVersion")) != "1" or "Name" not in run.get("Image", {}):
        raise ValueError("Dockerrun.aws.json: Image.Name missing, or not version 1")
    if not run.get("Ports"):
        raise ValueError("Dockerrun.aws.json: Ports missing")
    return run["Image"]["Name"], int(run["Ports"][0]["ContainerPort"])


def valid_bundle(bundle: bytes | None) -> str | None:
    """Why a source bundle can't be processed."""
    if bundle is None:
        return "Unable to download the source bundle from S3"
    try:
        image_of(bundle)
    except ValueError as error:
        return str(error)
    return None
