"""What a deployment looks up: projects, enabled APIs, accounts, image repositories."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymacaron_ci.simulator.google.api import Call, Route
from pymacaron_ci.simulator.google.errors import ApiError, invalid
from pymacaron_ci.simulator.google.projects import TITLES, Project, Projects
from pymacaron_ci.simulator.registry_store import Store

Json = dict[str, Any]
CREATED = "2026-01-01T00:00:00Z"
REPOSITORIES = "/v1/projects/{project}/locations/{location}/repositories"
REPOSITORY = REPOSITORIES + "/{repository}"
NO_METADATA = "type.googleapis.com/google.protobuf.Empty"


class ResourceManager:
    """cloudresourcemanager v3 and v1, and iam's service accounts."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects

    def routes(self) -> Iterable[Route]:
        account = "/v1/projects/{project}/serviceAccounts/{account}"
        yield Route("GET", "/v3/projects/{project}", self._get)
        yield Route("GET", "/v1/projects/{project}", self._get_v1)
        yield Route("POST", "/v3/projects/{project}:testIamPermissions", self._test)
        yield Route("POST", "/v1/projects/{project}:testIamPermissions", self._test)
        yield Route("GET", account, self._account)
        yield Route("POST", account + ":testIamPermissions", self._test_account)

    def _project(self, call: Call) -> Project:
        project = self._projects.get(call.names["project"])
        project.require_api("cloudresourcemanager.googleapis.com")
        project.require("resourcemanager.projects.get", f"projects/{project.id}")
        return project

    def _get(self, call: Call) -> Json:
        project = self._project(call)
        return {
            "name": f"projects/{project.number}",
            "projectId": project.id,
            "displayName": project.id,
            "state": project.state,
            "createTime": CREATED,
            "etag": 'W/"0123456789abcdef"',
        }

    def _get_v1(self, call: Call) -> Json:
        project = self._project(call)
        return {
            "projectNumber": project.number,
            "projectId": project.id,
            "name": project.id,
            "lifecycleState": project.state,
            "createTime": CREATED,
        }

    def _test(self, call: Call) -> Json:
        project = self._projects.get(call.names["project"])
        denied = set(project.denied_permissions)
        granted = [p for p in call.body.get("permissions", []) if p not in denied]
        return {"permissions": granted} if granted else {}

    def _account(self, call: Call) -> Json:
        project, email = self._known_account(call)
        return {
            "name": f"projects/{project.id}/serviceAccounts/{email}",
            "projectId": project.id,
            "uniqueId": project.number,
            "email": email,
        }

    def _test_account(self, call: Call) -> Json:
        project, email = self._known_account(call)
        denied = set(project.denied_permissions)
        if email in project.act_as_denied:
            denied.add("iam.serviceAccounts.actAs")
        granted = [p for p in call.body.get("permissions", []) if p not in denied]
        return {"permissions": granted} if granted else {}

    def _known_account(self, call: Call) -> tuple[Project, str]:
        email = call.names["account"]
        owner = call.names["project"]
        if owner == "-":  # any project: the e-mail address says which
            owner = email.partition("@")[2].partition(".")[0]
        project = self._projects.get(owner)
        if email != project.default_account and not project.account_exists(email):
            raise ApiError(
                "NOT_FOUND",
                f"Unknown service account: projects/{project.id}/serviceAccounts/{email}",
            )
        return project, email


class ServiceUsage:
    """Which APIs of a project are enabled."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects

    def routes(self) -> Iterable[Route]:
        base = "/v1/projects/{project}/services"
        yield Route("GET", base + ":batchGet", self._batch_get)
        yield Route("GET", base + "/{service}", self._get)
        yield Route("POST", base + ":batchEnable", self._batch_enable)
        yield Route("POST", base + "/{service}:enable", self._enable)

    def _shown(self, project: Project, api: str) -> Json:
        return {
            "name": f"projects/{project.number}/services/{api}",
            "config": {"name": api, "title": TITLES.get(api, api)},
            "state": "DISABLED" if api in project.disabled_apis else "ENABLED",
            "parent": f"projects/{project.number}",
        }

    def _project(self, call: Call, permission: str) -> Project:
        project = self._projects.get(call.names["project"])
        project.require(f"serviceusage.services.{permission}", f"projects/{project.id}")
        return project

    def _get(self, call: Call) -> Json:
        return self._shown(self._project(call, "get"), call.names["service"])

    def _batch_get(self, call: Call) -> Json:
        project = self._project(call, "get")
        names = [name.rsplit("/", 1)[-1] for name in call.queries.get("names", ())]
        if not 0 < len(names) <= 30:
            raise invalid("between 1 and 30 names are needed", "names")
        return {"services": [self._shown(project, name) for name in names]}

    def _enable(self, call: Call) -> Json:
        return self._enabled(call, [call.names["service"]])

    def _batch_enable(self, call: Call) -> Json:
        return self._enabled(call, call.body.get("serviceIds", []))

    def _enabled(self, call: Call, names: list[str]) -> Json:
        project = self._project(call, "enable")
        disabled = [api for api in project.disabled_apis if api not in names]
        self._projects.change(project.id, disabled_apis=disabled)
        kind = "type.googleapis.com/google.api.serviceusage.v1.BatchEnableServicesResponse"
        shown = [self._shown(project, name) for name in names]
        return {
            "name": f"operations/acf.{project.number}",
            "done": True,
            "response": {"@type": kind, "services": shown},
        }


class ArtifactRegistry:
    """Repositories and tags; the images themselves lie in the loopback registry."""

    def __init__(self, projects: Projects, store: Store) -> None:
        self._projects, self._store = projects, store

    def routes(self) -> Iterable[Route]:
        package = REPOSITORY + "/packages/{package}"
        yield Route("GET", REPOSITORY, self._get)
        yield Route("POST", REPOSITORIES, self._create)
        yield Route("POST", REPOSITORY + ":testIamPermissions", self._test)
        yield Route("GET", package + "/tags/{tag}", self._tag)
        yield Route("GET", package + "/versions/{version}", self._version)

    def _project(self, call: Call, permission: str) -> Project:
        project = self._projects.get(call.names["project"])
        project.require_api("artifactregistry.googleapis.com")
        name = "projects/{project}/locations/{location}".format(**call.names)
        project.require(f"artifactregistry.{permission}", name)
        return project

    @staticmethod
    def _name(call: Call, repository: str) -> str:
        return "projects/{project}/locations/{location}/repositories/".format(**call.names) + (
            repository
        )

    def _shown(self, call: Call, repository: str) -> Json:
        return {
            "name": self._name(call, repository),
            "format": "DOCKER",
            "mode": "STANDARD_REPOSITORY",
            "createTime": CREATED,
            "updateTime": CREATED,
        }

    def _get(self, call: Call) -> Json:
        project = self._project(call, "repositories.get")
        name = call.names["repository"]
        if project.repositories is not None and name not in project.repositories:
            raise ApiError("NOT_FOUND", f'Repository "{self._name(call, name)}" not found')
        return self._shown(call, name)

    def _create(self, call: Call) -> Json:
        project = self._project(call, "repositories.create")
        name = call.query.get("repositoryId", "")
        if not name:
            raise invalid("repository_id is required", "repository_id")
        if project.repositories is None or name in project.repositories:
            raise ApiError("ALREADY_EXISTS", "the repository already exists")
        self._projects.change(project.id, repositories=[*project.repositories, name])
        kind = "type.googleapis.com/google.devtools.artifactregistry.v1.Repository"
        place = "projects/{project}/locations/{location}".format(**call.names)
        return {
            "name": f"{place}/operations/{name}",
            "done": True,
            "response": {"@type": kind, **self._shown(call, name)},
        }

    def _test(self, call: Call) -> Json:
        project = self._projects.get(call.names["project"])
        denied = set(project.denied_permissions)
        granted = [p for p in call.body.get("permissions", []) if p not in denied]
        return {"permissions": granted} if granted else {}

    def _digest(self, call: Call, reference: str) -> str | None:
        path = "{project}/{repository}/{package}".format(**call.names)
        manifest = self._store.manifest(path, reference)
        return manifest.digest if manifest else None

    def _tag(self, call: Call) -> Json:
        self._project(call, "tags.get")
        base = self._name(call, "{repository}/packages/{package}".format(**call.names))
        name = f"{base}/tags/{call.names['tag']}"
        digest = self._digest(call, call.names["tag"])
        if digest is None:
            raise ApiError("NOT_FOUND", f'Tag "{name}" not found')
        return {"name": name, "version": f"{base}/versions/{digest}"}

    def _version(self, call: Call) -> Json:
        self._project(call, "versions.get")
        base = self._name(call, "{repository}/packages/{package}".format(**call.names))
        name = f"{base}/versions/{call.names['version']}"
        if self._digest(call, call.names["version"]) is None:
            raise ApiError("NOT_FOUND", f'Version "{name}" not found')
        return {"name": name, "createTime": CREATED, "updateTime": CREATED}
