"""The builders: how a service becomes an image. Each is imported only where it is used."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pymacaron_ci.builder import Builder, ForeseeingBuilder
from pymacaron_ci.errors import BuildError
from pymacaron_ci.images.recipe import Recipe
from pymacaron_ci.model import Image, Problem, Release

if TYPE_CHECKING:
    from pymacaron_ci.images.docker_engine import DockerBuilder
    from pymacaron_ci.images.layered import LayeredBuilder

__all__ = [
    "Recipe",
    "Saving",
    "builder",
    "docker_builder",
    "engine_is_missing",
    "layered_builder",
    "source_builder",
]


def builder(
    recipe: Recipe, kind: str = "auto", progress: Callable[[str], None] = lambda _: None
) -> ForeseeingBuilder:
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


class _Savable(ForeseeingBuilder, Protocol):
    def save(self, image: Image, file: Path) -> None: ...


class Saving:
    """Also leaves the image it builds here: in a file, or for `docker` in the Docker engine."""

    def __init__(
        self,
        inner: Builder,
        output: str,
        environ: Mapping[str, str],
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._inner = inner
        self._output = output
        self._environ = environ
        self._progress = progress

    def build(self, release: Release) -> Image:
        made = self._inner.build(release)
        save = getattr(self._inner, "save", None)
        if save is None:
            raise BuildError("an image without a base can't be saved: it runs in a rehearsal only")
        if self._output != "docker":
            save(made, Path(self._output))
            self._progress(f"docker load -i {self._output}")
            return made
        from pymacaron_ci.images import docker_engine

        if not isinstance(self._inner, docker_engine.DockerBuilder):  # else it is there already
            with tempfile.TemporaryDirectory(prefix="pymacaron-image-") as folder:
                file = Path(folder) / "image.tar"
                save(made, file)
                docker_engine.load(file, self._environ)
        self._progress(f"docker run {made.repository}:{made.tag}")
        return made

    def push(self, image: Image) -> Image:
        return self._inner.push(image)


class _OrEngine:
    """Layers; the engine where a package has to be compiled and there is an engine."""

    def __init__(self, first: _Savable, recipe: Recipe, progress: Callable[[str], None]) -> None:
        self._builder: _Savable = first
        self._recipe = recipe
        self._progress = progress

    def build(self, release: Release) -> Image:
        return self._with_fallback(lambda builder: builder.build(release))

    def foresee(self, release: Release) -> Image:
        return self._with_fallback(lambda builder: builder.foresee(release))

    def _with_fallback(self, make: Callable[[_Savable], Image]) -> Image:
        from pymacaron_ci.images.packages import NeedsCompiler

        try:
            return make(self._builder)
        except NeedsCompiler as error:
            missing = engine_is_missing(self._recipe)
            if missing:
                raise NeedsCompiler(
                    problems=[*error.problems, Problem(text=missing, severity="warning")],
                    details=error.details,
                ) from error
            self._progress(f"{error.problems[0].text}: building with the Docker engine")
            self._builder = docker_builder(self._recipe, self._progress)
            return make(self._builder)

    def push(self, image: Image) -> Image:
        return self._builder.push(image)

    def save(self, image: Image, file: Path) -> None:
        self._builder.save(image, file)


def source_builder(
    recipe: Recipe, progress: Callable[[str], None] = lambda _: None
) -> ForeseeingBuilder:
    """Without engine and base image: for the simulator's process runner."""
    from pymacaron_ci.images.source_image import SourceBuilder

    return SourceBuilder(recipe, progress)


def docker_builder(
    recipe: Recipe, progress: Callable[[str], None] = lambda _: None
) -> DockerBuilder:
    """With a Docker engine."""
    from pymacaron_ci.images.docker_engine import DockerBuilder

    return DockerBuilder(recipe, progress)


def layered_builder(
    recipe: Recipe, progress: Callable[[str], None] = lambda _: None
) -> LayeredBuilder:
    """Without an engine, on a base image that lies in a registry."""
    from pymacaron_ci.images.layered import LayeredBuilder

    return LayeredBuilder(recipe, progress)


def engine_is_missing(recipe: Recipe) -> str | None:
    """Why images can't be built and run here with an engine; None if they can."""
    from pymacaron_ci.images.docker_errors import no_socket

    absent = no_socket(recipe.environ)
    if absent:
        return str(absent)
    from pymacaron_ci.images.docker_engine import DockerBuilder

    try:
        DockerBuilder(recipe).ready()
    except BuildError as error:
        return str(error)
    return None
