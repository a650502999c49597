"""Secret Manager: secrets and their versions; instances read values, the tool only looks whether
they are there.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from pymacaron_ci.simulator.google.api import Call, Route
from pymacaron_ci.simulator.google.errors import ApiError, invalid
from pymacaron_ci.simulator.google.projects import Project, Projects

BASE = "/v1/projects/{project}/secrets"
SECRET = BASE + "/{secret}"
VERSION = SECRET + "/versions/{version}"
API = "secretmanager.googleapis.com"
CREATED = "2026-01-01T00:00:00Z"


class SecretManager:
    def __init__(self, projects: Projects) -> None:
        self._projects = projects

    def routes(self) -> Iterable[Route]:
        yield Route("GET", BASE, self._list)
        yield Route("POST", BASE, self._create)
        yield Route("GET", SECRET, self._get)
        yield Route("DELETE", SECRET, self._delete)
        yield Route("POST", SECRET + ":addVersion", self._add)
        yield Route("GET", SECRET + ":getIamPolicy", self._policy)
        yield Route("GET", SECRET + "/versions", self._versions)
        yield Route("GET", VERSION, self._version)
        yield Route("GET", VERSION + ":access", self._access)
        yield Route("POST", VERSION + ":disable", self._disable)

    def value(self, project: str, account: str, secret: str, version: str) -> str:
        """What an instance gets. Raises LookupError with the platform's text."""
        name = secret
        if secret.startswith("projects/"):
            _, project, _, name = secret.split("/")
        owner = self._projects.get(project)
        full = f"projects/{owner.number}/secrets/{name}/versions/{version}"
        if account in owner.secret_access_denied:
            raise LookupError(
                f"Permission denied on secret: {full} for Revision service account {account}. The "
                "service account used must be granted the 'Secret Manager Secret Accessor' role "
                "(roles/secretmanager.secretAccessor) at the secret, project or higher level."
            )
        found = self._find(owner, name, version)
        if found is None:
            raise LookupError(f"Secret {full} was not found")
        if found["state"] != "ENABLED":
            raise LookupError(f"Secret {full} is disabled")
        return base64.b64decode(found["data"]).decode()

    @staticmethod
    def _find(project: Project, name: str, version: str) -> dict[str, str] | None:
        versions = project.secrets.get(name, [])
        if version == "latest":
            return versions[-1] if versions else None
        index = int(version) - 1 if version.isdigit() else -1
        return versions[index] if 0 <= index < len(versions) else None

    def _project(self, call: Call, permission: str) -> Project:
        project = self._projects.get(call.names["project"])
        project.require_api(API)
        project.require(f"secretmanager.{permission}", f"projects/{project.id}/secrets")
        return project

    def _known(self, call: Call, permission: str) -> tuple[Project, str]:
        project = self._project(call, permission)
        name = call.names["secret"]
        if name not in project.secrets:
            raise ApiError(
                "NOT_FOUND", f"Secret [projects/{project.number}/secrets/{name}] not found."
            )
        return project, name

    def _list(self, call: Call) -> dict[str, Any]:
        project = self._project(call, "secrets.list")
        return {"secrets": [_secret(project, name) for name in sorted(project.secrets)]}

    def _create(self, call: Call) -> dict[str, Any]:
        project = self._project(call, "secrets.create")
        name = call.query.get("secretId", "")
        if not name:
            raise invalid("secret_id is required.", "secret_id")
        if name in project.secrets:
            raise ApiError(
                "ALREADY_EXISTS",
                f"Secret [projects/{project.number}/secrets/{name}] already exists.",
            )
        self._projects.change(project.id, secrets={**project.secrets, name: []})
        return _secret(project, name)

    def _get(self, call: Call) -> dict[str, Any]:
        return _secret(*self._known(call, "secrets.get"))

    def _delete(self, call: Call) -> dict[str, Any]:
        project, name = self._known(call, "secrets.delete")
        rest = {key: value for key, value in project.secrets.items() if key != name}
        self._projects.change(project.id, secrets=rest)
        return {}

    def _add(self, call: Call) -> dict[str, Any]:
        project, name = self._known(call, "versions.add")
        data = (call.body.get("payload") or {}).get("data", "")
        version = {"state": "ENABLED", "data": data}
        versions = [*project.secrets[name], version]
        self._projects.change(project.id, secrets={**project.secrets, name: versions})
        return _version(project, name, len(versions), version)

    def _policy(self, call: Call) -> dict[str, Any]:
        self._known(call, "secrets.getIamPolicy")
        return {"version": 1, "etag": "ACAB"}

    def _versions(self, call: Call) -> dict[str, Any]:
        project, name = self._known(call, "versions.list")
        versions = project.secrets[name]
        shown = [_version(project, name, i, v) for i, v in enumerate(versions, 1)]
        return {"versions": shown[::-1], "totalSize": len(shown)}

    def _one(self, call: Call, permission: str) -> tuple[Project, str, dict[str, str], int]:
        project, name = self._known(call, permission)
        found = self._find(project, name, call.names["version"])
        if found is None:
            raise ApiError(
                "NOT_FOUND",
                "Secret Version "
                f"[projects/{project.number}/secrets/{name}/versions/{call.names['version']}] not "
                "found.",
            )
        number = next(i for i, v in enumerate(project.secrets[name], 1) if v is found)
        return project, name, found, number

    def _version(self, call: Call) -> dict[str, Any]:
        project, name, found, number = self._one(call, "versions.get")
        return _version(project, name, number, found)

    def _access(self, call: Call) -> dict[str, Any]:
        project, name, found, number = self._one(call, "versions.access")
        if found["state"] != "ENABLED":
            raise ApiError("FAILED_PRECONDITION", "Secret Version is in DISABLED state.")
        shown = _version(project, name, number, found)
        return {"name": shown["name"], "payload": {"data": found["data"]}}

    def _disable(self, call: Call) -> dict[str, Any]:
        project, name, found, number = self._one(call, "versions.disable")
        found["state"] = "DISABLED"
        self._projects.save()
        return _version(project, name, number, found)


def _secret(project: Project, name: str) -> dict[str, Any]:
    return {
        "name": f"projects/{project.number}/secrets/{name}",
        "createTime": CREATED,
        "replication": {"automatic": {}},
    }


def _version(project: Project, name: str, number: int, version: dict[str, str]) -> dict[str, Any]:
    return {
        "name": f"projects/{project.number}/secrets/{name}/versions/{number}",
        "createTime": CREATED,
        "state": version["state"],
    }
