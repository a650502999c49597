"""What the pipeline needs of something that makes images."""

from __future__ import annotations

from typing import Protocol

from pymacaron_ci.model import Image, Release


class Builder(Protocol):
    """Raises `errors.BuildError`. `release.environment` is not its business: nothing secret
    reaches an image."""

    def build(self, release: Release) -> Image:
        """Makes the image that `release.image` names (repository and tag), without a digest."""

    def push(self, image: Image) -> Image:
        """Sends it to its registry; the answer carries the registry's digest."""


class ForeseeingBuilder(Builder, Protocol):
    """One that a dry run can ask."""

    def foresee(self, release: Release) -> Image:
        """The image with the digest that pushing it will give; without one where only an engine's
        build would tell. Sends nothing."""
