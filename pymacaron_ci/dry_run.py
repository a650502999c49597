"""Stand-ins that touch nothing: with them the pipeline is a dry run, and knows nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from pymacaron_ci.builder import ForeseeingBuilder
from pymacaron_ci.errors import DeployError, RegistryError
from pymacaron_ci.model import (
    Change,
    CheckResult,
    Image,
    Live,
    Phase,
    Plan,
    Problem,
    Release,
    Report,
    Step,
    Verdict,
)
from pymacaron_ci.reporter import Reporter
from pymacaron_ci.targets import Target


class DryTarget:
    """Reads the real target (`plan`, `live`) and makes nothing. `url`: the live one, if known."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.url: str | None = None

    def plan(self, release: Release) -> Plan:
        plan = self._target.plan(release)
        self.url = plan.url
        return plan

    def live(self) -> Live:
        return self._target.live()

    def apply(self, step: Step, release: Release) -> Change:
        return Change(step=step)

    def verify(self, phase: Phase, changes: Sequence[Change]) -> Verdict:
        return Verdict(ok=True, url="known once it is deployed")

    def rollback(self, change: Change) -> None:
        """Nothing was done, so nothing is undone."""


class Unseen:
    """A target that can't be looked at: its plan is that of a first deployment, and says so."""

    def __init__(self, name: str, phases: Callable[[Release], tuple[Phase, ...]], why: str) -> None:
        self._name = name
        self._phases = phases
        self._why = why

    def plan(self, release: Release) -> Plan:
        note = f"what is live was not looked at ({self._why}): this is a first deployment's plan"
        return Plan(target=self._name, release=release, phases=self._phases(release), notes=(note,))

    def live(self) -> Live:
        return Live(release=None, details=(self._why,))

    def apply(self, step: Step, release: Release) -> Change:
        raise DeployError(self._why)

    def verify(self, phase: Phase, changes: Sequence[Change]) -> Verdict:
        raise DeployError(self._why)

    def rollback(self, change: Change) -> None:
        raise DeployError(self._why)


class DryBuilder:
    """Tells the image that would be pushed, with its digest where that can be known."""

    def __init__(self, builder: ForeseeingBuilder, tell: Callable[[str], None]) -> None:
        self._builder = builder
        self._tell = tell

    def build(self, release: Release) -> Image:
        try:
            return self._builder.foresee(release)
        except RegistryError as error:
            self._tell(f"the image's digest is not foreseen: {error}")
            return release.image

    def push(self, image: Image) -> Image:
        return image


class DryChecks:
    """Asks nobody."""

    def unit_tests(self) -> CheckResult:
        return CheckResult(ok=True, reason="not run: dry run")

    def version(self, url: str, release: Release, headers: Mapping[str, str]) -> CheckResult:
        return CheckResult(ok=True, reason="not asked: dry run")

    def acceptance(self, url: str, headers: Mapping[str, str]) -> CheckResult:
        return CheckResult(ok=True, reason="not run: dry run")


class PlanOnly:
    """Shows the plan and the end, and keeps quiet about stages that do nothing."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def planned(self, plan: Plan) -> None:
        self._reporter.planned(plan)

    def stage(self, title: str) -> AbstractContextManager[None]:
        return nullcontext()

    def progress(self, text: str) -> None:
        """A stage that does nothing has no progress."""

    def warn(self, problem: Problem) -> None:
        self._reporter.warn(problem)

    def finished(self, report: Report) -> None:
        self._reporter.finished(report)
