"""What can be known before anything is built: reads only, all problems together.

A check that we may not make is no problem: it is named in a note, and the deployment will tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pymacaron_ci.model import Problem, Release, Secret
from pymacaron_ci.targets import artifact_registry
from pymacaron_ci.targets.cloud_run import bodies, names
from pymacaron_ci.targets.cloud_run.api import Api
from pymacaron_ci.targets.cloud_run.invokers import FORBIDDEN
from pymacaron_ci.targets.cloud_run.planning import Seen
from pymacaron_ci.targets.cloud_run.wanted import Wanted
from pymacaron_ci.targets.gcp import ApiError
from pymacaron_ci.targets.preflight import Check, Finding, bad, side_by_side

APIS = ("run.googleapis.com", "artifactregistry.googleapis.com")
PERMISSIONS = (
    "run.services.create",
    "run.services.get",
    "run.services.update",
    "run.services.delete",
    "run.services.getIamPolicy",
    "run.revisions.get",
    "run.revisions.list",
    "run.operations.get",
)
SET_POLICY = "run.services.setIamPolicy"
LONGEST_VALUE = 32768
RESERVED = re.compile(r"PORT|K_SERVICE|K_REVISION|K_CONFIGURATION|X_GOOGLE_.*")


@dataclass(frozen=True, kw_only=True)
class Preflight:
    api: Api
    wanted: Wanted

    def findings(self, release: Release) -> list[Finding]:
        """Everything that asks no more than the project; the services' own requests come later."""
        found = [*sizes(self.wanted, release)]
        checks: list[Check] = [
            ("the project", self._project),
            ("which APIs are enabled", self._apis),
            ("the region", self._region),
            ("the image repository", self._repository),
            ("the deployer's permissions", self._permissions),
            ("the service account", self._account),
            ("the secrets", self._secrets),
            ("organisation policies", self._policy),
        ]
        return [*found, *side_by_side(checks)]

    def would_take(self, release: Release, service: str, seen: Seen) -> Iterator[Finding]:
        """Cloud Run's own judgement of the request to come, with an image that it knows already."""
        stable = seen.stable or {}
        current = seen.revision(next(iter(stable), None))
        if seen.service is None or current is None or release.kept:
            return
        taken = [r.name for r in seen.revisions]
        revision = names.revision(service, release.id, taken)
        place = self.wanted.place(service)
        template = bodies.template(self.wanted, place, release, revision)
        template["containers"][0]["image"] = current.image
        try:
            self.api.validate(service, {"template": template})
        except ApiError as error:
            if error.transient or error.code == 401:
                raise
            if error.code == 409:
                return
            yield Finding(_problem(f"{service}: {error.message or error}", error))

    def _project(self) -> Iterator[Finding]:
        project = self.wanted.project
        found = self.api.session.read("cloudresourcemanager", f"v3/projects/{project}")
        state = found.get("state", "ACTIVE")
        if state != "ACTIVE":
            yield bad(
                f"the project {project} is {str(state).lower().replace('_', ' ')}",
                "restore it in the console, or deploy to another project",
            )

    def _apis(self) -> Iterator[Finding]:
        project = self.wanted.project
        wanted = list(APIS)
        if self.wanted.secrets:
            wanted.append("secretmanager.googleapis.com")
        query = [("names", f"projects/{project}/services/{api}") for api in wanted]
        answer = self.api.session.read(
            "serviceusage", f"v1/projects/{project}/services:batchGet", query=query
        )
        off = [
            str(s.get("name", "")).rpartition("/")[2]
            for s in answer.get("services", [])
            if s.get("state") == "DISABLED"
        ]
        if off:
            yield bad(
                f"not enabled in the project {project}: {', '.join(off)}",
                f"gcloud services enable {' '.join(off)} --project {project}",
            )

    def _region(self) -> Iterator[Finding]:
        wanted = self.wanted
        query: dict[str, str] = {}
        regions: set[str] = set()
        while True:
            path = f"v1/projects/{wanted.project}/locations"
            page = self.api.session.read("run", path, query=query)
            regions |= {str(r.get("locationId")) for r in page.get("locations", [])}
            if not page.get("nextPageToken"):
                break
            query["pageToken"] = str(page["nextPageToken"])
        if regions and wanted.region not in regions:
            yield bad(
                f"Cloud Run does not run in the region {wanted.region} for this project",
                "gcp_region: gcloud run regions list tells which there are",
            )

    def _repository(self) -> Iterator[Finding]:
        return artifact_registry.findings(
            self.api.session, self.wanted.repository, create_missing=self.wanted.create_missing
        )

    def _permissions(self) -> Iterator[Finding]:
        project = self.wanted.project
        asked = [*PERMISSIONS, *([SET_POLICY] if self.wanted.public else [])]
        answer = self.api.session.read(
            "cloudresourcemanager",
            f"v3/projects/{project}:testIamPermissions",
            post={"permissions": asked},
        )
        missing = [p for p in asked if p not in answer.get("permissions", [])]
        if missing:
            role = "roles/run.admin" if SET_POLICY in missing else "roles/run.developer"
            yield bad(
                f"the deployer lacks permissions in the project {project}: {', '.join(missing)}",
                f"give it {role}; docs/targets/gcp-cloud-run.md lists the least that is needed",
            )

    def _account(self) -> Iterator[Finding]:
        account = self.wanted.service_account
        if account is None:
            project = self.api.session.read(
                "cloudresourcemanager", f"v3/projects/{self.wanted.project}"
            )
            number = str(project.get("name", "")).rpartition("/")[2]
            account = f"{number}-compute@developer.gserviceaccount.com"
        path = f"v1/projects/-/serviceAccounts/{account}:testIamPermissions"
        permission = "iam.serviceAccounts.actAs"
        try:
            answer = self.api.session.read("iam", path, post={"permissions": [permission]})
        except ApiError as error:
            if error.code != 404:
                raise
            yield bad(
                f"there is no service account {account} for the service to run as",
                "create it, or name another one in gcp_service_account",
            )
            return
        if permission not in answer.get("permissions", []):
            yield bad(
                f"the deployer may not let a service run as {account}",
                f"gcloud iam service-accounts add-iam-policy-binding {account} "
                "--role roles/iam.serviceAccountUser --member serviceAccount:<deployer>",
            )

    def _secrets(self) -> Iterator[Finding]:
        for variable, secret in self.wanted.secrets.items():
            path = f"v1/{secret.path(self.wanted.project)}"
            try:
                found = self.api.session.read("secretmanager", path)
            except ApiError as error:
                if error.code != 404:
                    raise
                yield bad(
                    f"gcp_secrets: {variable}: Secret Manager has no secret {secret.name} with "
                    f"the version {secret.version}",
                    f"gcloud secrets versions list {secret.name}",
                )
                continue
            if found.get("state", "ENABLED") != "ENABLED":
                yield bad(
                    f"gcp_secrets: {variable}: the version {secret.version} of {secret.name} is "
                    f"{str(found['state']).lower()}",
                    "name a version that is enabled",
                )

    def _policy(self) -> Iterator[Finding]:
        if not self.wanted.public or not self.wanted.check_callers:
            return
        answer = self.api.session.find(
            "orgpolicy",
            f"v2/projects/{self.wanted.project}/policies/iam.allowedPolicyMemberDomains"
            ":getEffectivePolicy",
        )
        rules = ((answer or {}).get("spec") or {}).get("rules") or []
        restricts = [
            r
            for r in rules
            if not r.get("condition")
            and (r.get("denyAll") or "allowedValues" in r.get("values", {}))
        ]
        if restricts and not any(r.get("allowAll") for r in rules):
            yield Finding(FORBIDDEN)


def sizes(wanted: Wanted, release: Release) -> Iterator[Finding]:
    """What Cloud Run's limits say of the image and the environment. Pure."""
    if wanted.platforms and "linux/amd64" not in wanted.platforms:
        yield bad(
            f"Cloud Run runs linux/amd64, and the image is for {', '.join(wanted.platforms)}",
            "add linux/amd64 to platforms",
        )
    for name, value in release.environment.items():
        plain = value.reveal() if isinstance(value, Secret) else value
        size = len(plain.encode("utf-8", "surrogatepass"))
        if RESERVED.fullmatch(name):
            yield bad(f"{name} is Cloud Run's own variable", "give yours another name")
        if size > LONGEST_VALUE:
            yield bad(
                f"the value of {name} has {size} bytes; Cloud Run allows {LONGEST_VALUE}",
                "put it into Secret Manager and mount it, or make it shorter",
            )


def _problem(text: str, error: ApiError) -> Problem:
    return Problem(text=text, hint=error.problems[0].hint)
