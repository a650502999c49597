"""Images without an engine: base layers as they lie in a registry, wheels, and the code."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from pymacaron_ci import context
from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import archive, oci, registry, stored, supply_chain, wheels
from pymacaron_ci.images import base as bases
from pymacaron_ci.images.layers import FORMAT, SITE, Layers
from pymacaron_ci.images.recipe import HOME, Parts, Recipe, environment, labels, parts
from pymacaron_ci.images.recipe import runtime_settings as common_settings
from pymacaron_ci.images.wheel_tags import Target
from pymacaron_ci.images.wire import Name
from pymacaron_ci.model import Image, Release
from pymacaron_ci.waiting import Clock

FINGERPRINT = "pymacaron.fingerprint"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One platform's image: what of it is new, and its manifest."""

    base: bases.Base
    kept: tuple[stored.Stored, ...]
    blobs: tuple[oci.Blob, ...]
    manifest: oci.Blob
    documents: tuple[oci.Blob, ...]

    @property
    def all_blobs(self) -> list[oci.Blob]:
        """What is new of it, wherever it belongs."""
        kept = [blob for layer in self.kept for blob in layer.blobs]
        return [*self.blobs, *kept, self.manifest]


class LayeredBuilder:
    """Sends only what changed. What a run needs of the last one lies in the registry."""

    def __init__(
        self,
        recipe: Recipe,
        progress: Callable[[str], None] = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        self._recipe = recipe
        self._clock = clock
        self._tell = progress
        self._scratch = tempfile.TemporaryDirectory(prefix="pymacaron-image-")
        self._folder = Path(self._scratch.name)
        self._layers = Layers(recipe, self._folder, progress)
        self._variants: tuple[Variant, ...] = ()
        self._published: str | None = None
        self.digest: str | None = None  # known as soon as the image is built

    def build(self, release: Release) -> Image:
        platforms = [bases.platform(name) for name in self._recipe.platforms]
        repository = self._repository(release.image)
        with ThreadPoolExecutor(2) as beside:  # a registry may be far away, and the disk is not
            published = beside.submit(repository.manifest, release.image.tag)
            found = beside.submit(self._bases, platforms)
            made = parts(self._recipe, release)
        context.note(made.context, self._tell)
        identity = self._identity(made, release)
        if not self._recipe.upgrade:
            self._published = _same(published.result(), identity)
        if self._published:
            self.digest = self._published
            self._tell("the image of this very commit is in the registry already")
            return release.image
        self._variants = tuple(
            self._variant(base, made, release, repository, identity) for base in found.result()
        )
        self._top = self._index() if len(self._variants) > 1 else self._variants[0].manifest
        self.digest = self._top.digest
        return release.image

    def _bases(self, platforms: Iterable[bases.Platform]) -> list[bases.Base]:
        return [bases.find(self._recipe.base_image, each, self._connect) for each in platforms]

    def foresee(self, release: Release) -> Image:
        return replace(self.build(release), digest=self.digest)

    def push(self, image: Image) -> Image:
        if self.digest is None:
            raise RuntimeError("push() before build()")
        if not self._published:
            repository = self._repository(image)
            sent = sum(self._send(variant, repository) for variant in self._variants)
            repository.push_manifest(self._top, image.tag)  # last: all that it names is there
            self._tell(f"{_size(sent)} sent")
            self._published = self._top.digest
        return replace(image, digest=self._published)

    def save(self, image: Image, file: Path) -> None:
        """The image, built or found, as a file; nothing has to be pushed for it."""
        repository = self._repository(image)
        local = {blob.digest: blob for variant in self._variants for blob in variant.all_blobs}
        origins = [variant.base.repository for variant in self._variants]

        def fetch(descriptor: Mapping[str, Any], stream: IO[bytes]) -> None:
            digest = str(descriptor["digest"])
            if digest in local:
                with local[digest].open() as content:
                    shutil.copyfileobj(content, stream)
            elif "manifest" in descriptor["mediaType"] or "index" in descriptor["mediaType"]:
                found = repository.manifest(digest)
                stream.write(found.read() if found else b"")
            else:
                there = next((o for o in (repository, *origins) if o.has(digest)), repository)
                there.download(digest, stream)

        top = repository.manifest(self._published) if self._published else self._top
        if top is None:
            raise BuildError(f"{image.repository} no longer has {self._published}")
        local[top.digest] = top
        archive.write(file, image, top, fetch)

    def _repository(self, image: Image) -> registry.Repository:
        return self._connect(registry.parse(image.repository))

    def _connect(self, name: Name) -> registry.Repository:
        return registry.Repository(name, lambda: self._recipe.login(name.host), self._clock)

    def _identity(self, made: Parts, release: Release) -> str:
        """What the image is made from. The base by name: the same commit keeps its first base."""
        code = "".join(
            f"{entry.path}\0{entry.link}\0{entry.program}\0{entry.digest()}\0"
            for entry in made.context.entries
            if entry.content is not made.wheel
        )
        return stored.fingerprint(
            FORMAT,
            self._recipe.base_image,
            json.dumps(common_settings(self._recipe, release), sort_keys=True),
            " ".join(self._recipe.platforms),
            str(self._recipe.bytecode),
            made.wheel.digest if made.wheel else "",
            code,
        )

    def _variant(
        self,
        base: bases.Base,
        made: Parts,
        release: Release,
        repository: registry.Repository,
        identity: str,
    ) -> Variant:
        for warning in bases.warnings(base, datetime.now(timezone.utc).date()):
            self._recipe.warn(warning)
        target = Target(
            architecture=base.platform.architecture,
            python=base.python or self._recipe.python_version,
            musl=base.musl,
        )
        with ThreadPoolExecutor(1) as beside:
            code = beside.submit(self._layers.code, made, target)
            kept = tuple(self._layers.kept(base, target, made, repository))
        listed = [package for layer in kept for package in layer.packages]
        layers = (code.result(), self._layers.record(release, listed))
        settings = _settings(self._recipe, release, base, identity, listed)
        config = oci.image_config(
            [*kept, *layers],
            settings,
            created=self._recipe.source.created,
            base=base.config,
        )
        manifest = oci.manifest(
            config,
            [
                *base.layers,
                *(layer.descriptor for layer in kept),
                *(layer.blob.descriptor() for layer in layers),
            ],
            settings["Labels"],
        )
        blobs = (*(layer.blob for layer in layers), config)
        source, named = self._recipe.source, (base.reference, base.digest)
        return Variant(
            base=base,
            kept=kept,
            blobs=blobs,
            manifest=manifest,
            documents=(
                supply_chain.sbom(listed, source, release),
                supply_chain.provenance(listed, source, release, manifest, named),
            ),
        )

    def _send(self, variant: Variant, repository: registry.Repository) -> int:
        new = [layer for layer in variant.kept if not layer.reused]
        blobs = [
            *variant.blobs,
            *(blob for layer in new for blob in layer.blobs),
            *supply_chain.blobs(variant.documents),
        ]
        with ThreadPoolExecutor(1) as beside:
            base = beside.submit(variant.base.hand_over, repository, self._folder, self._tell)
            sent = repository.push_all(blobs) + base.result()
        manifests = [(variant.manifest, variant.manifest.digest)]
        manifests += [(layer.manifest, layer.tag) for layer in new if layer.manifest]
        with ThreadPoolExecutor(4) as beside:
            list(beside.map(lambda each: repository.push_manifest(*each), manifests))
        try:
            supply_chain.attach(repository, variant.manifest, variant.documents)
        except BuildError as error:  # the image is whole without them
            self._recipe.warn(f"the registry keeps no SBOM and provenance: {error}")
        return sent

    def _index(self) -> oci.Blob:
        first = json.loads(self._variants[0].manifest.read())
        return oci.index(
            [
                {
                    **variant.manifest.descriptor(),
                    "platform": {
                        "os": variant.base.platform.os,
                        "architecture": variant.base.platform.architecture,
                    },
                }
                for variant in self._variants
            ],
            first["annotations"],
        )


def _same(published: oci.Blob | None, identity: str) -> str | None:
    """The digest of what was published under the tag, if it is made from the same."""
    if published is None or not isinstance(published.content, bytes):
        return None
    try:
        annotations = json.loads(published.content).get("annotations") or {}
    except (ValueError, AttributeError):
        return None
    return published.digest if annotations.get(FINGERPRINT) == identity else None


def _settings(
    recipe: Recipe,
    release: Release,
    base: bases.Base,
    identity: str,
    listed: Iterable[wheels.Package],
) -> dict[str, Any]:
    """The container's settings: the base's environment, ours over it."""
    path = base.environment.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    ours = environment() | {
        "PATH": f"{SITE}/bin:{path}",
        "PYTHONPATH": f"{HOME}:{SITE}",
    }
    merged = base.environment | ours
    return common_settings(recipe, release) | {
        "Env": [f"{name}={value}" for name, value in merged.items()],
        "Labels": labels(recipe, release)
        | {
            "org.opencontainers.image.base.name": base.reference,
            "org.opencontainers.image.base.digest": base.digest,
            "pymacaron.packages": " ".join(sorted(f"{p.name}=={p.version}" for p in listed)),
            FINGERPRINT: identity,
        },
    }


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
