"""What a simulated project allows: tests and rehearsals take things away, by default everything is
there.
"""

from __future__ import annotations

import threading
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymacaron_ci.simulator.files import read_json, write_json
from pymacaron_ci.simulator.google.errors import ApiError, denied, disabled

TITLES = {
    "run.googleapis.com": "Cloud Run Admin API",
    "artifactregistry.googleapis.com": "Artifact Registry API",
    "secretmanager.googleapis.com": "Secret Manager API",
    "iamcredentials.googleapis.com": "IAM Service Account Credentials API",
    "logging.googleapis.com": "Cloud Logging API",
    "cloudresourcemanager.googleapis.com": "Cloud Resource Manager API",
    "container.googleapis.com": "Kubernetes Engine API",
    "compute.googleapis.com": "Compute Engine API",
}


@dataclass
class Project:
    """`None` for a list of what exists means: whatever is asked for exists."""

    id: str
    number: str
    exists: bool = True
    state: str = "ACTIVE"
    disabled_apis: list[str] = field(default_factory=list)
    denied_permissions: list[str] = field(default_factory=list)
    # the organisation's policy "domain restricted sharing" is absent
    public_allowed: bool = True
    service_accounts: list[str] | None = None
    # accounts that the deployer may not act as
    act_as_denied: list[str] = field(default_factory=list)
    # of every region: used, and how many there may be
    cpu_quota: list[float] = field(default_factory=lambda: [12, 72])
    repositories: list[str] | None = None
    # e-mail addresses whose ID tokens may call private services, besides those in a service's own
    # policy
    invokers: list[str] | None = None
    # name → versions, each {"state", "data"}
    secrets: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    # runtime accounts that may not read secrets
    secret_access_denied: list[str] = field(default_factory=list)

    @property
    def default_account(self) -> str:
        return f"{self.number}-compute@developer.gserviceaccount.com"

    def require(self, permission: str, resource: str) -> None:
        """Raises the 403 of a deployer who lacks a permission."""
        if permission in self.denied_permissions:
            raise denied(permission, resource)

    def require_api(self, api: str) -> None:
        if api in self.disabled_apis:
            raise disabled(api, TITLES.get(api, api), self.number)

    def account_exists(self, email: str) -> bool:
        return self.service_accounts is None or email in self.service_accounts


class Projects:
    """All projects, made when first asked for, kept in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.RLock()
        known: dict[str, dict[str, Any]] = read_json(file) or {}
        self._projects = {name: Project(**data) for name, data in known.items()}

    def get(self, name: str) -> Project:
        """By id or number. Raises the 403 that Google gives for a project that is not there."""
        with self._lock:
            for project in self._projects.values():
                if name == project.number:
                    name = project.id
            project = self._projects.setdefault(name, Project(name, _number(name)))
        if not project.exists:
            raise ApiError(
                "PERMISSION_DENIED",
                f"Permission denied on resource project {name}.",
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "CONSUMER_INVALID",
                    "domain": "googleapis.com",
                    "metadata": {"consumer": f"projects/{name}"},
                },
            )
        return project

    def change(self, name: str, **values: Any) -> Project:
        """Sets a project's fields: `change("p", public_allowed=False)`."""
        with self._lock:
            project = self._projects.setdefault(name, Project(name, _number(name)))
            for key, value in values.items():
                if not hasattr(project, key):
                    raise AttributeError(f"a project has no {key}")
                setattr(project, key, value)
            self.save()
        return project

    def save(self) -> None:
        with self._lock:
            write_json(self._file, self._projects)


def _number(name: str) -> str:
    return str(100_000_000_000 + zlib.crc32(name.encode()))
