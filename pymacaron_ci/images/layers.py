"""The layers of an image: packages and runtime, found again in the registry or made; the code."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pymacaron_ci.context import Entry
from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import base as bases
from pymacaron_ci.images import bytecode, oci, registry, stored, wheels
from pymacaron_ci.images.recipe import HOME, Parts, Recipe
from pymacaron_ci.images.wheel_tags import Target
from pymacaron_ci.model import Release
from pymacaron_ci.runtime_wheel import Wheel

FORMAT = "3"  # part of every fingerprint: raise it when layers are made differently
SITE = "/opt/packages"
# Folders on PYTHONPATH don't have their .pth files read; a few packages rely on theirs.
_SITECUSTOMIZE = f"import site\nsite.addsitedir({SITE!r})\n"


class Layers:
    """Makes one service's layers, as files in `folder`."""

    def __init__(self, recipe: Recipe, folder: Path, tell: Callable[[str], None]) -> None:
        self._recipe = recipe
        self._folder = folder
        self._tell = tell
        self._lock = threading.Lock()

    def kept(
        self,
        base: bases.Base,
        target: Target,
        made: Parts,
        repository: registry.Repository,
    ) -> list[stored.Stored]:
        """The packages, then the runtime; each is looked for, and made, beside the other."""
        compiled = ("bytecode",) if self._recipe.bytecode else ()
        place = (FORMAT, base.digest, str(base.platform), target.python, *compiled)
        needs = made.wheel.metadata if made.wheel else ""
        asked = [each.decode("utf-8", "replace") for each in made.requirements.contents]
        key = stored.fingerprint(*place, needs, self._recipe.extras, *asked)
        with ThreadPoolExecutor(2) as pool:
            waiting = [
                pool.submit(
                    stored.look_up,
                    repository,
                    f"packages-{key}",
                    lambda: self._packages(made, target, key),
                    anew=self._recipe.upgrade,
                )
            ]
            if made.wheel:
                wheel = made.wheel
                own = stored.fingerprint(*place, wheel.name, wheel.digest)
                waiting.append(
                    pool.submit(
                        stored.look_up,
                        repository,
                        f"runtime-{own}",
                        lambda: self._installed([self._wheel_file(wheel)], target, "the runtime"),
                    )
                )
            return [each.result() for each in waiting]

    def _packages(
        self, made: Parts, target: Target, key: str
    ) -> tuple[oci.Layer, Iterable[wheels.Package]]:
        from pymacaron_ci.images import packages

        folder = self._folder / key
        folder.mkdir()
        requirements = self._recipe.folder / "requirements.txt"
        if made.requirements.origin != requirements.name:
            requirements = folder / "requirements.txt"
            requirements.write_text(made.requirements.text, encoding="utf-8")
        self._tell(f"fetching packages for Python {target.minor} on {target.architecture}")
        runtime = self._wheel_file(made.wheel) if made.wheel else None
        found = packages.fetch(
            requirements,
            None if made.requirements.hashed else runtime,
            self._recipe.extras,
            target,
            folder / "wheels",
            self._recipe.environ,
            self._tell,
        )
        others = [f for f in found if made.wheel is None or f.name != made.wheel.name]
        if made.requirements.hashed and made.wheel:
            _check_complete(others, wheels.describe(self._wheel_file(made.wheel)))
        return self._installed(others, target, "packages")

    def _installed(
        self, files: Sequence[Path], target: Target, what: str
    ) -> tuple[oci.Layer, Iterable[wheels.Package]]:
        described = [wheels.describe(file) for file in files]
        with wheels.installed(files) as found:
            if any(re.fullmatch(r"[^/]+\.pth", path) for path in found):
                own = Entry(path="sitecustomize.py", content=_SITECUSTOMIZE.encode())
                found[own.path] = own
            layer = self._layer(self._compiled(found.values(), SITE, target), SITE, what, created=0)
        return layer, described

    def _wheel_file(self, wheel: Wheel) -> Path:
        file = self._folder / wheel.name
        with self._lock:
            if not file.exists():
                file.write_bytes(wheel.content)
        return file

    def code(self, made: Parts, target: Target) -> oci.Layer:
        apart = (".runtime", "VERSION")
        entries = [e for e in made.context.entries if e.path.split("/")[0] not in apart]
        return self._layer(self._compiled(entries, HOME, target), HOME, "code")

    def _compiled(self, entries: Collection[Entry], home: str, target: Target) -> Collection[Entry]:
        """The entries, and their bytecode where it is asked for."""
        if not self._recipe.bytecode:
            return entries
        interpreter = bytecode.compiler(target.python, self._recipe.environ)
        made = bytecode.made(entries, interpreter, home, self._folder)
        return {entry.path: entry for entry in (*entries, *made)}.values()

    def record(self, release: Release, listed: Iterable[wheels.Package]) -> oci.Layer:
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


def _check_complete(found: list[Path], runtime: wheels.Package) -> None:
    """A file with hashes is complete or it is wrong: nothing may be added to it behind its back."""
    there = {wheels.describe(file).name for file in found}
    missing = ", ".join(sorted(runtime.needs - there))
    if missing:
        raise BuildError(
            f"the requirements have hashes but lack what pymacaron needs: {missing}",
            hint="put pymacaron's requirements into the file that the hashes are made from",
        )
