"""The target gke: what is there, what is left to do, and the way back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pymacaron_ci.config import Config
from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Change, Live, Phase, Plan, Release, Step, Verdict
from pymacaron_ci.targets import artifact_registry
from pymacaron_ci.targets.artifact_registry import CreateRepository
from pymacaron_ci.targets.gcp import GoogleSession
from pymacaron_ci.targets.gke import planning
from pymacaron_ci.targets.gke.access import Clusters
from pymacaron_ci.targets.gke.changes import Changes
from pymacaron_ci.targets.gke.client import Kubernetes
from pymacaron_ci.targets.gke.preflight import Preflight
from pymacaron_ci.targets.gke.proof import Proof
from pymacaron_ci.targets.gke.refusals import Refused
from pymacaron_ci.targets.gke.site import Site
from pymacaron_ci.targets.gke.steps import MarkProven, SpotStep
from pymacaron_ci.targets.gke.wanted import Place, Wanted, wanted
from pymacaron_ci.targets.gke.watch import Watch

TARGET = "gke"
OLDEST = (1, 25)


class Gke:
    """Implements targets.Target.

    `session`: Google's, for a cluster of Kubernetes Engine. `leads_to`: asks whether a URL leads to
    a release, and says what is wrong if not; in a simulation nobody is asked. `patience`: how much
    of the usual time a pod has to get out of trouble.
    """

    def __init__(
        self,
        config: Config | Wanted,
        clusters: Clusters,
        *,
        session: GoogleSession | None = None,
        leads_to: Callable[[str, str], str] = lambda _url, _release: "",
        progress: Callable[[str], None] = lambda _: None,
        patience: float = 1,
    ) -> None:
        self._wanted = config if isinstance(config, Wanted) else wanted(config)
        self._clusters = clusters
        self._session = session
        self._progress = progress
        watch = Watch(progress=progress, patience=patience)
        self._changes = Changes(watch)
        self._proof = Proof(watch, leads_to)
        self._open: dict[str, Kubernetes] = {}
        self._sites: dict[Place, Site] = {}
        self._release: Release | None = None

    def plan(self, release: Release) -> Plan:
        self._release = release
        live, staging = self._site("live"), self._site("staging")
        sites = (live,) if release.kept else (live, staging)
        preflight = Preflight(wanted=self._wanted, sites=sites, session=self._session)
        try:
            seen, *_ = [site.look(release) for site in sites]
        except Refused as error:
            if error.code != 403:
                raise
            raise DeployError(problems=preflight.lacking(release) or error.problems) from error
        phases = planning.phases(self._wanted, release, seen)
        findings = preflight.findings(release) if phases else []
        problems = [f.problem for f in findings if f.problem]
        if problems:
            raise DeployError(problems=problems)
        unchecked = sorted({f.unchecked for f in findings if f.unchecked})
        return Plan(
            target=TARGET,
            release=release,
            prepare=tuple(
                CreateRepository(name=f.create_repository) for f in findings if f.create_repository
            ),
            phases=phases,
            current=seen.serving,
            url=self._proof.public_url(live),
            notes=(
                *dict.fromkeys(self._clusters.notes),
                *planning.notes(self._wanted, seen),
                *(f.note for f in findings if f.note),
                *([f"not checked, we may not look: {', '.join(unchecked)}"] if unchecked else []),
            ),
        )

    def live(self) -> Live:
        site = self._site("live")
        seen = site.look()
        if seen.deployment is None:
            where = self._wanted.live
            return Live(
                release=None, details=(f"there is no Deployment {self._wanted.name} in {where}",)
            )
        status = seen.deployment.get("status") or {}
        serving = seen.release_running
        return Live(
            release=serving,
            url=self._proof.public_url(site),
            proof_url=self._proof.own_url(site),
            previous=seen.previous,
            proven=not seen.unproven,
            details=(
                f"{status.get('availableReplicas', 0)} of {status.get('replicas', 0)} pods in "
                f"{self._wanted.live} are available",
            ),
        )

    def apply(self, step: Step, release: Release) -> Change:
        if isinstance(step, CreateRepository):
            if self._session and self._wanted.repository:
                artifact_registry.create(self._session, self._wanted.repository, self._progress)
            return Change(step=step, note=step.name)
        assert isinstance(step, SpotStep)  # noqa: S101  (planning makes no others)
        site = self._site(step.place)
        note = self._changes.make(step, release, site)
        if isinstance(step, MarkProven) and step.place == "live":
            note = self._proof.where_live_url_leads(site, release.id)
        return Change(step=step, note=note)

    def verify(self, phase: Phase, changes: Sequence[Change]) -> Verdict:
        steps = [c.step for c in changes if isinstance(c.step, SpotStep)]
        if not steps or self._release is None:
            return Verdict(ok=False, reason=f"nothing was done in the phase {phase.name}")
        site = self._site(steps[-1].place)
        return self._proof.verify(phase, site, self._release.id)

    def rollback(self, change: Change) -> None:
        """What was there before is remembered from `plan`; what a step did, the cluster tells."""
        step = change.step
        if isinstance(step, SpotStep) and self._release is not None:
            self._changes.take_back(step, self._release, self._site(step.place))

    def close(self) -> None:
        """Ends what serves on loopback; else the process' end does."""
        self._proof.close()

    def _site(self, place: Place) -> Site:
        if place not in self._sites:
            spot = self._wanted.spot(place)
            kube = self._open.get(spot.cluster)
            if kube is None:
                kube = self._clusters.open(spot.cluster)
                require_version(kube.version())
                self._open[spot.cluster] = kube
            self._sites[place] = Site(kube, self._wanted, place, self._progress)
        return self._sites[place]


def require_version(told: str) -> None:
    """Raises DeployError for a Kubernetes that doesn't know what it would be sent."""
    found = re.match(r"v?(\d+)\.(\d+)", told)
    if found and (int(found[1]), int(found[2])) < OLDEST:
        raise DeployError(
            f"the cluster runs Kubernetes {told}; {OLDEST[0]}.{OLDEST[1]} is the oldest that is "
            "supported",
            hint="upgrade its control plane",
        )
