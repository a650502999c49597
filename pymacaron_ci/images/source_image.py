"""Images without a base, for rehearsals without an engine: a service's files and what to run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pymacaron_ci import context
from pymacaron_ci.images import oci, registry
from pymacaron_ci.images.recipe import HOME, Recipe, labels, parts, runtime_settings
from pymacaron_ci.model import Image, Release


class SourceBuilder:
    """An image of /pym alone: the simulator's process runner brings Python and the packages."""

    def __init__(self, recipe: Recipe, progress: Callable[[str], None] = lambda _: None) -> None:
        self._recipe = recipe
        self._progress = progress
        self._scratch = tempfile.TemporaryDirectory(prefix="pymacaron-image-")
        self._blobs: tuple[oci.Blob, ...] = ()
        self._manifest: oci.Blob | None = None

    def build(self, release: Release) -> Image:
        made = parts(self._recipe, release)
        context.note(made.context, self._progress)
        installed = [
            e
            for e in made.context.entries
            if e.path.split("/")[0] in ("requirements.txt", ".runtime")
        ]
        code = [e for e in made.context.entries if e not in installed]
        created = self._recipe.source.created
        layers = [
            oci.make_layer(
                entries,
                Path(self._scratch.name),
                created=created,
                below=HOME.strip("/"),
                made_by=f"pymacaron-ci: {what}",
            )
            for what, entries in (("packages to install", installed), ("code", code))
        ]
        settings = runtime_settings(self._recipe, release)
        settings["Labels"] = labels(self._recipe, release) | {
            "pymacaron.base": "none",
            "pymacaron.extras": self._recipe.extras,
        }
        config = oci.image_config(layers, settings, created=created)
        self._manifest = oci.manifest(
            config, [layer.blob.descriptor() for layer in layers], settings["Labels"]
        )
        self._blobs = (*(layer.blob for layer in layers), config)
        size = sum(blob.size for blob in self._blobs)
        self._progress(
            f"{len(made.context.entries)} files, {size / 1000:.0f} kB, without a base image"
        )
        return release.image

    def foresee(self, release: Release) -> Image:
        image = self.build(release)
        return replace(image, digest=self._manifest.digest if self._manifest else None)

    def push(self, image: Image) -> Image:
        if self._manifest is None:
            raise RuntimeError("push() before build()")
        repository = registry.Repository(registry.parse(image.repository))
        sent = repository.push_all(self._blobs)
        digest = repository.push_manifest(self._manifest, image.tag)
        self._progress(f"{sent / 1000:.0f} kB sent")
        return replace(image, digest=digest)
