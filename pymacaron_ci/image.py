"""The builders: how a service becomes an image. Each is imported only where it is used."""

from __future__ import annotations

from collections.abc import Callable

from pymacaron_ci.builder import Builder
from pymacaron_ci.errors import BuildError
from pymacaron_ci.images.recipe import Recipe
from pymacaron_ci.model import Image, Problem, Release

__all__ = [
    "Recipe",
    "builder",
    "docker_builder",
    "engine_is_missing",
    "layered_builder",
    "source_builder",
]


def builder(
    recipe: Recipe, kind: str = "auto", progress: Callable[[str], None] = lambda _: None
) -> Builder:
    """The one that `builder:` names; for `auto` layers, and an engine where only that will do."""
    own = [n for n in ("Dockerfile", "Dockerfile.extra") if (recipe.folder / n).is_file()]
    if kind == "layers" and own:
        raise BuildError(
            f"`builder: layers` can't make use of {' and '.join(own)}",
            hint="use `builder: docker`, or leave it out",
        )
    if kind == "docker" or own:
        return docker_builder(recipe, progress)
    layered = layered_builder(recipe, progress)
    return layered if kind == "layers" else _OrEngine(layered, recipe, progress)


class _OrEngine:
    """Layers; the engine where a package has to be compiled and there is an engine."""

    def __init__(self, first: Builder, recipe: Recipe, progress: Callable[[str], None]) -> None:
        self._builder = first
        self._recipe = recipe
        self._progress = progress

    def build(self, release: Release) -> Image:
        from pymacaron_ci.images.packages import NeedsCompiler

        try:
            return self._builder.build(release)
        except NeedsCompiler as error:
            missing = engine_is_missing(self._recipe)
            if missing:
                raise NeedsCompiler(
                    problems=[*error.problems, Problem(text=missing, severity="warning")],
                    details=error.details,
                ) from error
            self._progress(f"{error.problems[0].text}: building with the Docker engine")
            self._builder = docker_builder(self._recipe, self._progress)
            return self._builder.build(release)

    def push(self, image: Image) -> Image:
        return self._builder.push(image)


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
