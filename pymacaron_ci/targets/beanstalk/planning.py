"""From what is there to what is to be done. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Phase, Release, Step
from pymacaron_ci.options import Settings
from pymacaron_ci.targets.beanstalk import names
from pymacaron_ci.targets.beanstalk.cloud import Environment, named
from pymacaron_ci.targets.beanstalk.steps import (
    CreateEnvironment,
    EndEnvironment,
    KeepEnvironment,
    MarkProven,
    PublishVersion,
    SwapNames,
)

STUCK = timedelta(minutes=45)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that a plan is made from. `now` is AWS's clock, for the age of what others began."""

    service: str
    application: str
    bucket: str
    cname: str
    prefix: str
    platform: str
    keep: int
    environments: Sequence[Environment]
    now: datetime | None = None

    @property
    def live(self) -> Environment | None:
        return next((e for e in self.environments if e.cname == self.cname and not e.ending), None)

    @property
    def ours(self) -> list[Environment]:
        """Environments of this service that this tool made, the latest first."""
        mine = [e for e in self.environments if e.tags.get(names.SERVICE) == self.service]
        return sorted(mine, key=lambda e: e.updated, reverse=True)

    @property
    def last_proven(self) -> Environment | None:
        """What to go back to: what the live one replaced, else the latest that was proven."""
        live = self.live
        ready = [e for e in self.ours if e is not live and e.proven and e.ready]
        before = named(ready, live.tags.get(names.PREVIOUS, "")) if live else None
        return before or next(iter(ready), None)

    def of(self, release: Release) -> Environment | None:
        """A release's environment: the live one, else one that is there or coming."""
        mine = [e for e in self.ours if e.tags.get(names.RELEASE) == release.id and not e.ending]
        return next((e for e in mine if e is self.live), next(iter(mine), None))


def empty(settings: Settings) -> Scene:
    """An account in which nothing is, as far as anybody knows."""
    service = settings.name
    prefix = settings.aws_cname_prefix or service
    return Scene(
        service=service,
        application=settings.aws_application or service,
        bucket=settings.docker_bucket,
        cname=prefix,
        prefix=prefix,
        platform=settings.aws_platform_branch,
        keep=settings.aws_keep_environments,
        environments=(),
    )


def phases(scene: Scene, release: Release) -> tuple[Phase, ...]:
    """The way from the scene to the release being live and proven."""
    live, mine = scene.live, scene.of(release)
    if live and mine is live and mine.proven:
        tidying = _leftovers(scene, {mine.name}, former=None)
        return (Phase(name="finish", steps=tidying, proof="none"),) if tidying else ()
    if release.kept and mine is None:
        raise DeployError(
            f"the environment of release {release.id} is not there any more",
            hint="check out its commit and deploy it again",
        )
    _refuse_company(scene, mine)
    if live is None:
        return _first(scene, release)
    if mine is live:
        return _prove_what_is_live(scene, release, mine)
    return _blue_green(scene, release, live, mine)


def _first(scene: Scene, release: Release) -> tuple[Phase, ...]:
    """Nobody has the live name: the new environment takes it at once."""
    if release.kept:
        raise DeployError(
            "no environment has the live name, so none can be given to a former one",
            hint="deploy: a new environment takes it",
        )
    taken = [e.name for e in scene.environments]
    name, _ = names.candidate(scene.service, scene.prefix, release.id, taken)
    create = CreateEnvironment(
        name=name, release=release.id, cname_prefix=scene.prefix, platform=scene.platform
    )
    return (
        Phase(name="live", steps=(_publish(scene), create)),
        _finish(scene, name, former=None),
    )


def _prove_what_is_live(scene: Scene, release: Release, mine: Environment) -> tuple[Phase, ...]:
    """A run died after the live name was given away and before the proof: prove it, or go back."""
    former = scene.last_proven
    previous = former.name if former else None
    create = CreateEnvironment(
        name=mine.name,
        release=release.id,
        cname_prefix=scene.prefix,
        platform=scene.platform,
        previous=previous,
    )
    steps: tuple[Step, ...] = (create,)
    if previous:
        steps = (create, SwapNames(live=previous, candidate=mine.name, cname=scene.cname))
    return (
        Phase(name="live", steps=(_publish(scene), *steps)),
        _finish(scene, mine.name, former=previous),
    )


def _blue_green(
    scene: Scene, release: Release, live: Environment, mine: Environment | None
) -> tuple[Phase, ...]:
    steps: tuple[Step, ...]
    if mine and (release.kept or mine.proven):
        name, steps = mine.name, (KeepEnvironment(name=mine.name),)
    else:
        # An environment that is being ended keeps its name for some minutes: it is waited for.
        taken = [e.name for e in scene.environments if e.tags.get(names.RELEASE) != release.id]
        name, prefix = names.candidate(scene.service, scene.prefix, release.id, taken)
        if mine:
            name = mine.name
        create = CreateEnvironment(
            name=name,
            release=release.id,
            cname_prefix=prefix,
            platform=scene.platform,
            previous=live.name,
        )
        steps = (_publish(scene), create)
    swap = SwapNames(live=live.name, candidate=name, cname=scene.cname)
    return (
        Phase(name="candidate", steps=steps),
        Phase(name="live", steps=(swap,)),
        _finish(scene, name, former=live.name),
    )


def _publish(scene: Scene) -> PublishVersion:
    return PublishVersion(application=scene.application, bucket=scene.bucket)


def _finish(scene: Scene, name: str, *, former: str | None) -> Phase:
    steps = (MarkProven(name=name), *_leftovers(scene, {name}, former))
    return Phase(name="finish", steps=steps, proof="none")


def _leftovers(scene: Scene, used: set[str], former: str | None) -> tuple[EndEnvironment, ...]:
    """What the policy ends: all of ours but the live one and the `keep` latest to go back to."""
    others = [e for e in scene.ours if e.name not in used and not e.ending]
    past = [e for e in others if e.name == former] + [
        e for e in others if e.name != former and e.proven
    ]
    # A live environment that somebody else made counts as one to go back to, and is never ended.
    foreign = former is not None and former not in {e.name for e in scene.ours}
    kept = {e.name for e in past[: max(0, scene.keep - foreign)]}
    return tuple(
        EndEnvironment(name=e.name, drained=e.name == former) for e in others if e.name not in kept
    )


def _refuse_company(scene: Scene, mine: Environment | None) -> None:
    """Another release on its way means that somebody else is deploying right now."""
    for environment in scene.ours:
        under_way = environment.status in ("Launching", "Aborting")
        stuck = scene.now is not None and scene.now - environment.updated > STUCK
        if environment is mine or not under_way or stuck:
            continue
        run = environment.tags.get(names.RUN)
        raise DeployError(
            f"another deployment is under way: environment {environment.name} (release "
            f"{environment.tags.get(names.RELEASE)}) is {environment.status}"
            + (f", made by {run}" if run else ""),
            hint="wait until it is done and run the same command again; if that run is dead: "
            f"aws elasticbeanstalk terminate-environment --environment-name {environment.name}",
        )
