"""What can be known before anything is built: nothing is changed, all problems come together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pymacaron_ci.model import Problem, Release
from pymacaron_ci.targets import artifact_registry
from pymacaron_ci.targets.gcp import GoogleSession
from pymacaron_ci.targets.gke import names, planning, quota, rights, workload
from pymacaron_ci.targets.gke.changes import refusal
from pymacaron_ci.targets.gke.refusals import Refused
from pymacaron_ci.targets.gke.resources import RESOURCES, path
from pymacaron_ci.targets.gke.site import Site
from pymacaron_ci.targets.gke.wanted import Wanted
from pymacaron_ci.targets.gke.workload import Manifest
from pymacaron_ci.targets.preflight import Check, Finding, bad, side_by_side

LARGEST_SECRET = 2**20  # bytes
GOOGLES = ("BackendConfig", "ManagedCertificate", "FrontendConfig")


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """`session`: Google's, where the cluster is."""

    wanted: Wanted
    sites: Sequence[Site]
    session: GoogleSession | None = None

    def findings(self, release: Release) -> list[Finding]:
        found = [*sizes(release)]
        checks: list[Check] = [("the image repository", self._repository)]
        if self.session is not None:
            session = self.session
            checks.append(
                ("the region's quota", lambda: quota.of_region(session, self.wanted, self.sites))
            )
        for site in self.sites:
            checks += self._of_site(site, release)
        return [*found, *rights.told(side_by_side(checks))]

    def lacking(self, release: Release) -> list[Problem]:
        """The permissions that are missing, where not even looking is allowed."""
        checks: list[Check] = []
        for site in self.sites:
            checks += rights.checks(site, site.manifests(release), ("get", *rights.WRITE))
        return [f.problem for f in rights.told(side_by_side(checks)) if f.problem]

    def _repository(self) -> Iterator[Finding]:
        if self.session is not None:
            yield from artifact_registry.findings(
                self.session, self.wanted.repository, create_missing=self.wanted.create_missing
            )

    def _of_site(self, site: Site, release: Release) -> Iterator[Check]:
        manifests = planning.to_apply(site.manifests(release), site.before)
        yield from rights.checks(site, manifests, rights.WRITE)
        lacking = {m["kind"] for m in manifests if m["kind"] in GOOGLES}
        for version in sorted({RESOURCES[kind].version for kind in lacking}):
            yield f"Google's resources in {site.namespace}", partial(_served, site, version)
        if release.kept:
            return
        # an object can only be tried in a namespace that is there
        there = "Namespace" in site.before.objects
        if there:
            deployment = workload.deployment(site.wanted, site.place, release)
            yield (
                f"a pod in {site.namespace}",
                partial(_room, site, release.id, manifests, deployment),
            )
            manifests = [*manifests, deployment]
        for manifest in manifests:
            if there or manifest["kind"] == "Namespace":
                yield (
                    f"whether {site.namespace} would take the {manifest['kind']}",
                    partial(_dry_run, site, manifest),
                )


def _served(site: Site, version: str) -> Iterator[Finding]:
    if site.kube.find(f"apis/{version}") is None:
        yield bad(
            f"the cluster knows nothing of {version}: its add-on for HTTP load balancing is off",
            "gcloud container clusters update <cluster> --update-addons HttpLoadBalancing=ENABLED, "
            "or gke_ingress: false",
        )


def _dry_run(site: Site, manifest: Manifest) -> Iterator[Finding]:
    """The API server's own judgement: schema, admission, and who else manages the object."""
    try:
        site.kube.apply(manifest, names.MANAGER, force=site.wanted.take_over, dry_run=True)
    except Refused as error:
        if error.transient or error.code == 401:
            raise
        # in a place that is new, an object may need another one that is not there yet
        if error.code in (403, 404) and error.reason != "Forbidden":
            return
        yield Finding(refusal(site, manifest, error).problems[0])


def _room(
    site: Site, release: str, manifests: Sequence[Manifest], deployment: Manifest
) -> Iterator[Finding]:
    """By the namespace's quotas; and where those don't forbid it, by trying."""
    try:
        found = [*quota.of_namespace(site, release, manifests)]
    except Refused as error:
        if error.code != 403:
            raise
        found = [Finding(unchecked=f"the quotas of {site.namespace}")]
    yield from found
    if not any(f.problem for f in found):
        yield from _pod(site, deployment)


def _pod(site: Site, deployment: Manifest) -> Iterator[Finding]:
    """A Deployment is taken whatever its pods are: quotas, limits and policies judge those."""
    if "ServiceAccount" not in site.before.objects:
        return
    template = deployment["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "generateName": f"{site.wanted.name}-"},
        "spec": template["spec"],
    }
    try:
        site.kube.ask(path("Pod", site.namespace), pod, {"dryRun": "All"})
    except Refused as error:
        told = error.message.lower()
        if error.code == 403 and ("exceeded quota" in told or "violates" in told):
            yield bad(
                f"{site.namespace} would not take another pod: {error.message}",
                "ask for more, or lower cpu_count or gcp_memory",
            )
        elif error.code == 422:
            yield bad(f"{site.namespace} would not take a pod: {error.message}", None)
        elif error.transient or error.code == 401:
            raise


def sizes(release: Release) -> Iterator[Finding]:
    """What Kubernetes' limits say of the secrets. Pure."""
    size = sum(
        len(s.name) + len(s.reveal().encode("utf-8", "surrogateescape")) for s in release.secrets
    )
    if size > LARGEST_SECRET:
        yield bad(
            f"the secrets have {size} bytes together; Kubernetes allows {LARGEST_SECRET}",
            "leave the largest in a file or a store that the service reads",
        )
