"""What every method of the API begins with: may this call be made, and what is it about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymacaron_ci.simulator.cloud_run.records import Json, Records, Service
from pymacaron_ci.simulator.google.api import Call
from pymacaron_ci.simulator.google.errors import ApiError, invalid
from pymacaron_ci.simulator.google.projects import Project, Projects

PLACE = "/v2/projects/{project}/locations/{location}"
ONE = PLACE + "/services/{service}"
REVISION = ONE + "/revisions/{revision}"


class Access:
    """`locations` are the regions that exist."""

    def __init__(self, records: Records, projects: Projects, locations: Iterable[str]) -> None:
        self.records = records
        self.locations = tuple(locations)
        self._projects = projects

    def allowed(self, call: Call, permission: str) -> Project:
        """The project, if it exists, its API is enabled and the deployer has the permission."""
        project = self._projects.get(call.names["project"])
        project.require_api("run.googleapis.com")
        location = call.names.get("location")
        if location not in (None, "-", *self.locations):
            raise ApiError(
                "NOT_FOUND", f"Location {location} is not found or access is unauthorized."
            )
        name = self.name(call) if "service" in call.names else f"projects/{project.id}"
        project.require(f"run.{permission}", name)
        return project

    @staticmethod
    def name(call: Call) -> str:
        return "projects/{project}/locations/{location}/services/{service}".format(**call.names)

    def find(self, call: Call) -> Service:
        service = self.records.services.get(self.name(call))
        if service is None:
            raise missing(call.names["service"], "SERVICE", call)
        return service


def missing(name: str, kind: str, call: Call) -> ApiError:
    return ApiError(
        "NOT_FOUND",
        f"Resource '{name}' of kind '{kind}' in region '{call.names['location']}' in project "
        f"'{call.names['project']}' does not exist.",
    )


def paged(found: list[Any], call: Call) -> tuple[list[Any], str]:
    size, token = call.query.get("pageSize", "0"), call.query.get("pageToken", "0")
    if not size.isdigit() or not token.isdigit():
        raise invalid("Invalid page size or token.", "page_token")
    first = int(token)
    last = first + (int(size) or 100)
    return found[first:last], str(last) if last < len(found) else ""


def page(shown: Json, token: str) -> Json:
    """A page; proto3 JSON leaves an empty list out."""
    page = {key: value for key, value in shown.items() if value}
    return {**page, "nextPageToken": token} if token else page
