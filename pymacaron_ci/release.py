"""Gives a release its identity: the same commit, settings and secrets are the same release."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from pymacaron_ci import __version__
from pymacaron_ci.config import Config
from pymacaron_ci.model import Image, Release, Secret, Source, fingerprint


def canonical(value: object) -> str:
    """The same text for the same data, in whatever order and with whatever keys YAML gave it."""
    if isinstance(value, Mapping):
        pairs = sorted(f"{canonical(k)}:{canonical(v)}" for k, v in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    return json.dumps(value) if isinstance(value, str) else f"{type(value).__name__} {value!r}"


def release_of(
    config: Config,
    source: Source,
    secrets: tuple[Secret, ...],
    repository: str,
    *,
    run_url: str | None = None,
) -> Release:
    """The release-to-be. Its image has a repository and a tag, and no digest yet.

    The tool's own version counts too: it brings the runtime that goes into the image.
    """
    identity = [
        __version__,
        source.revision,
        config.target,
        canonical(config.data),
        fingerprint(secrets, salt=config.settings.name),
    ]
    return Release(
        id=hashlib.sha256("\0".join(identity).encode()).hexdigest()[:12],
        version=source.version,
        revision=source.revision,
        image=Image(repository=repository, tag=source.version),
        environment={secret.name: secret for secret in secrets},
        run_url=run_url,
    )
