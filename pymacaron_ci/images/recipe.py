"""What every builder needs to know of a service, and what every image of it has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymacaron_ci import context, runtime_wheel
from pymacaron_ci.images import requirements
from pymacaron_ci.images.logins import Login
from pymacaron_ci.images.logins import find as find_login
from pymacaron_ci.images.oci import rfc3339
from pymacaron_ci.images.requirements import Requirements
from pymacaron_ci.model import Release, Secret, Source

HOME = "/pym"
VENV = "/opt/venv"
USER = "10001:10001"  # a number, so that a cluster can tell that it isn't root
PORT = "8080"
DEFAULT_PYTHON = "3.13"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A service and how its image is made. `forbidden` are the values that no file may hold."""

    folder: Path
    source: Source
    config_file: Path
    environ: Mapping[str, str]
    base: str | None = None
    python_version: str = DEFAULT_PYTHON
    with_async: bool = False
    include_links: tuple[str, ...] = ()
    forbidden: tuple[Secret, ...] = ()
    platforms: tuple[str, ...] = ("linux/amd64",)
    bytecode: bool = False
    upgrade: bool = False  # resolve the packages anew, even where the registry has them
    warn: Callable[[str], None] = lambda _: None
    cloud_login: Callable[[str], Login | None] = lambda _: None

    def login(self, host: str) -> Login | None:
        """The log-in for a registry: what the user set, else what the cloud's credentials give."""
        return find_login(host, self.environ) or self.cloud_login(host)

    @property
    def base_image(self) -> str:
        return self.base or f"python:{self.python_version}-slim"

    @property
    def command(self) -> list[str]:
        """PID 1. It takes its address from PORT by itself: no shell stands between."""
        if self.with_async:
            return ["python3", "-m", "pymacaron.supervise"]
        return ["pymacaron-serve", "server:app"]

    @property
    def extras(self) -> str:
        return runtime_extras(with_async=self.with_async)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The files of the image. `wheel` is None where the service pins its own pymacaron."""

    context: context.Context
    wheel: runtime_wheel.Wheel | None
    requirements: Requirements


def runtime_extras(*, with_async: bool) -> str:
    """What the runtime is installed with, as it follows a wheel's name."""
    return "[async]" if with_async else ""


def pins_runtime(folder: Path) -> bool:
    """Whether requirements.txt chooses its pymacaron; else the one beside this tool is used."""
    file = folder / "requirements.txt"
    if not file.is_file():
        return False
    text = file.read_text(encoding="utf-8", errors="replace")
    return Requirements(text=text, origin=file.name).pins("pymacaron")


def parts(recipe: Recipe, release: Release) -> Parts:
    """The files and what is to be installed; raises BuildError."""
    needed = requirements.read(recipe.folder, recipe.environ)
    wheel = None if needed.pins("pymacaron") else runtime_wheel.build()
    extra = []
    if needed.origin != "requirements.txt":
        extra.append(context.Entry(path="requirements.txt", content=needed.text.encode()))
    if wheel:
        extra.append(context.Entry(path=f".runtime/{wheel.name}", content=wheel))
    own_dockerfile = (recipe.folder / "Dockerfile").is_file()
    collected = context.collect(
        recipe.folder,
        recipe.environ,
        config_file=recipe.config_file,
        version=release.version,
        include_links=recipe.include_links,
        secrets=recipe.forbidden,
        extra=extra,
        tests_too=own_dockerfile,
    )
    return Parts(context=collected, wheel=wheel, requirements=needed)


def labels(recipe: Recipe, release: Release) -> dict[str, str]:
    """From the commit alone."""
    named = {
        "org.opencontainers.image.revision": release.revision,
        "org.opencontainers.image.version": release.version,
        "org.opencontainers.image.created": rfc3339(recipe.source.created),
        "org.opencontainers.image.title": release.image.repository.rsplit("/", 1)[-1],
    }
    if recipe.source.url:
        named["org.opencontainers.image.source"] = recipe.source.url
    return named


def environment() -> dict[str, str]:
    return {
        "PATH": f"{VENV}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": HOME,
        "HOME": "/tmp",  # noqa: S108  (the one folder that a user without a home may write to)
        "PORT": PORT,
    }


def runtime_settings(recipe: Recipe, release: Release) -> dict[str, Any]:
    """The `config` object of the image's configuration."""
    return {
        "Env": [f"{name}={value}" for name, value in environment().items()],
        "Cmd": recipe.command,
        "WorkingDir": HOME,
        "User": USER,
        "ExposedPorts": {f"{PORT}/tcp": {}},
        "Labels": labels(recipe, release),
    }
