"""From what Cloud Run holds to the phases that are left to do. Pure: no call is made here."""

from __future__ import annotations

from dataclasses import dataclass

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Phase, Release, Step
from pymacaron_ci.targets.cloud_run import names
from pymacaron_ci.targets.cloud_run.state import Revision, Service, Traffic, of_release
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
class Seen:
    """One service as it is: `public` is None where we may not ask."""

    service: Service | None = None
    revisions: tuple[Revision, ...] = ()
    public: bool | None = None

    def revision(self, name: str | None) -> Revision | None:
        return next((r for r in self.revisions if r.name == name), None)

    @property
    def serving(self) -> Release | None:
        """The release that gets most of the stable requests, if this tool made it."""
        return self._release_of(self.stable or {})

    @property
    def previous(self) -> Release | None:
        return self._release_of(self.service.previous) if self.service else None

    def _release_of(self, traffic: Traffic) -> Release | None:
        if not traffic:
            return None
        revision = self.revision(max(traffic, key=lambda name: traffic[name]))
        return revision.release if revision else None

    @property
    def stable(self) -> Traffic | None:
        """The traffic to go back to. None: nothing here ever worked.

        What serves now, whoever arranged it; but where a run died with requests on its unproven
        revision, the last proven traffic.
        """
        service = self.service
        if service is None:
            return None
        if not service.candidate_serves:
            return service.traffic or None
        if service.proven and all(self.revision(name) for name in service.proven):
            return service.proven
        candidate = self.revision(service.candidate)
        works = candidate is not None and candidate.condition.ready
        return service.traffic if works else None

    @property
    def ours_alone(self) -> bool:
        """Made by a first deployment that was never proven: it may be removed again."""
        return (
            self.service is not None
            and not self.service.proven
            and self.service.candidate is not None
            and all(r.release for r in self.revisions)
        )


def phases(wanted: Wanted, release: Release, live: Seen, staging: Seen) -> tuple[Phase, ...]:
    if release.kept:
        return _bring_back(wanted, release, live)
    mine = {r.name for r in of_release(live.revisions, release.id)}
    if live.service and live.service.proven and set(live.service.proven) <= mine:
        return _settle(wanted, live)
    return (
        *_recovery(live, mine),
        _staging(wanted, staging),
        *_live(wanted, live, mine),
        Phase(
            name="finish",
            # live last: its mark says that nothing is left to do
            steps=(MarkProven(service=wanted.staging), MarkProven(service=wanted.live)),
            proof="none",
        ),
    )


def _settle(wanted: Wanted, live: Seen) -> tuple[Phase, ...]:
    """The release is proven on live: nothing to do, but for what another run left behind."""
    service = live.service
    assert service is not None  # noqa: S101  (the caller looked)
    steps: list[Step] = []
    if dict(service.traffic) != dict(service.proven) or service.follows_latest:
        steps.append(RestoreTraffic(service=wanted.live))
    steps += _access(wanted, wanted.live, live)
    finish = Phase(name="finish", steps=(MarkProven(service=wanted.live),), proof="none")
    if steps:
        return Phase(name="live", steps=tuple(steps)), finish
    return (finish,) if service.our_tags or service.candidate else ()


def _recovery(live: Seen, mine: set[str]) -> tuple[Phase, ...]:
    """Another release's dead run left requests on its revision: they go back before all else."""
    service = live.service
    if service is None or not service.candidate_serves or service.candidate in mine:
        return ()
    if not live.stable or dict(live.stable) == dict(service.traffic):
        return ()
    return (Phase(name="recover", steps=(RestoreTraffic(service=service.name),), proof="none"),)


def _staging(wanted: Wanted, staging: Seen) -> Phase:
    first: Step = AddRevision(service=wanted.staging, all_requests=True)
    if staging.service is None:
        first = CreateService(service=wanted.staging)
    return Phase(
        name="staging",
        steps=(
            AskFirst(service=wanted.live),
            first,
            *_access(wanted, wanted.staging, staging),
        ),
    )


def _live(wanted: Wanted, live: Seen, mine: set[str]) -> tuple[Phase, ...]:
    access = _access(wanted, wanted.live, live)
    if live.service is None:
        return (Phase(name="live", steps=(CreateService(service=wanted.live), *access)),)
    if live.stable is None or (live.ours_alone and set(live.service.traffic) <= mine):
        # nobody's requests depend on what is there
        add = AddRevision(service=wanted.live, all_requests=True)
        return (Phase(name="live", steps=(add, *access)),)
    reached = max((live.service.traffic.get(name, 0) for name in mine), default=0)
    steps = [p for p in wanted.traffic_steps if p >= reached or p == 100]
    candidate = Phase(name="candidate", steps=(AddRevision(service=wanted.live),))
    shifts = [
        Phase(
            name="live" if percent == 100 else f"live at {percent} %",
            steps=(
                *(access if percent == 100 else ()),
                ShiftTraffic(service=wanted.live, percent=percent),
            ),
        )
        for percent in steps
    ]
    return candidate, *shifts


def _bring_back(wanted: Wanted, release: Release, live: Seen) -> tuple[Phase, ...]:
    """A rollback: the release's revision is there still, staging has no part in it."""
    kept = [r for r in of_release(live.revisions, release.id) if r.condition.ready is not False]
    if live.service is None or not kept:
        raise DeployError(
            f"{wanted.live} has no revision of the release {release.id} that works",
            hint="deploy its commit again",
        )
    if {r.name for r in kept} >= set(live.service.proven) and live.service.proven:
        return _settle(wanted, live)
    return (
        Phase(name="candidate", steps=(AddRevision(service=wanted.live),)),
        Phase(name="live", steps=(ShiftTraffic(service=wanted.live, percent=100),)),
        Phase(name="finish", steps=(MarkProven(service=wanted.live),), proof="none"),
    )


def _access(wanted: Wanted, name: str, seen: Seen) -> tuple[Step, ...]:
    step = SetAccess(
        service=name,
        public=wanted.public,
        ingress=wanted.ingress,
        check_callers=wanted.check_callers,
    )
    if seen.service is None:
        # a new service is private and is created with its ingress
        return (step,) if wanted.public else ()
    same = seen.public in (None, wanted.public) and seen.service.ingress == wanted.ingress
    return () if same else (step,)


def split(stable: Traffic, revision: str, percent: int) -> dict[str, int]:
    """`percent` for the revision, the rest among the stable ones in their proportions."""
    others = {name: share for name, share in stable.items() if name != revision}
    rest = 100 - percent if others else 0
    whole = sum(others.values())
    shares = {name: share * rest // whole for name, share in others.items()}
    left = rest - sum(shares.values())
    for name in sorted(others, key=lambda n: others[n] * rest % whole, reverse=True)[:left]:
        shares[name] += 1
    shares[revision] = 100 - sum(shares.values())
    return {name: share for name, share in shares.items() if share}


def notes(wanted: Wanted, live: Seen) -> tuple[str, ...]:
    found: list[str] = []
    service = live.service
    if service and service.candidate:
        revision = live.revision(service.candidate)
        run = revision.annotations.get(names.RUN_URL) if revision else None
        found.append(
            f"a deployment did not end: its revision {service.candidate} is not proven"
            + (f" ({run})" if run else "")
        )
    if service and service.follows_latest:
        found.append(
            f"{service.name} gives its requests to whatever revision is the latest: "
            "from now on they go to revisions by name"
        )
    if wanted.ingress != "INGRESS_TRAFFIC_ALL":
        found.append(
            "gcp_ingress keeps calls from outside out: this job must run where the service can be "
            "reached, or its checks can't"
        )
    return tuple(found)
