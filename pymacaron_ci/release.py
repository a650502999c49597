"""Gives a release its identity: the same commit, settings and secrets are the same release."""

from __future__ import annotations

import hashlib
import json

from pymacaron_ci import __version__
from pymacaron_ci.config import Config
from pymacaron_ci.model import Image, Release, Secret, Source, fingerprint


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
        json.dumps(config.data, sort_keys=True, default=str),
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
