"""What the simulated Cloud Run remembers: services, revisions, operations. Saved after every
change.
"""

from __future__ import annotations

import base64
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pymacaron_ci.simulator.files import read_json, write_json

Json = dict[str, Any]
OPERATIONS_KEPT = 500


def timestamp() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Service:
    """`spec` is what the user declared, with defaults; the rest is the platform's. `serving` are
    the traffic targets in effect. `version` is behind the etag: it grows with every change.
    """

    name: str
    uid: str
    spec: Json
    generation: int = 1
    observed: int = 0
    version: int = 0
    created: str = ""
    updated: str = ""
    creator: str = ""
    modifier: str = ""
    latest_created: str = ""
    latest_ready: str = ""
    revisions_made: int = 0
    serving: list[Json] = field(default_factory=list)
    terminal: Json = field(default_factory=dict)
    conditions: list[Json] = field(default_factory=list)
    reconciling: bool = False
    policy: Json = field(default_factory=dict)
    port: int = 0
    tag_ports: dict[str, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.name.rsplit("/", 1)[-1]

    @property
    def project(self) -> str:
        return self.name.split("/")[1]

    @property
    def location(self) -> str:
        return self.name.split("/")[3]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def served(self) -> set[str]:
        """The full names of the revisions that a URL leads to."""
        return {f"{self.name}/revisions/{target['revision']}" for target in self.serving}

    @property
    def etag(self) -> str:
        return etag(self.version)

    def touch(self) -> None:
        self.version = max(self.version + 1, int(time.time() * 1e6))


def etag(version: int) -> str:
    text = base64.urlsafe_b64encode(str(version).encode()).decode().rstrip("=")
    return f'"{text}"'


def version_of(tag: str) -> str:
    text = tag.strip('"')
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return tag


@dataclass
class Revision:
    """`ready` is None until the first instance listens or fails to."""

    service: str
    id: str
    uid: str
    template: Json
    generation: int
    created: str
    labels: dict[str, str] = field(default_factory=dict)
    digest: str = ""
    ready: bool | None = None
    reason: str = ""
    message: str = ""
    updated: str = ""

    @property
    def name(self) -> str:
        return f"{self.service}/revisions/{self.id}"

    @property
    def instance_name(self) -> str:
        """Unique among all that a runner starts, and good for a file or a container."""
        _, project, _, location, _, _ = self.service.split("/")
        return f"{project}.{location}.{self.id}".replace(":", "_")


@dataclass
class Operation:
    name: str
    service: str
    generation: int
    kind: str
    created: str
    done: bool = False
    error: Json | None = None
    response: Json | None = None


class Records:
    """`lock` is held while anything is read to be changed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        known: Json = read_json(file) or {}
        self.services = {n: Service(**d) for n, d in known.get("services", {}).items()}
        self.revisions = {n: Revision(**d) for n, d in known.get("revisions", {}).items()}
        self.operations = {n: Operation(**d) for n, d in known.get("operations", {}).items()}

    def save(self) -> None:
        with self.lock:
            for name in list(self.operations)[:-OPERATIONS_KEPT]:
                if self.operations[name].done:
                    del self.operations[name]
            kinds = {
                "services": self.services,
                "revisions": self.revisions,
                "operations": self.operations,
            }
            write_json(self._file, kinds)
            self.changed.notify_all()

    def revisions_of(self, service: str) -> list[Revision]:
        """Newest first."""
        found = [r for r in self.revisions.values() if r.service == service]
        return sorted(found, key=lambda r: r.created, reverse=True)
