"""Images without an engine: base layers as they lie in a registry, wheels, and the code."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pymacaron_ci import context
from pymacaron_ci.context import Entry
from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import base as bases
from pymacaron_ci.images import oci, packages, registry, stored, supply_chain, wheels
from pymacaron_ci.images.recipe import HOME, Parts, Recipe, environment, labels, parts
from pymacaron_ci.images.recipe import runtime_settings as common_settings
from pymacaron_ci.model import Image, Release

_FORMAT = "1"  # part of every fingerprint: raise it when layers are made differently
SITE = "/opt/packages"
FINGERPRINT = "pymacaron.fingerprint"
# Folders on PYTHONPATH don't have their .pth files read; a few packages rely on theirs.
_SITECUSTOMIZE = f"import site\nsite.addsitedir({SITE!r})\n"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One platform's image: what of it is new, and its manifest."""

    platform: bases.Platform
    base: bases.Base
    kept: tuple[stored.Stored, ...]
    blobs: tuple[oci.Blob, ...]
    manifest: oci.Blob
    documents: tuple[oci.Blob, ...]


class LayeredBuilder:
    """Sends only what changed. What a run needs of the last one lies in the registry."""

    def __init__(self, recipe: Recipe, progress: Callable[[str], None] = lambda _: None) -> None:
        self._recipe = recipe
        self._tell = progress
        self._scratch = tempfile.TemporaryDirectory(prefix="pymacaron-image-")
        self._folder = Path(self._scratch.name)
        self._variants: tuple[Variant, ...] = ()
        self._published: str | None = None
        self.digest: str | None = None  # known as soon as the image is built

    def build(self, release: Release) -> Image:
        made = parts(self._recipe, release)
        context.note(made.context, self._tell)
        repository = self._repository(release.image)
        identity = self._identity(made, release)
        if not self._recipe.upgrade:
            self._published = self._find(repository, release.image.tag, identity)
        if self._published:
            self.digest = self._published
            self._tell("the image of this very commit is in the registry already")
            return release.image
        self._variants = tuple(
            self._variant(bases.platform(name), made, release, repository, identity)
            for name in self._recipe.platforms
        )
        self._top = self._index() if len(self._variants) > 1 else self._variants[0].manifest
        self.digest = self._top.digest
        return release.image

    def push(self, image: Image) -> Image:
        if self.digest is None:
            raise RuntimeError("push() before build()")
        if not self._published:
            repository = self._repository(image)
            sent = sum(self._send(variant, repository) for variant in self._variants)
            repository.push_manifest(self._top, image.tag)  # last: all that it names is there
            self._tell(f"{_size(sent)} sent")
            self._published = self._top.digest
        self._scratch.cleanup()
        return replace(image, digest=self._published)

    def _repository(self, image: Image) -> registry.Repository:
        name = registry.parse(image.repository)
        return registry.Repository(name, lambda: self._recipe.login(name.host))

    def _identity(self, made: Parts, release: Release) -> str:
        """What the image is made from. The base by name: the same commit keeps its first base."""
        code = "".join(
            f"{entry.path}\0{entry.link}\0{entry.program}\0{entry.digest()}\0"
            for entry in made.context.entries
        )
        return stored.fingerprint(
            _FORMAT,
            self._recipe.base_image,
            json.dumps(common_settings(self._recipe, release), sort_keys=True),
            " ".join(self._recipe.platforms),
            code,
        )

    def _find(self, repository: registry.Repository, tag: str, identity: str) -> str | None:
        found = repository.manifest(tag)
        if found is None or not isinstance(found.content, bytes):
            return None
        try:
            annotations = json.loads(found.content).get("annotations") or {}
        except (ValueError, AttributeError):
            return None
        return found.digest if annotations.get(FINGERPRINT) == identity else None

    def _variant(
        self,
        platform: bases.Platform,
        made: Parts,
        release: Release,
        repository: registry.Repository,
        identity: str,
    ) -> Variant:
        base = bases.find(self._recipe.base_image, platform, self._recipe.login)
        for warning in bases.warnings(base, datetime.now(timezone.utc).date()):
            self._tell(f"warning: {warning}")
        target = packages.Target(
            architecture=platform.architecture,
            python=base.python or self._recipe.python_version,
            musl=base.musl,
        )
        kept = tuple(self._kept(base, target, made, repository))
        listed = [package for layer in kept for package in layer.packages]
        layers = (self._code(made, target), self._record(release, listed))
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
            platform=platform,
            base=base,
            kept=kept,
            blobs=blobs,
            manifest=manifest,
            documents=(
                supply_chain.sbom(listed, source, release),
                supply_chain.provenance(listed, source, release, manifest, named),
            ),
        )

    def _kept(
        self,
        base: bases.Base,
        target: packages.Target,
        made: Parts,
        repository: registry.Repository,
    ) -> Iterable[stored.Stored]:
        compiled = str(wheels.compiler(target.minor) is not None)
        place = (_FORMAT, base.digest, str(base.platform), target.python, compiled)
        needs = made.wheel.metadata if made.wheel else ""
        key = stored.fingerprint(*place, made.requirements, needs, self._recipe.extras)
        yield stored.look_up(
            repository,
            f"packages-{key}",
            lambda: self._packages(made, target, key),
            anew=self._recipe.upgrade,
        )
        if made.wheel:
            wheel = made.wheel
            key = stored.fingerprint(*place, wheel.name, wheel.digest)
            yield stored.look_up(
                repository,
                f"runtime-{key}",
                lambda: self._unpacked([self._wheel_file(made)], target, key, "the runtime"),
            )

    def _packages(
        self, made: Parts, target: packages.Target, key: str
    ) -> tuple[oci.Layer, Iterable[wheels.Package]]:
        folder = self._folder / key
        folder.mkdir()
        requirements = self._recipe.folder / "requirements.txt"
        if not requirements.is_file():
            requirements = folder / "requirements.txt"
            requirements.write_text(made.requirements, encoding="utf-8")
        self._tell(f"fetching packages for Python {target.minor} on {target.architecture}")
        runtime = f"{self._wheel_file(made)}{self._recipe.extras}" if made.wheel else None
        found = packages.fetch(
            requirements,
            None if made.hashed else runtime,
            target,
            folder / "wheels",
            self._recipe.environ,
            self._tell,
        )
        others = [f for f in found if made.wheel is None or f.name != made.wheel.name]
        if made.hashed and made.wheel:
            _check_complete(others, wheels.describe(self._wheel_file(made)))
        return self._unpacked(others, target, key, "packages")

    def _unpacked(
        self, files: list[Path], target: packages.Target, key: str, what: str
    ) -> tuple[oci.Layer, Iterable[wheels.Package]]:
        folder = self._folder / f"{key}-files"
        folder.mkdir()
        wheels.unpack(files, folder)
        if any(folder.glob("*.pth")):
            (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE, encoding="utf-8")
        wheels.compile_all(folder, SITE, target.minor)
        layer = self._layer(wheels.entries(folder), SITE, what, created=0)
        return layer, [wheels.describe(file) for file in files]

    def _wheel_file(self, made: Parts) -> Path:
        if made.wheel is None:
            raise RuntimeError("no runtime here")
        file = self._folder / made.wheel.name
        if not file.exists():
            file.write_bytes(made.wheel.content)
        return file

    def _code(self, made: Parts, target: packages.Target) -> oci.Layer:
        apart = (".runtime", "VERSION")
        entries = [e for e in made.context.entries if e.path.split("/")[0] not in apart]
        folder = self._folder / f"code-{target.architecture}"
        for entry in entries:
            if entry.path.endswith(".py") and entry.link is None:
                file = folder / entry.path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(entry.read())
        if folder.exists():
            wheels.compile_all(folder, HOME, target.minor)
            entries += [e for e in wheels.entries(folder) if e.path.endswith(".pyc")]
        return self._layer(entries, HOME, "code")

    def _record(self, release: Release, listed: Iterable[wheels.Package]) -> oci.Layer:
        lock = "".join(sorted(f"{package.pin}\n" for package in listed))
        entries = [
            Entry(path="VERSION", content=release.version.encode() + b"\n"),
            Entry(path="requirements.lock", content=lock.encode()),
        ]
        return self._layer(entries, HOME, "version")

    def _layer(
        self, entries: Iterable[Entry], below: str, what: str, created: int | None = None
    ) -> oci.Layer:
        return oci.make_layer(
            entries,
            self._folder,
            created=self._recipe.source.created if created is None else created,
            below=below.strip("/"),
            made_by=f"pymacaron-ci: {what}",
        )

    def _send(self, variant: Variant, repository: registry.Repository) -> int:
        sent = variant.base.hand_over(repository, self._folder, self._tell)
        new = [layer for layer in variant.kept if not layer.reused]
        sent += repository.push_all(
            [*variant.blobs, *(blob for layer in new for blob in layer.blobs)]
        )
        for layer in new:
            if layer.manifest:
                repository.push_manifest(layer.manifest, layer.tag)
        repository.push_manifest(variant.manifest, variant.manifest.digest)
        try:
            supply_chain.attach(repository, variant.manifest, variant.documents)
        except BuildError as error:  # the image is whole without them
            self._tell(f"warning: the registry keeps no SBOM and provenance: {error}")
        return sent

    def _index(self) -> oci.Blob:
        first = json.loads(_content(self._variants[0].manifest))
        return oci.index(
            [
                {
                    **variant.manifest.descriptor(),
                    "platform": {
                        "os": variant.platform.os,
                        "architecture": variant.platform.architecture,
                    },
                }
                for variant in self._variants
            ],
            first["annotations"],
        )


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


def _check_complete(found: list[Path], runtime: wheels.Package) -> None:
    """A file with hashes is complete or it is wrong: nothing may be added to it behind its back."""
    there = {wheels.describe(file).name for file in found}
    missing = ", ".join(sorted(runtime.needs - there))
    if missing:
        raise BuildError(
            f"requirements.txt pins with hashes but lacks what pymacaron needs: {missing}",
            hint="put pymacaron's requirements into the file that the hashes are made from",
        )


def _content(blob: oci.Blob) -> bytes:
    with blob.open() as stream:
        return stream.read()


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
