"""What a Docker engine says when it can't build or push, as sentences with a way out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import logins, registry
from pymacaron_ci.model import Image

_LAST_LINES = 25
_SOCKET = "unix:///var/run/docker.sock"


def no_socket(environ: Mapping[str, str]) -> BuildError | None:
    """Where not even a socket is, Docker's library need not be loaded to know that."""
    kind, _, path = (environ.get("DOCKER_HOST") or _SOCKET).partition("://")
    if kind != "unix" or Path(path).exists():
        return None
    return no_engine(environ, f"there is no {path}")


def no_engine(environ: Mapping[str, str], why: str) -> BuildError:
    return BuildError(
        f"no Docker engine answers at {environ.get('DOCKER_HOST') or _SOCKET}",
        hint="start Docker or set DOCKER_HOST; `builder: layers` needs no engine",
        details=[why[:300]],
    )


def build_error(text: str, lines: list[str]) -> BuildError:
    hint = None
    if "no space left on device" in "\n".join([text, *lines]):
        return BuildError("the disk of the Docker engine is full", hint="docker system prune")
    if "returned a non-zero code: 137" in text:
        hint = "the step was killed, probably for want of memory"
    elif "requires BuildKit" in text or "Unknown flag: mount" in text:
        hint = "the Dockerfile uses a BuildKit feature; the engine's API builds without BuildKit"
    elif "No matching distribution" in "\n".join(lines):
        hint = "check requirements.txt, and that the packages exist for this Python version"
    return BuildError(f"the image can't be built: {text}", hint=hint, details=lines[-_LAST_LINES:])


def push_error(text: str, image: Image, login: logins.Login | None) -> BuildError:
    lowered = text.lower()
    host = registry.parse(image.repository).host
    if "no space left" in lowered:
        return BuildError(f"the disk of the registry {host} is full", details=[text])
    refused = ("unauthorized", "authentication required", "no basic auth", "incorrect username")
    if any(word in lowered for word in refused):
        if login:
            return BuildError(
                f"the registry {host} refused the log-in of {login.user}", details=[text]
            )
        return BuildError(
            f"the registry {host} wants a log-in to push {image.repository}",
            hint=f"set DOCKER_USERNAME and DOCKER_PASSWORD, or run `docker login {host}` before",
            details=[text],
        )
    if "denied" in lowered or "forbidden" in lowered:
        who = login.user if login else "anonymous"
        return BuildError(
            f"{who} may not push to {image.repository}",
            hint="give the account the right to push, or check docker_repo and docker_registry",
            details=[text],
        )
    return BuildError(f"{image.repository} can't be pushed: {text}")
