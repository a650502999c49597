"""What a rehearsal finds in the simulated project: whatever secret the configuration names."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import requests

from pymacaron_ci.targets.cloud_run.wanted import SecretVersion

_MOST = 100  # versions that are made of one secret


def provide(url: str, project: str, secrets: Iterable[SecretVersion]) -> None:
    """Makes the secrets, and as many versions of each as the one that is asked for."""
    for wanted in secrets:
        path, _, version = wanted.path(project).rpartition("/versions/")
        parent, _, name = path.rpartition("/")
        number = int(version) if version.isdigit() else 1
        _post(f"{url}/v1/{parent}?secretId={name}", {"replication": {"automatic": {}}})
        for _ in range(_versions(f"{url}/v1/{path}"), min(number, _MOST)):
            data = base64.b64encode(f"simulated {name}".encode()).decode()
            _post(f"{url}/v1/{path}:addVersion", {"payload": {"data": data}})


def _versions(secret: str) -> int:
    answer = requests.get(f"{secret}/versions", timeout=10)
    return int(answer.json().get("totalSize", 0))


def _post(url: str, body: dict[str, object]) -> None:
    """One that is there already is fine."""
    requests.post(url, json=body, timeout=10)
