"""Each step as calls, and how its effect is taken back. Doing either twice does no harm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Release, Step
from pymacaron_ci.targets import artifact_registry
from pymacaron_ci.targets.artifact_registry import CreateRepository
from pymacaron_ci.targets.cloud_run import bodies, names, planning
from pymacaron_ci.targets.cloud_run.api import Api, OperationFailed, Patch
from pymacaron_ci.targets.cloud_run.invokers import set_public
from pymacaron_ci.targets.cloud_run.planning import Seen
from pymacaron_ci.targets.cloud_run.proof import Proof
from pymacaron_ci.targets.cloud_run.state import Revision, Service, of_release
from pymacaron_ci.targets.cloud_run.steps import (
    AddRevision,
    AskFirst,
    CreateService,
    MarkProven,
    RestoreTraffic,
    SetAccess,
    ShiftTraffic,
)
from pymacaron_ci.targets.cloud_run.wanted import Wanted


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a step left behind: the service now, and the revision it is about."""

    service: Service | None = None
    revision: str = ""
    note: str = ""

    @property
    def url(self) -> str | None:
        """Where the revision answers: its tag's URL until it has all requests."""
        if self.service is None:
            return None
        tag = next((t for t, r in self.service.our_tags.items() if r == self.revision), None)
        if tag and self.service.traffic.get(self.revision) != 100:
            return self.service.tag_uris.get(tag) or None
        return self.service.uri


class Changes:
    """`before` is always the service as the plan saw it."""

    def __init__(
        self, api: Api, wanted: Wanted, proof: Proof, leads_to: Callable[[str, str], str]
    ) -> None:
        self._leads_to = leads_to
        self._api = api
        self._wanted = wanted
        self._proof = proof
        self._pinned: Wanted | None = None
        self._ours: dict[str, str] = {}

    def make(self, step: Step, release: Release, before: Seen) -> Made:
        match step:
            case CreateRepository():
                return self._create_repository(step)
            case AskFirst():
                return self._ask_first(step, release, before)
            case CreateService():
                return self._create(step, release)
            case AddRevision():
                return self._add(step, release, before)
            case ShiftTraffic():
                return self._shift(step, release, before)
            case SetAccess():
                return self._set_access(step, release)
            case RestoreTraffic():
                return self._restore(step, before)
            case MarkProven():
                return self._mark_proven(step, release)
        raise TypeError(f"not a step of Cloud Run: {step!r}")

    def take_back(self, step: Step, before: Seen) -> None:
        match step:
            case CreateService() | AddRevision() | ShiftTraffic():
                self._withdraw(step.service, before)
            case SetAccess():
                self._restore_access(step, before)

    def _create_repository(self, step: CreateRepository) -> Made:
        if self._wanted.repository:
            session = self._api.session
            artifact_registry.create(session, self._wanted.repository, self._api.progress)
        return Made(note=step.name)

    def _ask_first(self, step: AskFirst, release: Release, before: Seen) -> Made:
        name = step.service
        if before.service is None:
            self._api.validate_creation(name, self._creation(name, release))
        elif not _adoptable(before.revisions, release):
            revision = names.revision(name, release.id, [r.name for r in before.revisions])
            self._api.validate(name, {"template": self._template(name, release, revision)})
        return Made()

    def _create(self, step: CreateService, release: Release) -> Made:
        name = step.service
        body = self._creation(name, release)
        revision = self._ours[name] = names.revision(name, release.id)

        def is_ours(service: Service) -> bool:
            return service.candidate == revision and not service.proven

        try:
            service = self._api.create(name, body, is_ours)
        except OperationFailed as error:
            raise self._failed(name, revision, str(error), Seen()) from error
        self._require_ready(name, revision, Seen())
        return Made(service=service, revision=revision)

    def _add(self, step: AddRevision, release: Release, before: Seen) -> Made:
        name, sent = step.service, ""

        def intent(service: Service) -> Patch | None:
            nonlocal sent
            revisions = self._api.revisions(name)
            if sent and service.candidate == sent:
                # it arrived, whether we were told or not: never a second one in its place
                _require_started(revisions, sent)
                return None
            adopted = _adoptable(revisions, release)
            chosen = adopted or names.revision(name, release.id, [r.name for r in revisions])
            self._ours[name] = chosen
            shares = service.traffic if chosen in service.traffic else before.stable
            tags = {**service.foreign_tags, names.tag(name, release.id): chosen}
            if step.all_requests or not shares:
                shares, tags = {chosen: 100}, service.foreign_tags
            fields: dict[str, Any] = {
                "traffic": bodies.traffic(shares, tags),
                "annotations": bodies.candidate_marks(service, chosen, before.stable),
            }
            if adopted is None:
                fields["template"] = self._template(name, release, chosen)
                fields["client"] = names.MANAGED_BY
                sent = chosen
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
            raise self._failed(name, self._ours[name], str(error), before) from error
        chosen = self._ours[name]
        self._require_ready(name, chosen, before)
        return Made(service=service, revision=chosen, note=f"revision {chosen}")

    def _shift(self, step: ShiftTraffic, release: Release, before: Seen) -> Made:
        name = step.service
        revision = self._revision_of(name, release)
        shares = planning.split(before.stable or {}, revision, step.percent)

        def intent(service: Service) -> Patch | None:
            if dict(service.traffic) == shares and not service.follows_latest:
                return None
            return Patch({"traffic": bodies.traffic(shares, service.tags)})

        service = self._api.change(name, intent, what=f"moving requests of {name}")
        told = ", ".join(f"{percent} % {r}" for r, percent in shares.items())
        return Made(service=service, revision=revision, note=told)

    def _set_access(self, step: SetAccess, release: Release) -> Made:
        service = self._access(
            step.service,
            public=step.public,
            ingress=step.ingress,
            check_callers=step.check_callers or not step.public,
        )
        return Made(service=service, revision=self._revision_of(step.service, release))

    def _restore(self, step: RestoreTraffic, before: Seen) -> Made:
        service = self._withdraw(step.service, before, always=True)
        if service is None:
            raise DeployError(f"the service {step.service} is gone", hint="run this again")
        revision = max(service.traffic, key=lambda name: service.traffic[name], default="")
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
        live_url = self._wanted.live_url if self._wanted.place(name) == "live" else ""
        return Made(
            service=service,
            revision=next(iter(service.traffic), ""),
            note=self._leads_to(live_url, release.id) if live_url else "",
        )

    def _withdraw(self, name: str, before: Seen, *, always: bool = False) -> Service | None:
        """Takes our candidate's requests, tag and mark away; a service we alone made goes whole.

        What somebody else has begun, or sent elsewhere, in the meantime stays as it is.
        """
        service = self._api.service(name)
        mine = self._ours.get(name, "")
        if service is None or not (always or service.candidate == mine):
            return service
        if before.stable is None:
            if Seen(service=service, revisions=self._api.revisions(name)).ours_alone:
                self._api.delete(name)
            return None

        def intent(service: Service) -> Patch | None:
            if not always and service.candidate != mine:
                return None
            served = always or service.candidate in service.traffic
            shares = (before.stable or {}) if served else service.traffic
            done = (
                dict(service.traffic) == dict(shares)
                and not service.our_tags
                and service.candidate is None
                and not service.follows_latest
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
        self._access(
            step.service,
            public=before.public if before.public is not None else step.public,
            ingress=before.service.ingress,
            check_callers=not before.service.invoker_iam_disabled,
            guarded=False,
        )

    def _access(
        self, name: str, *, public: bool, ingress: str, check_callers: bool, guarded: bool = True
    ) -> Service:
        def intent(service: Service) -> Patch | None:
            if service.ingress == ingress and service.invoker_iam_disabled != check_callers:
                return None
            return Patch({"ingress": ingress, "invokerIamDisabled": not check_callers})

        service = self._api.change(
            name, intent, what=f"changing who may call {name}", guarded=guarded
        )
        if check_callers:
            set_public(self._api, name, public)
        return service

    def _revision_of(self, name: str, release: Release) -> str:
        """The one that this run added; in a run that found it there, the newest that works."""
        if name in self._ours:
            return self._ours[name]
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
            raise self._failed(name, revision, message, before)

    def _failed(self, name: str, revision: str, message: str, before: Seen) -> DeployError:
        """Why the revision failed; it has no tag any more when this returns."""
        failure = self._proof.failure(name, revision, message)
        self._withdraw(name, before)
        return failure

    def _creation(self, name: str, release: Release) -> dict[str, Any]:
        revision = names.revision(name, release.id)
        return bodies.creation(self._with_pins(), self._wanted.place(name), release, revision)

    def _template(self, name: str, release: Release, revision: str) -> dict[str, Any]:
        return bodies.template(self._with_pins(), self._wanted.place(name), release, revision)

    def _with_pins(self) -> Wanted:
        """Secrets by the number of their version: `latest` would change under a running release."""
        if self._pinned is None:
            pinned = {n: self._api.pinned(s) for n, s in self._wanted.secrets.items()}
            self._pinned = replace(self._wanted, secrets=pinned)
        return self._pinned


def _require_started(revisions: Sequence[Revision], name: str) -> None:
    """Raises OperationFailed where the container did not start."""
    for revision in revisions:
        if revision.name == name and revision.condition.ready is False:
            raise OperationFailed(revision.condition.message or f"{name} is not ready")


def _adoptable(revisions: Sequence[Revision], release: Release) -> str | None:
    """A revision that an earlier run made of this very image and that did not fail to start."""
    for revision in of_release(revisions, release.id):
        same = release.kept or revision.annotations.get(names.IMAGE) == str(release.image)
        if same and revision.condition.ready is not False:
            return revision.name
    return None
