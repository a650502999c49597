"""What holds for every test: a clean environment, loopback only, real parts or a reason why not."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FOREIGN = ("GITHUB_", "ACTIONS_", "RUNNER_", "AWS_", "GOOGLE_", "CLOUDSDK_", "PYM_", "INPUT_")
# Certificate bundles of the machine stay: pip needs them where a test makes an environment.
KEEP = {"AWS_CA_BUNDLE"}


def _engine_answers() -> str | None:
    """None if a Docker engine answers, else the reason why not."""
    try:
        import docker

        client = docker.from_env(timeout=5)
        client.ping()
        client.close()
    except Exception as error:  # noqa: BLE001  (any failure means: no engine; the text says which)
        return f"no Docker engine answers: {str(error)[:100]}"
    return None


def _program(name: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        beside = Path(sys.executable).parent / name
        return None if beside.exists() or shutil.which(name) else f"{name} is not installed"

    return missing


PARTS: dict[str, Callable[[], str | None]] = {
    "docker": _engine_answers,
    "registry": _program("docker-registry"),
    "redis": _program("redis-server"),
    "skopeo": _program("skopeo"),
    "node": _program("node"),
    "npm": _program("npm"),
    "act": _program("act"),
    "actionlint": _program("actionlint"),
    "zizmor": _program("zizmor"),
    "schemathesis": _program("schemathesis"),
    "kubectl": _program("kubectl"),
    "chromium": _program("chromium"),
    "wrk": _program("wrk"),
    "git": _program("git"),
    "awscli": _program("aws"),
    "eb": _program("eb"),
}

_checked: dict[str, str | None] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("real"):
        for part in marker.args:
            if part not in _checked:
                _checked[part] = PARTS[part]()
            reason = _checked[part]
            if reason is None:
                continue
            if os.environ.get("PYMACARON_REQUIRE_REAL") == "1":
                pytest.fail(f"a real part is required here: {reason}", pytrace=False)
            pytest.skip(reason)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(FOREIGN) and name not in KEEP:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """Refuses any connection of the test process that would leave this machine."""
    original = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0])
            try:
                loopback = ipaddress.ip_address(host).is_loopback
            except ValueError:
                loopback = host == "localhost"
            if not loopback:
                raise PermissionError(f"a test tried to reach {host}: loopback only")
        original(self, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", connect)
    yield
    patch.undo()
