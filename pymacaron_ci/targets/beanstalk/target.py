"""The target aws-beanstalk: from a step to Elastic Beanstalk's calls, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from pymacaron_ci.config import Config
from pymacaron_ci.errors import DeployError, OutOfTime
from pymacaron_ci.model import Change, Live, Phase, Plan, Release, Step, Verdict
from pymacaron_ci.targets.aws import Aws
from pymacaron_ci.targets.beanstalk import names as tags
from pymacaron_ci.targets.beanstalk import option_settings, planning
from pymacaron_ci.targets.beanstalk.cloud import Cloud, Environment
from pymacaron_ci.targets.beanstalk.lifecycle import Lifecycle
from pymacaron_ci.targets.beanstalk.patience import Patience, Waiter
from pymacaron_ci.targets.beanstalk.planning import Scene
from pymacaron_ci.targets.beanstalk.preflight import Found, Preflight
from pymacaron_ci.targets.beanstalk.proof import Proof
from pymacaron_ci.targets.beanstalk.publishing import Published, Publisher
from pymacaron_ci.targets.beanstalk.reach import Names, PublicNames
from pymacaron_ci.targets.beanstalk.steps import (
    CreateEnvironment,
    EndEnvironment,
    KeepEnvironment,
    MarkProven,
    PublishVersion,
    SwapNames,
)
from pymacaron_ci.waiting import Clock, Pending, Ready, SystemClock

TARGET = "aws-beanstalk"


class Beanstalk:
    """Implements targets.Target."""

    def __init__(
        self,
        config: Config,
        aws: Aws,
        *,
        clock: Clock | None = None,
        progress: Callable[[str], None] = lambda _: None,
        names: Names | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._config, self._settings = config, config.settings
        self._service = config.settings.name
        self._application = config.settings.aws_application or self._service
        self._prefix = config.settings.aws_cname_prefix or self._service
        self._names = names or PublicNames()
        self._aws = aws
        self._cloud = Cloud(aws, self._application)
        self._waiter = Waiter(
            clock=clock or SystemClock(), patience=patience or Patience(), progress=progress
        )
        self._publisher = Publisher(self._cloud, self._waiter, self._service, self._application)
        self._lifecycle = Lifecycle(self._cloud, self._waiter, self._service, self._application)
        self._proof = Proof(self._cloud, self._waiter, config.settings.aws_accept_health)
        self._found: Found | None = None
        self._published: Published | None = None
        self._swapped_at: float | None = None

    # --- reading

    def plan(self, release: Release) -> Plan:
        found = Preflight(self._config, self._aws, self._application, self._prefix).run(release)
        self._found, self._published = found, None
        scene = self._scene(found)
        live = scene.live
        self._refuse_foreign_name(scene, found)
        phases = planning.phases(scene, release)
        current = live.release if live else None
        notes = [f"deploying as {found.caller}", *found.notes]
        if live and live.release and not live.proven:
            notes.append(f"what is live now (release {live.release.id}) has not proven itself")
            if live.release.id == release.id:
                former = scene.last_proven
                current = former.release if former else None
        if live and live.release is None:
            notes.append(f"{live.name}, live now, was not made by this tool: it is kept")
        return Plan(
            target=TARGET,
            release=release,
            phases=phases,
            current=current,
            url=self._live_url(found.cname, notes) if live else None,
            notes=tuple(notes),
        )

    def live(self) -> Live:
        answer = self._cloud.call("check_dns_availability", CNAMEPrefix=self._prefix)
        cname = str(answer["FullyQualifiedCNAME"]).lower()
        environments = self._cloud.environments()
        scene = self._scene_of(cname, "", environments, None)
        live, former = scene.live, scene.last_proven
        if live is None:
            return Live(release=None, details=(f"no environment has the name {cname}",))
        details = [
            f"{e.name}: {e.status}, {e.color}, at {e.cname}"
            + (" (live)" if e is live else " (can be put back)" if e is former else "")
            for e in environments
        ]
        return Live(
            release=live.release,
            url=self._live_url(cname, details),
            previous=former.release if former else None,
            proven=live.proven,
            details=tuple(details),
        )

    def _scene(self, found: Found) -> Scene:
        environments = self._cloud.environments()
        return self._scene_of(found.cname, found.platform, environments, found)

    def _scene_of(
        self,
        cname: str,
        platform: str,
        environments: Sequence[Environment],
        found: Found | None,
    ) -> Scene:
        return Scene(
            service=self._service,
            application=self._application,
            bucket=self._settings.docker_bucket,
            cname=cname,
            prefix=self._prefix,
            platform=platform,
            keep=self._settings.aws_keep_environments,
            environments=environments,
            now=found.now if found else None,
        )

    def _refuse_foreign_name(self, scene: Scene, found: Found) -> None:
        ending = any(e.cname == found.cname for e in scene.environments)
        if scene.live is None and not found.cname_free and not ending:
            raise DeployError(
                f"the name {found.cname} belongs to another account or application",
                hint="choose another one: aws_cname_prefix",
            )

    def _live_url(self, cname: str, notes: list[str]) -> str:
        """live_url where it leads to Elastic Beanstalk, else the environment's own name."""
        url = self._names.public(self._config.live_url, cname)
        if url is None:
            notes.append(
                f"{self._config.live_url} does not lead to {cname} (yet): make a DNS record for "
                "it; until then the proof is made at that name"
            )
        return url or self._names.url(cname)

    # --- changing

    def apply(self, step: Step, release: Release) -> Change:
        match step:
            case PublishVersion():
                done = self._publish(release)
                return Change(
                    step=step,
                    undo={"label": done.label, "created": done.created},
                    note=f"version {done.label}",
                )
            case CreateEnvironment():
                return self._create(step, release)
            case KeepEnvironment():
                environment = self._there(step.name)
                return Change(step=step, url=self._names.url(environment.endpoint))
            case SwapNames():
                self._lifecycle.give_name(step.cname, to=step.candidate, taken_from=step.live)
                self._swapped_at = self._waiter.clock.now()
                return Change(step=step, undo={"swapped": True})
            case MarkProven():
                self._lifecycle.mark_proven(step.name)
                return Change(step=step)
            case EndEnvironment():
                self._end(step)
                return Change(step=step)
            case _:
                raise TypeError(f"not a step of {TARGET}: {step!r}")

    def _publish(self, release: Release) -> Published:
        assert self._found is not None  # noqa: S101 (plan comes first)
        if self._published is None:
            self._published = self._publisher.publish(
                release,
                self._settings.docker_bucket,
                self._found.account,
                self._found.login,
                self._found.role_arn(self._settings.aws_service_role),
            )
        return self._published

    def _create(self, step: CreateEnvironment, release: Release) -> Change:
        assert self._found is not None  # noqa: S101 (plan comes first)
        options = option_settings.options(self._settings, release, self._found.secrets)
        environment, adopted = self._lifecycle.create(
            step, release, options, lambda: self._publish(release).label
        )
        return Change(
            step=step,
            undo={"id": environment.id},
            note=f"{step.name} was there already" if adopted else "",
            url=self._names.url(environment.endpoint),
        )

    def _there(self, name: str) -> Environment:
        found = self._cloud.tagged(name)
        if found is None or found.ending:
            raise DeployError(f"environment {name} is gone", hint="run the same command again")
        return self._lifecycle.wait_until_ready(found, self._waiter.patience.swap)

    def _end(self, step: EndEnvironment) -> None:
        """Not before clients have had the time to learn the new address."""
        if step.drained and self._swapped_at is not None:
            end = self._swapped_at + self._waiter.patience.drain

            def drained() -> Ready[None] | Pending:
                left = end - self._waiter.clock.now()
                return Ready(None) if left <= 0 else Pending("clients may still use it")

            self._waiter.until(f"draining {step.name}", drained, self._waiter.patience.drain + 60)
        self._lifecycle.end(step.name, self._cname(), wait=False)

    def _cname(self) -> str:
        """The live name, asked anew where `plan` has not been asked for."""
        if self._found:
            return self._found.cname
        answer = self._cloud.call("check_dns_availability", CNAMEPrefix=self._prefix)
        return str(answer["FullyQualifiedCNAME"]).lower()

    # --- proving

    def verify(self, phase: Phase, changes: Sequence[Change]) -> Verdict:  # noqa: ARG002
        live, name = False, ""
        for step in (change.step for change in changes):
            match step:
                case CreateEnvironment() | KeepEnvironment():
                    name, live = step.name, isinstance(step, CreateEnvironment) and step.live
                case SwapNames():
                    name, live = step.candidate, True
        environment = self._cloud.environment(name)
        if environment is None:
            return Verdict(ok=False, reason=f"environment {name} is gone")
        if not live:
            return self._proof.health(name, self._names.url(environment.endpoint))
        try:
            self._wait_until_it_leads(self._cname(), environment)
        except OutOfTime as late:
            return Verdict(ok=False, reason=str(late), hint=late.problems[0].hint)
        return self._proof.health(name, self._live_url(environment.cname, []))

    def _wait_until_it_leads(self, cname: str, environment: Environment) -> None:
        """A swap is a change of DNS: until it has arrived here, the former release answers."""

        def probe() -> Ready[None] | Pending:
            if self._names.leads(cname, environment.endpoint):
                return Ready(None)
            return Pending(f"{cname} does not lead to {environment.name} yet")

        self._waiter.until(
            f"waiting until {cname} leads to {environment.name}",
            probe,
            self._waiter.patience.lead,
            hint="this machine's DNS may be keeping old answers",
        )

    # --- undoing

    def rollback(self, change: Change) -> None:
        """From the step and from what is there: a step that was interrupted has told nothing."""
        match change.step:
            case SwapNames() as step:
                self._lifecycle.give_name(
                    step.cname, to=step.live, taken_from=step.candidate, doubtful=not change.undo
                )
                former = self._cloud.environment(step.live)
                # The names are swapped back; what this machine's DNS keeps is no failure of it.
                with suppress(OutOfTime):
                    if former:
                        self._wait_until_it_leads(step.cname, former)
            case CreateEnvironment() as step:
                found = self._lifecycle.seen(step.name, doubtful=not change.undo)
                ours = found is not None and found.tags.get(tags.RELEASE) == step.release
                if found and ours and not found.proven:
                    self._lifecycle.end(step.name, self._cname(), may_be_live=step.live)
            case PublishVersion():
                self._published = None
                if change.undo.get("created"):
                    self._publisher.withdraw(str(change.undo["label"]))
            case _:
                pass  # nothing was changed
