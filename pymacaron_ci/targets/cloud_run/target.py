"""The target gcp-cloud-run: what is there, what is left to do, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pymacaron_ci.config import Config
from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Change, Live, Phase, Plan, Release, Step, Verdict
from pymacaron_ci.targets.artifact_registry import CreateRepository
from pymacaron_ci.targets.cloud_run import planning
from pymacaron_ci.targets.cloud_run.api import Api
from pymacaron_ci.targets.cloud_run.changes import Changes
from pymacaron_ci.targets.cloud_run.invokers import FORBIDDEN, is_public
from pymacaron_ci.targets.cloud_run.planning import Seen
from pymacaron_ci.targets.cloud_run.preflight import Preflight
from pymacaron_ci.targets.cloud_run.proof import Proof
from pymacaron_ci.targets.cloud_run.steps import ServiceStep, SetAccess
from pymacaron_ci.targets.cloud_run.wanted import Wanted, wanted
from pymacaron_ci.targets.gcp import ApiError, GoogleSession
from pymacaron_ci.targets.preflight import Finding

TARGET = "gcp-cloud-run"


class CloudRun:
    """Implements targets.Target.

    `project`: what to use where the configuration names none. `leads_to`: asks whether a URL leads
    to a release, and says what is wrong if not; in a simulation nobody is asked.
    """

    def __init__(
        self,
        config: Config | Wanted,
        session: GoogleSession,
        *,
        project: str | None = None,
        leads_to: Callable[[str, str], str] = lambda _url, _release: "",
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._wanted = config if isinstance(config, Wanted) else wanted(config, project)
        self._api = Api(
            session,
            self._wanted,
            progress=progress,
            write_timeout=self._wanted.startup_seconds + 360,
        )
        self._proof = Proof(self._api, self._wanted, progress)
        self._changes = Changes(self._api, self._wanted, self._proof, leads_to)
        self._preflight = Preflight(api=self._api, wanted=self._wanted)
        self._seen: dict[str, Seen] = {}

    def plan(self, release: Release) -> Plan:
        live, staging, findings = self._survey(release)
        phases = planning.phases(self._wanted, release, live, staging)
        opens = any(isinstance(s, SetAccess) and s.public for p in phases for s in p.steps)
        problems = [
            f.problem for f in findings if f.problem and (opens or f.problem is not FORBIDDEN)
        ]
        if problems:
            raise DeployError(problems=problems)
        unchecked = [f.unchecked for f in findings if f.unchecked]
        return Plan(
            target=TARGET,
            release=release,
            prepare=tuple(
                CreateRepository(name=f.create_repository) for f in findings if f.create_repository
            ),
            phases=phases,
            current=live.serving,
            url=live.service.uri if live.service else None,
            notes=(
                *planning.notes(self._wanted, live),
                *([f"not checked, we may not look: {', '.join(unchecked)}"] if unchecked else []),
            ),
        )

    def live(self) -> Live:
        seen = self._look(self._wanted.live)
        if seen.service is None:
            return Live(release=None, details=(f"there is no service {self._wanted.live}",))
        return Live(
            release=seen.serving,
            url=seen.service.uri,
            previous=seen.previous,
            proven=bool(seen.service.proven) and seen.service.traffic == seen.service.proven,
            details=tuple(
                f"{percent} % of the requests: {name}"
                for name, percent in seen.service.traffic.items()
            ),
            headers=self._proof.headers(self._wanted.live),
        )

    def apply(self, step: Step, release: Release) -> Change:
        made = self._changes.make(step, release, self._before(step))
        undo = {"revision": made.revision} if made.revision else {}
        return Change(step=step, undo=undo, note=made.note, url=made.url)

    def verify(self, phase: Phase, changes: Sequence[Change]) -> Verdict:
        return self._proof.verify(phase, changes)

    def rollback(self, change: Change) -> None:
        """What was there before is remembered from `plan`; what a step did, the cloud tells."""
        self._changes.take_back(change.step, self._before(change.step))

    def _before(self, step: Step) -> Seen:
        return self._seen.get(step.service, Seen()) if isinstance(step, ServiceStep) else Seen()

    def _survey(self, release: Release) -> tuple[Seen, Seen, list[Finding]]:
        """Both services, and all that stands in the way. Raises what can't be seen at all."""
        wanted = self._wanted
        try:
            live, staging = self._look(wanted.live), self._look(wanted.staging)
        except ApiError as error:
            if error.transient or error.code == 401:
                raise
            problems = [f.problem for f in self._preflight.findings(release) if f.problem]
            raise DeployError(problems=problems or error.problems) from error
        findings = self._preflight.findings(release)
        for name, seen in ((wanted.live, live), (wanted.staging, staging)):
            findings += self._preflight.would_take(release, name, seen)
        return live, staging, findings

    def _look(self, name: str) -> Seen:
        service = self._api.observe(name)
        seen = Seen()
        if service is not None:
            seen = Seen(
                service=service,
                revisions=self._api.revisions(name),
                public=is_public(self._api, service),
            )
        self._seen[name] = seen
        return seen
