"""The target gcp-cloud-run: from a step to Cloud Run's calls, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pymacaron_ci.config import Config
from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Change, Live, Phase, Plan, Release, Step, Verdict
from pymacaron_ci.targets.cloud_run import bodies, names, planning
from pymacaron_ci.targets.cloud_run.api import Api, OperationFailed, Patch
from pymacaron_ci.targets.cloud_run.planning import Seen
from pymacaron_ci.targets.cloud_run.proof import Proof
from pymacaron_ci.targets.cloud_run.state import Revision, Service, of_release
from pymacaron_ci.targets.cloud_run.steps import (
    AddRevision,
    CreateService,
    MarkProven,
    RestoreTraffic,
    ServiceStep,
    SetAccess,
    ShiftTraffic,
)
from pymacaron_ci.targets.cloud_run.wanted import Wanted, wanted
from pymacaron_ci.targets.gcp import GoogleSession

TARGET = "gcp-cloud-run"


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a step left behind: the service now, and the revision it is about."""

    service: Service
    revision: str
    note: str = ""


class CloudRun:
    """Implements targets.Target. `project`: what to use where the configuration names none."""

    def __init__(
        self,
        config: Config | Wanted,
        session: GoogleSession,
        *,
        project: str | None = None,
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
        self._seen: dict[str, Seen] = {}

    def plan(self, release: Release) -> Plan:
        live, staging = self._look(self._wanted.live), self._look(self._wanted.staging)
        return Plan(
            target=TARGET,
            release=release,
            phases=planning.phases(self._wanted, release, live, staging),
            current=live.serving,
            url=live.service.uri if live.service else None,
            notes=planning.notes(self._wanted, live),
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
        )

    def apply(self, step: Step, release: Release) -> Change:
        match step:
            case CreateService():
                made = self._create(step, release)
            case AddRevision():
                made = self._add(step, release)
            case ShiftTraffic():
                made = self._shift(step, release)
            case SetAccess():
                made = self._set_access(step, release)
            case RestoreTraffic():
                made = self._restore(step)
            case MarkProven():
                made = self._mark_proven(step, release)
            case _:
                raise TypeError(f"not a step of {TARGET}: {step!r}")
        return Change(step=step, undo={"revision": made.revision}, note=made.note, url=_url(made))

    def verify(self, phase: Phase, changes: Sequence[Change]) -> Verdict:
        return self._proof.verify(phase, changes)

    def rollback(self, change: Change) -> None:
        """What was there before is remembered from `plan`; what a step did, the cloud tells."""
        step = change.step
        if not isinstance(step, ServiceStep):
            raise TypeError(f"not a step of {TARGET}: {step!r}")
        before = self._seen.get(step.service, Seen())
        match step:
            case CreateService() | AddRevision() | ShiftTraffic():
                self._withdraw(step.service, before)
            case SetAccess():
                self._restore_access(step, before)

    def _look(self, name: str) -> Seen:
        service = self._api.observe(name)
        seen = Seen()
        if service is not None:
            seen = Seen(
                service=service,
                revisions=self._api.revisions(name),
                public=self._api.is_public(service),
            )
        self._seen[name] = seen
        return seen

    def _create(self, step: CreateService, release: Release) -> Made:
        name = step.service
        revision = names.revision(name, release.id)
        body = bodies.creation(self._wanted, self._wanted.place(name), release, revision)

        def is_ours(service: Service) -> bool:
            return service.labels.get(names.LABEL_RELEASE) == names.label(release.id)

        try:
            service = self._api.create(name, body, is_ours)
        except OperationFailed as error:
            failure = self._proof.failure(name, revision, str(error))
            self._withdraw(name, Seen())
            raise failure from error
        self._require_ready(name, revision, Seen())
        return Made(service=service, revision=revision)

    def _add(self, step: AddRevision, release: Release) -> Made:
        name = step.service
        before = self._seen.get(name, Seen())
        chosen = ""

        def intent(service: Service) -> Patch | None:
            nonlocal chosen
            revisions = self._api.revisions(name)
            adopted = _adoptable(revisions, release)
            chosen = adopted or names.revision(name, release.id, [r.name for r in revisions])
            shares = service.traffic if chosen in service.traffic else before.stable
            tags = {**service.foreign_tags, names.tag(name, release.id): chosen}
            if step.all_requests or not shares:
                shares, tags = {chosen: 100}, service.foreign_tags
            fields = {
                "traffic": bodies.traffic(shares, tags),
                "annotations": bodies.candidate_marks(service, chosen, before.stable),
            }
            if adopted is None:
                place = self._wanted.place(name)
                fields["template"] = bodies.template(self._wanted, place, release, chosen)
                fields["client"] = names.MANAGED_BY
                return Patch(fields)
            done = (
                dict(service.traffic) == dict(shares)
                and service.tags == tags
                and service.candidate == chosen
                and not service.follows_latest
            )
            return None if done else Patch(fields)

        try:
            service = self._api.change(name, intent, what=f"adding a revision to {name}")
        except OperationFailed as error:
            failure = self._proof.failure(name, chosen, str(error))
            self._withdraw(name, before)
            raise failure from error
        self._require_ready(name, chosen, before)
        return Made(service=service, revision=chosen, note=f"revision {chosen}")

    def _shift(self, step: ShiftTraffic, release: Release) -> Made:
        name = step.service
        before = self._seen.get(name, Seen())
        revision = self._revision_of(name, release)
        shares = planning.split(before.stable or {}, revision, step.percent)

        def intent(service: Service) -> Patch | None:
            if dict(service.traffic) == shares:
                return None
            return Patch({"traffic": bodies.traffic(shares, service.tags)})

        service = self._api.change(name, intent, what=f"moving requests of {name}")
        told = ", ".join(f"{percent} % {r}" for r, percent in shares.items())
        return Made(service=service, revision=revision, note=told)

    def _set_access(self, step: SetAccess, release: Release) -> Made:
        service = self._apply_access(step.service, public=step.public, ingress=step.ingress)
        return Made(service=service, revision=self._revision_of(step.service, release))

    def _restore(self, step: RestoreTraffic) -> Made:
        before = self._seen.get(step.service, Seen())
        service = self._withdraw(step.service, before, always=True)
        if service is None:
            raise DeployError(f"the service {step.service} is gone", hint="run this again")
        revision = max(service.traffic, key=lambda name: service.traffic[name], default="")
        self._seen[step.service] = replace(before, service=service)
        return Made(service=service, revision=revision)

    def _mark_proven(self, step: MarkProven, release: Release) -> Made:
        name = step.service

        def intent(service: Service) -> Patch | None:
            fields = {
                "annotations": bodies.proven_marks(service, service.traffic),
                "labels": bodies.service_labels(self._wanted, service, release),
                "traffic": bodies.traffic(service.traffic, service.foreign_tags),
            }
            done = (
                fields["annotations"] == service.annotations
                and fields["labels"] == service.labels
                and not service.our_tags
            )
            return None if done else Patch(fields)

        service = self._api.change(name, intent, what=f"marking {name} as proven")
        return Made(service=service, revision=next(iter(service.traffic), ""))

    def _withdraw(self, name: str, before: Seen, *, always: bool = False) -> Service | None:
        """Takes our candidate's requests, tag and mark away; a service we alone made goes whole.

        Requests that somebody else has sent elsewhere in the meantime stay where they are.
        """
        service = self._api.service(name)
        if service is None:
            return None
        now = Seen(service=service, revisions=self._api.revisions(name))
        if before.stable is None:
            if now.ours_alone:
                self._api.delete(name)
            return None

        def intent(service: Service) -> Patch | None:
            stable = before.stable or {}
            ours = always or service.candidate in service.traffic
            shares = stable if ours else service.traffic
            done = (
                dict(service.traffic) == dict(shares)
                and not service.our_tags
                and service.candidate is None
                and not (always and service.follows_latest)
            )
            if done:
                return None
            return Patch(
                {
                    "traffic": bodies.traffic(shares, service.foreign_tags),
                    "annotations": bodies.service_marks(service, candidate=None),
                }
            )

        return self._api.change(
            name, intent, what=f"putting the requests of {name} back", guarded=False
        )

    def _restore_access(self, step: SetAccess, before: Seen) -> None:
        if before.service is None or self._api.service(step.service) is None:
            return
        public = before.public if before.public is not None else step.public
        self._apply_access(
            step.service, public=public, ingress=before.service.ingress, guarded=False
        )

    def _apply_access(
        self, name: str, *, public: bool, ingress: str, guarded: bool = True
    ) -> Service:
        def intent(service: Service) -> Patch | None:
            opens = service.invoker_iam_disabled and not public
            if service.ingress == ingress and not opens:
                return None
            return Patch({"ingress": ingress, "invokerIamDisabled": False})

        service = self._api.change(
            name, intent, what=f"changing who may call {name}", guarded=guarded
        )
        if not service.invoker_iam_disabled:
            self._api.set_public(name, public)
        return service

    def _revision_of(self, name: str, release: Release) -> str:
        found = of_release(self._api.revisions(name), release.id)
        works = [r.name for r in found if r.condition.ready is not False]
        if not works:
            raise DeployError(
                f"the revision of release {release.id} is gone from {name}", hint="run this again"
            )
        return works[0]

    def _require_ready(self, name: str, revision: str, before: Seen) -> None:
        """Cloud Run may take a change and find out afterwards that the container does not start."""
        found = self._api.revision(name, revision)
        if found is None or found.condition.ready is False:
            message = found.condition.message if found else f"the revision {revision} is gone"
            failure = self._proof.failure(name, revision, message)
            self._withdraw(name, before)
            raise failure


def _adoptable(revisions: Sequence[Revision], release: Release) -> str | None:
    """A revision that an earlier run made of this very image and that did not fail to start."""
    for revision in of_release(revisions, release.id):
        same = release.kept or revision.annotations.get(names.IMAGE) == str(release.image)
        if same and revision.condition.ready is not False:
            return revision.name
    return None


def _url(made: Made) -> str | None:
    tags = {revision: tag for tag, revision in made.service.our_tags.items()}
    tag = tags.get(made.revision)
    whole = made.service.traffic.get(made.revision) == 100
    if tag and not whole:
        return made.service.tag_uris.get(tag) or None
    return made.service.uri
