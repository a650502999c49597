"""From what the cluster holds to the phases that are left to do. Pure: no call is made here."""

from __future__ import annotations

from collections.abc import Sequence

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Phase, Release, Step
from pymacaron_ci.targets.gke import names, surroundings
from pymacaron_ci.targets.gke.state import Seen, annotations_of, is_ours
from pymacaron_ci.targets.gke.steps import BringBack, MarkProven, Open, Provide, RollOut
from pymacaron_ci.targets.gke.wanted import Place, Wanted
from pymacaron_ci.targets.gke.workload import Manifest

# Made by somebody else, these are theirs: the service does without changing them.
LEFT_ALONE = ("Namespace", "ManagedCertificate", "FrontendConfig", "Ingress")


def phases(wanted: Wanted, release: Release, live: Seen) -> tuple[Phase, ...]:
    if release.kept:
        return _bring_back(wanted, release, live)
    if live.running == live.proven == release.id:
        return ()
    return (
        *_recovery(wanted, release, live),
        Phase(name="staging", steps=_steps(wanted, "staging", release)),
        Phase(name="live", steps=_steps(wanted, "live", release)),
        Phase(name="finish", steps=_finish(wanted, ("staging", "live")), proof="none"),
    )


def _steps(wanted: Wanted, place: Place, release: Release) -> tuple[Step, ...]:
    namespace = wanted.spot(place).namespace
    before = _kinds(surroundings.before_rollout(wanted, place, release))
    after = _kinds(surroundings.after_rollout(wanted, place))
    steps: list[Step] = [
        Provide(place=place, namespace=namespace, kinds=before),
        RollOut(place=place, namespace=namespace),
    ]
    if after:
        steps.append(Open(place=place, namespace=namespace, kinds=after))
    return tuple(steps)


def _finish(wanted: Wanted, places: Sequence[Place]) -> tuple[Step, ...]:
    """Live last: its mark says that nothing is left to do."""
    return tuple(MarkProven(place=p, namespace=wanted.spot(p).namespace) for p in places)


def _recovery(wanted: Wanted, release: Release, live: Seen) -> tuple[Phase, ...]:
    """Another release's dead run left its pods: the proven ones come back before all else."""
    if not live.unproven or live.running == release.id or live.template is None:
        return ()
    namespace = wanted.live.namespace
    back = BringBack(place="live", namespace=namespace, release=live.proven)
    return (Phase(name="recover", steps=(back,), proof="none"),)


def _bring_back(wanted: Wanted, release: Release, live: Seen) -> tuple[Phase, ...]:
    """A rollback: the release's pods are known from the Deployment's history."""
    if live.running == live.proven == release.id:
        return ()
    if live.template_of_release(release.id) is None:
        raise DeployError(
            f"the Deployment {wanted.name} in {wanted.live.namespace} has no release {release.id} "
            "in its history any more",
            hint="deploy its commit again",
        )
    back = BringBack(place="live", namespace=wanted.live.namespace, release=release.id)
    return (
        Phase(name="live", steps=(back,)),
        Phase(name="finish", steps=_finish(wanted, ("live",)), proof="none"),
    )


def to_apply(manifests: Sequence[Manifest], seen: Seen) -> list[Manifest]:
    """What is missing or ours; of the rest what Kubernetes itself may object to."""
    return [
        manifest
        for manifest in manifests
        if manifest["kind"] not in LEFT_ALONE
        or (found := seen.objects.get(manifest["kind"])) is None
        or is_ours(found)
    ]


def notes(wanted: Wanted, live: Seen) -> tuple[str, ...]:
    found: list[str] = []
    if live.unproven:
        run = annotations_of(live.deployment).get(names.RUN_URL)
        found.append(
            f"a deployment did not end: release {live.running} is not proven"
            + (f" ({run})" if run else "")
        )
    if live.deployment and not live.running:
        found.append(
            f"the Deployment {wanted.name} in {wanted.live.namespace} was not made by this tool: "
            "it is taken over"
        )
    found += [
        f"the {kind} {wanted.name} was not made by this tool: it is left as it is"
        for kind, body in live.objects.items()
        if kind in LEFT_ALONE and not is_ours(body)
    ]
    return tuple(found)


def _kinds(manifests: Sequence[Manifest]) -> tuple[str, ...]:
    return tuple(m["kind"] for m in manifests)
