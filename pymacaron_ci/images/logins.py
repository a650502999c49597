"""Log-ins for registries, from the environment or Docker's configuration. Never in an argv."""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymacaron_ci.errors import BuildError

_HUB = "https://index.docker.io/v1/"
_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_TOKEN_USER = "<token>"  # noqa: S105  (what a credential helper answers for an identity token)


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user and a password, or an identity token, for one registry."""

    user: str
    password: str = field(repr=False)
    identity_token: str | None = field(default=None, repr=False)


def find(host: str, environ: Mapping[str, str]) -> Login | None:
    """The log-in for a registry's host, None for anonymous access.

    DOCKER_USERNAME and DOCKER_PASSWORD count for the registry that DOCKER_LOGIN_REGISTRY names
    (Docker Hub by default); any other comes from config.json: the registry's credential helper,
    the credential store, or the entry itself.
    """
    user, password = environ.get("DOCKER_USERNAME"), environ.get("DOCKER_PASSWORD")
    meant = environ.get("DOCKER_LOGIN_REGISTRY") or "docker.io"
    if user and password and _same(host, meant):
        return Login(user=user, password=password)
    config = _config(environ)
    for name, entry in config.get("credHelpers", {}).items():
        if _same(host, name):
            return _ask_helper(str(entry), name, environ)
    if config.get("credsStore"):
        server = _HUB if host in _HUB_HOSTS else host
        found = _ask_helper(str(config["credsStore"]), server, environ)
        if found:
            return found
    for name, entry in config.get("auths", {}).items():
        if _same(host, name) and isinstance(entry, dict):
            return _from_entry(name, entry)
    return None


def _same(host: str, named: str) -> bool:
    bare = named.removeprefix("https://").removeprefix("http://").split("/")[0]
    return host == bare or (host in _HUB_HOSTS and bare in _HUB_HOSTS)


def _config(environ: Mapping[str, str]) -> dict[str, Any]:
    home = environ.get("DOCKER_CONFIG") or str(Path(environ.get("HOME", "/")) / ".docker")
    file = Path(home) / "config.json"
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise BuildError(f"Docker's configuration {file} can't be read: {error}") from error
    return data if isinstance(data, dict) else {}


def _from_entry(name: str, entry: Mapping[str, Any]) -> Login | None:
    if entry.get("identitytoken"):
        token = str(entry["identitytoken"])
        return Login(user=_TOKEN_USER, password=token, identity_token=token)
    if entry.get("username") and entry.get("password"):
        return Login(user=str(entry["username"]), password=str(entry["password"]))
    if not entry.get("auth"):
        return None
    try:
        user, colon, password = (
            base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        )
    except (binascii.Error, ValueError) as error:
        raise BuildError(
            f"the log-in for {name} in Docker's configuration is damaged",
            hint=f"docker login {name}",
        ) from error
    return Login(user=user, password=password.rstrip("\0")) if colon else None


def _ask_helper(helper: str, server: str, environ: Mapping[str, str]) -> Login | None:
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"],
            input=server,
            env=dict(environ),  # cloud helpers find their own credentials there
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
            check=False,
        )
    except FileNotFoundError as error:
        raise BuildError(
            f"Docker's configuration wants {program} for {server}, which is not installed",
            hint="install it, or take it out of config.json",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{program} did not answer within 60 s for {server}") from error
    if done.returncode:
        if "not found" in done.stdout + done.stderr:
            return None
        raise BuildError(
            f"{program} gave no log-in for {server}", details=done.stderr.splitlines()[-5:]
        )
    try:
        answer = json.loads(done.stdout)
        user, password = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise BuildError(f"{program} answered something that is no log-in for {server}") from error
    if user == _TOKEN_USER:
        return Login(user=user, password=password, identity_token=password)
    return Login(user=user, password=password) if user else None
