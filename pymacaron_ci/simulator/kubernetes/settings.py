"""What a simulated cluster is like: tests and rehearsals take things away."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymacaron_ci.simulator.files import read_json, write_json

VERSION = "1.36.1-gke.1120000"
# three machines of the kind e2-standard-4, less what the system takes
NODES = ({"cpu": "3920m", "memory": "13Gi"},) * 3


@dataclass
class Settings:
    """`nodes`: cpu, memory and labels of each. `missing` and `denied`: see rest.Rights.

    `public`: its API answers from outside; otherwise connections to it time out.
    """

    exists: bool = True
    status: str = "RUNNING"
    version: str = VERSION
    public: bool = True
    # its DNS endpoint takes traffic from outside
    dns: bool = True
    autopilot: bool = False
    missing: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    nodes: list[dict[str, str]] = field(default_factory=lambda: [dict(node) for node in NODES])
    certificates_active: bool = True


class AllSettings:
    """Those of all clusters, by `project/location/name`, kept in a file. A cluster nobody said
    anything about exists.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        known: dict[str, dict[str, Any]] = read_json(file) or {}
        self._settings = {name: Settings(**data) for name, data in known.items()}

    def get(self, name: str) -> Settings:
        with self._lock:
            return self._settings.setdefault(name, Settings())

    def change(self, name: str, **values: Any) -> Settings:
        """Raises AttributeError for what a cluster doesn't have."""
        settings = self.get(name)
        with self._lock:
            for key, value in values.items():
                if not hasattr(settings, key):
                    raise AttributeError(f"a cluster has no {key}")
                setattr(settings, key, value)
            write_json(self._file, self._settings)
        return settings

    def known(self) -> list[tuple[str, Settings]]:
        """Those that were ever asked for."""
        with self._lock:
            return sorted(self._settings.items())
