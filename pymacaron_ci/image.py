"""The builders: how a service becomes an image. Each is imported only where it is used."""

from __future__ import annotations

from collections.abc import Callable

from pymacaron_ci.builder import Builder
from pymacaron_ci.errors import BuildError
from pymacaron_ci.images.recipe import Recipe

__all__ = ["Recipe", "docker_builder", "engine_is_missing", "layered_builder", "source_builder"]


def source_builder(recipe: Recipe, progress: Callable[[str], None] = lambda _: None) -> Builder:
    """Without engine and base image: for the simulator's process runner."""
    from pymacaron_ci.images.source_image import SourceBuilder

    return SourceBuilder(recipe, progress)


def docker_builder(recipe: Recipe, progress: Callable[[str], None] = lambda _: None) -> Builder:
    """With a Docker engine."""
    from pymacaron_ci.images.docker_engine import DockerBuilder

    return DockerBuilder(recipe, progress)


def layered_builder(recipe: Recipe, progress: Callable[[str], None] = lambda _: None) -> Builder:
    """Without an engine, on a base image that lies in a registry."""
    from pymacaron_ci.images.layered import LayeredBuilder

    return LayeredBuilder(recipe, progress)


def engine_is_missing(recipe: Recipe) -> str | None:
    """Why images can't be built and run here with an engine; None if they can."""
    from pymacaron_ci.images.docker_engine import DockerBuilder

    try:
        DockerBuilder(recipe).ready()
    except BuildError as error:
        return str(error)
    return None
