"""Environments made, swapped and ended: each call safe to repeat, each wait bounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from pymacaron_ci.errors import DeployError, OutOfTime
from pymacaron_ci.model import Release
from pymacaron_ci.targets.aws import AwsRefused, AwsUnreachable
from pymacaron_ci.targets.beanstalk import names
from pymacaron_ci.targets.beanstalk.cloud import Cloud, Environment, Event
from pymacaron_ci.targets.beanstalk.option_settings import Option
from pymacaron_ci.targets.beanstalk.patience import Waiter, is_busy
from pymacaron_ci.targets.beanstalk.steps import CreateEnvironment
from pymacaron_ci.waiting import Pending, Ready

_ASK_AGAIN = 3


class Feed:
    """The events of one environment, each shown once. They come late and with equal dates."""

    def __init__(self, cloud: Cloud, environment_id: str, progress: Callable[[str], None]) -> None:
        self._cloud, self._id, self._progress = cloud, environment_id, progress
        self._seen: set[tuple[datetime, str]] = set()
        self.events: list[Event] = []

    def show(self) -> None:
        since = self.events[-1].date - timedelta(seconds=60) if self.events else None
        for event in self._cloud.events(self._id, since):
            if (event.date, event.message) not in self._seen:
                self._seen.add((event.date, event.message))
                self.events.append(event)
                self._progress(str(event))


class Lifecycle:
    def __init__(self, cloud: Cloud, waiter: Waiter, service: str, application: str) -> None:
        self._cloud, self._waiter = cloud, waiter
        self._service, self._application = service, application
        self._patience = waiter.patience

    def create(
        self,
        step: CreateEnvironment,
        release: Release,
        options: Sequence[Option],
        label: Callable[[], str],
    ) -> tuple[Environment, bool]:
        """The environment when it is Ready, and whether it was there before."""
        found = self._free_or_ours(step.name, release)
        if found and not found.proven and self._launch_failed(found):
            self._waiter.progress(f"{step.name} failed to launch in an earlier run: made anew")
            self.end(step.name, "", may_be_live=True)
            found = None
        adopted = found is not None
        if found is None:
            found = self._ask_to_create(
                step,
                release,
                {
                    "ApplicationName": self._application,
                    "EnvironmentName": step.name,
                    "CNAMEPrefix": step.cname_prefix,
                    "VersionLabel": label(),
                    "PlatformArn": step.platform,
                    "Description": f"release {release.id}, version {release.version}"[:200],
                    "Tier": {"Name": "WebServer", "Type": "Standard"},
                    "Tags": names.tag_list(names.tags(self._service, release, step.previous)),
                    "OptionSettings": [o.as_setting() for o in options],
                },
            )
        return self.wait_until_ready(found, self._patience.launch), adopted

    def _launch_failed(self, environment: Environment) -> bool:
        sick = environment.ready and environment.color == "Red"
        return sick and any(event.bad for event in self._cloud.events(environment.id))

    def _free_or_ours(self, name: str, release: Release) -> Environment | None:
        """What is there under the name. One that is ending keeps its name: it is waited for."""

        def probe() -> Ready[Environment | None] | Pending:
            found = self._cloud.tagged(name)
            if found and found.ending:
                return Pending(f"{name} is {found.status}")
            return Ready(found)

        found = self._waiter.until(
            f"waiting for the former {name} to end", probe, self._patience.end
        )
        return self._ours(found, release) if found else None

    @staticmethod
    def _ours(found: Environment, release: Release) -> Environment:
        if found.tags.get(names.RELEASE) == release.id:
            return found
        raise DeployError(
            f"there is an environment {found.name} that is not of release {release.id}",
            hint="end it, or choose another `name`",
        )

    def _ask_to_create(
        self, step: CreateEnvironment, release: Release, parameters: Mapping[str, object]
    ) -> Environment:
        accepted = False

        def probe() -> Ready[Environment] | Pending:
            nonlocal accepted
            if not accepted:
                try:
                    self._cloud.call("create_environment", **parameters)
                except AwsRefused as refused:
                    if "is not available" in refused.message:
                        # The name of an environment that ended just now takes a while to be free.
                        return Pending(refused.message)
                    if "already exists" not in refused.message:
                        raise
                    # The answer to our own first attempt was lost, or somebody else was quicker.
                accepted = True
            found = self._cloud.tagged(step.name)
            if found is None:
                return Pending(f"{step.name} is not to be seen yet")
            return Ready(self._ours(found, release))

        return self._waiter.until(f"creating {step.name}", probe, self._patience.lead)

    def wait_until_ready(self, environment: Environment, timeout: float) -> Environment:
        if environment.ready:
            return environment  # its events are those of an earlier run
        feed = Feed(self._cloud, environment.id, self._waiter.progress)

        def probe() -> Ready[Environment] | Pending:
            now = self._cloud.by_id(environment.id)
            feed.show()
            if now is None or now.ending:
                raise DeployError(
                    f"environment {environment.name} was ended before it was ready",
                    hint="somebody else ended it, or Elastic Beanstalk gave it up: see its events",
                    details=[str(e) for e in feed.events[-20:]],
                )
            return Ready(now) if now.ready else Pending(f"{now.name} is {now.status}")

        return self._waiter.until(
            f"waiting for {environment.name}",
            probe,
            timeout,
            hint="see its events: aws elasticbeanstalk describe-events --environment-id "
            f"{environment.id}",
        )

    def give_name(self, cname: str, *, to: str, taken_from: str, doubtful: bool = False) -> None:
        """Swaps the names of two environments, unless `to` has `cname` already.

        A swap made twice undoes itself. So it is asked for once, and again only when AWS refused
        it or when, after the answer was lost, nothing has happened for `settle` seconds.
        `doubtful`: a swap may have been asked for a moment ago by a call that was interrupted.
        """
        asked = 0
        quiet_until = self._waiter.clock.now() + self._patience.settle if doubtful else 0.0
        accepted = False

        def probe() -> Ready[None] | Pending:
            nonlocal asked, quiet_until, accepted
            new, old = self._cloud.environment(to), self._cloud.environment(taken_from)
            now = self._waiter.clock.now()
            if new is None or new.ending:
                raise DeployError(f"environment {to} is gone, so it can't get the live name")
            if not new.ready or (old and not old.ready and not old.ending):
                quiet_until = 0.0  # what was asked for has begun
                busy = old if new.ready and old else new
                return Pending(f"{busy.name} is {busy.status}")
            if now < quiet_until:
                return Pending("waiting whether a swap begins")
            if new.cname == cname:
                return Ready(None)
            if old is None or old.cname != cname:
                raise DeployError(
                    f"{taken_from} has not the live name {cname} any more: somebody else moved it",
                    hint="see who has it: pymacaron-ci status; then run the same command again",
                )
            if accepted or asked >= _ASK_AGAIN:
                return Pending("the swap was asked for and is not done")
            asked += 1
            try:
                self._cloud.aws.call_once(
                    "elasticbeanstalk",
                    "swap_environment_cnames",
                    SourceEnvironmentId=old.id,
                    DestinationEnvironmentId=new.id,
                )
                accepted = True
            except AwsUnreachable as lost:
                quiet_until = now + self._patience.settle
                return Pending(str(lost))
            except AwsRefused as refused:
                if is_busy(refused) or "invalid state" in refused.message:
                    asked -= 1
                    return Pending(refused.message)
                raise
            return Pending(f"swapping the names of {taken_from} and {to}")

        self._waiter.until(f"giving the live name to {to}", probe, self._patience.swap)

    def end(self, name: str, cname: str, *, may_be_live: bool = False, wait: bool = True) -> None:
        """Ends an environment, never that with the live name. Ended already: nothing to do."""
        number = ""

        def probe() -> Ready[None] | Pending:
            nonlocal number
            found = self._cloud.by_id(number) if number else self._cloud.environment(name)
            if found is None or found.status == "Terminated":
                return Ready(None)
            number = found.id
            if found.status == "Terminating":
                return Pending(f"{name} is Terminating") if wait else Ready(None)
            if found.cname == cname and not may_be_live:
                raise DeployError(
                    f"{name} has the live name {cname}: it is not ended",
                    hint="see pymacaron-ci status",
                )
            try:
                self._cloud.call(
                    "terminate_environment", EnvironmentId=found.id, TerminateResources=True
                )
            except AwsRefused as refused:
                if "No Environment found" in refused.message:
                    return Ready(None)
                if "invalid state" not in refused.message:
                    raise
                return Pending(refused.message)
            return Pending(f"ending {name}")

        self._waiter.until(f"ending {name}", probe, self._patience.end)

    def seen(self, name: str, *, doubtful: bool) -> Environment | None:
        """`doubtful`: it may have been asked for a moment ago by a call that was interrupted."""

        def probe() -> Ready[Environment | None] | Pending:
            found = self._cloud.tagged(name)
            return Ready(found) if found or not doubtful else Pending()

        try:
            return self._waiter.until(f"looking for {name}", probe, self._patience.settle / 10)
        except OutOfTime:
            return None

    def mark_proven(self, name: str) -> None:
        found = self._cloud.environment(name)
        if found is None:
            raise DeployError(f"environment {name} is gone")
        self._cloud.call(
            "update_tags_for_resource",
            ResourceArn=self._cloud.version_arn(found),
            TagsToAdd=names.tag_list({names.PROVEN: found.id}),
        )
