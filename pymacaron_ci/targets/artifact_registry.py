"""Google's Artifact Registry: is the repository there that an image goes to, and making it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pymacaron_ci.model import Step
from pymacaron_ci.targets.calls import repeated
from pymacaron_ci.targets.gcp import ApiError, GoogleSession
from pymacaron_ci.targets.preflight import Finding, bad


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository of Artifact Registry."""

    project: str
    location: str
    name: str

    @property
    def parent(self) -> str:
        return f"v1/projects/{self.project}/locations/{self.location}"


@dataclass(frozen=True, kw_only=True)
class CreateRepository(Step):
    """The repository of Artifact Registry that images are pushed to."""

    name: str

    def __str__(self) -> str:
        return f"create the image repository {self.name}"


def repository_of(image: str) -> Repository | None:
    """The repository of Artifact Registry that an image belongs to; None for other registries."""
    found = re.fullmatch(r"([a-z0-9-]+)-docker\.pkg\.dev/([^/]+(?:/[^/]+)?)/([^/]+)/[^/]+", image)
    if found is None:
        return None
    location, project, name = found.groups()
    return Repository(project=project.replace("/", ":"), location=location, name=name)


def findings(
    session: GoogleSession, place: Repository | None, *, create_missing: bool
) -> Iterator[Finding]:
    if place is None:
        return
    found = session.find("artifactregistry", f"{place.parent}/repositories/{place.name}")
    if found is not None and found.get("format", "DOCKER") != "DOCKER":
        yield bad(
            f"the repository {place.name} of Artifact Registry holds "
            f"{str(found['format']).lower()} packages, not images",
            "name another one in docker_repository",
        )
    if found is None and create_missing:
        yield Finding(create_repository=place.name)
    elif found is None:
        yield bad(
            f"Artifact Registry has no repository {place.name} in {place.location} "
            f"(project {place.project})",
            f"gcloud artifacts repositories create {place.name} --repository-format docker "
            f"--location {place.location} --project {place.project}, or create_missing: true",
        )


def create(session: GoogleSession, place: Repository, progress: Callable[[str], None]) -> None:
    """One that is there already is fine."""

    def attempt() -> None:
        if session.find("artifactregistry", f"{place.parent}/repositories/{place.name}"):
            return
        session.change(
            "POST",
            "artifactregistry",
            f"{place.parent}/repositories",
            query={"repositoryId": place.name},
            body={"format": "DOCKER", "description": "images of PyMacaron services"},
        )
        raise ApiError(f"creating {place.name}…", transient=True)

    repeated(
        f"creating the image repository {place.name}",
        attempt,
        clock=session.clock,
        progress=progress,
        again=lambda error: error.transient or error.code == 409,
    )
