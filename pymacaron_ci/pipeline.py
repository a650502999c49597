"""The main job: plan, test, build, push, then each phase applied and proven, or undone.

It owns the order, the journal and the undoing; parts are handed in and never chosen here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

from pymacaron_ci.builder import Builder
from pymacaron_ci.errors import BuildError, Failure, Stopped, UndoError, VerificationError
from pymacaron_ci.model import (
    Change,
    CheckResult,
    Phase,
    Plan,
    Problem,
    Release,
    Report,
    Status,
    TestResult,
)
from pymacaron_ci.reporter import Reporter
from pymacaron_ci.targets import Target
from pymacaron_ci.waiting import at_most


class Checks(Protocol):
    """Our own proof, beside the platform's."""

    def unit_tests(self) -> CheckResult: ...

    def version(self, url: str, release: Release, headers: Mapping[str, str]) -> CheckResult:
        """/ping answers, and /version carries this release, steadily."""

    def acceptance(self, url: str, headers: Mapping[str, str]) -> CheckResult: ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """One deployment and its parts. `hold_signals` keeps signals from interrupting an undo;
    `longest_wait` is how many seconds anything may be waited for until live is proven."""

    release: Release
    target: Target
    builder: Builder
    checks: Checks
    reporter: Reporter
    hold_signals: Callable[[], AbstractContextManager[object]] = nullcontext
    longest_wait: float | None = None
    acceptance_tests: bool = True
    success: Status = "deployed"


class TestsFailed(VerificationError):
    """Acceptance tests said no; `failures` names them."""

    __test__ = False

    def __init__(self, text: str, failures: Sequence[TestResult], *, hint: str | None) -> None:
        super().__init__(text, hint=hint)
        self.failures = tuple(failures)


class UnitTestsFailed(BuildError):
    """Unit tests said no: nothing is built."""

    def __init__(self, text: str, failures: Sequence[TestResult]) -> None:
        super().__init__(
            text, hint="nothing was built or deployed; --no-unittest skips these tests"
        )
        self.failures = tuple(failures)


def run(job: Job) -> Report:
    """From a release-to-be to a proven release, or to the report of what is true instead."""
    plan: Plan | None = None
    try:
        with job.reporter.stage("Plan"):
            plan = job.target.plan(job.release)
            # A former release is put back in an emergency: today's tests may not be its own.
            if job.release.kept or not job.acceptance_tests:
                plan = _without_tests(plan)
        job.reporter.planned(plan)
        if not plan.phases:
            return _report(plan, "unchanged")
        for step in plan.prepare:
            with job.reporter.stage(f"Prepare: {step}"):
                job.target.apply(step, job.release)
        release = job.release if job.release.kept else _make(job)
    except (Failure, Stopped) as failure:
        return _failed(job, plan, failure, "stopped" if isinstance(failure, Stopped) else "failed")
    return deploy(job, replace(plan, release=release))


def _without_tests(plan: Plan) -> Plan:
    phases = (replace(p, proof="version") if p.proof == "tests" else p for p in plan.phases)
    return replace(plan, phases=tuple(phases))


def build(job: Job, *, push: bool = True) -> Report:
    """Unit tests and the image, deployed nowhere."""
    try:
        release = _make(job, push=push)
    except (Failure, Stopped) as failure:
        return _failed(job, None, failure, "stopped" if isinstance(failure, Stopped) else "failed")
    return Report(status="built", release=release, changed=push)


def _make(job: Job, *, push: bool = True) -> Release:
    """Unit tests, image, push. Nothing that runs anywhere has changed yet."""
    with job.reporter.stage("Run the unit tests"):
        result = job.checks.unit_tests()
        if not result.ok:
            raise UnitTestsFailed(f"unit tests failed: {result.reason}", result.failures)
        job.reporter.progress(result.reason)
    with job.reporter.stage("Build the image"):
        image = job.builder.build(job.release)
    if push:
        with job.reporter.stage("Push the image"):
            image = job.builder.push(image)
            job.reporter.progress(str(image))
    return replace(job.release, image=image)


def deploy(job: Job, plan: Plan) -> Report:
    """Each phase: apply its steps, then prove them. Any no: undo what was done."""
    journal: list[Change] = []
    urls: dict[str, str] = {}
    notes: list[str] = []
    for phase in plan.phases:
        if phase.proof == "none":
            try:
                changes = _apply(job, phase, plan.release, journal=[])
                notes += [change.note for change in changes if change.note]
            except Failure as failure:
                notes.append(f"tidying up failed; the next run does it: {failure}")
            except Stopped as stop:
                return replace(
                    _report(plan, "stopped", urls=urls, changed=True),
                    exit_code=stop.exit_code,
                    notes=(
                        *plan.notes,
                        "the new release is live and proven; the next run tidies up",
                    ),
                )
            continue
        try:
            with at_most(job.longest_wait):
                changes = _apply(job, phase, plan.release, journal)
                url = _prove(job, phase, changes, plan.release)
            if url:
                urls[phase.name] = url
        except (Failure, Stopped) as failure:
            return _undone(job, plan, journal, failure)
        except BaseException:  # a bug: it must show itself, and live must not be left half-changed
            undo(job, journal)
            raise
    return replace(
        _report(plan, job.success, urls=urls, changed=job.success == "deployed"),
        notes=(*plan.notes, *notes),
        previous=plan.current,
    )


def _apply(job: Job, phase: Phase, release: Release, journal: list[Change]) -> list[Change]:
    """Steps in order. A step stands in the journal before it is begun: it may be interrupted."""
    changes: list[Change] = []
    for step in phase.steps:
        with job.reporter.stage(f"{phase.name.capitalize()}: {step}"):
            journal.append(Change(step=step))
            with job.hold_signals() if step.brief else nullcontext():
                change = job.target.apply(step, release)
            journal[-1] = change
            changes.append(change)
            if change.note:
                job.reporter.progress(change.note)
    return changes


def _prove(job: Job, phase: Phase, changes: Sequence[Change], release: Release) -> str | None:
    """The platform's health, then /version, then the acceptance tests. Returns the phase's URL."""
    with job.reporter.stage(f"{phase.name.capitalize()}: prove it"):
        verdict = job.target.verify(phase, changes)
        url = verdict.proof_url or verdict.url
        if not verdict.ok or not url:
            raise VerificationError(
                f"{phase.name} is not healthy: {verdict.reason or 'it has no URL'}",
                hint=verdict.hint,
                details=verdict.details,
            )
        job.reporter.progress(f"healthy at {verdict.url or url}")
        answer = job.checks.version(url, release, verdict.headers)
        if not answer.ok:
            raise VerificationError(f"{phase.name} did not prove itself: {answer.reason}")
        job.reporter.progress(answer.reason)
        if phase.proof == "tests":
            tests = job.checks.acceptance(url, verdict.headers)
            if not tests.ok:
                raise TestsFailed(
                    f"acceptance tests failed against {phase.name}: {tests.reason}",
                    tests.failures,
                    hint="run them yourself: pymtest, with PYM_SERVER_HOST and PYM_SERVER_PORT set",
                )
            job.reporter.progress(tests.reason)
    return verdict.url


def undo(job: Job, journal: list[Change]) -> list[Problem]:
    """Undoes the journal, last change first. One that fails doesn't keep the others from it."""
    problems: list[Problem] = []
    with job.hold_signals():
        while journal:
            change = journal.pop()
            try:
                with job.reporter.stage(f"Undo: {change.step}"):
                    job.target.rollback(change)
            except Failure as failure:
                problems.extend(
                    Problem(text=f"could not undo '{change.step}': {p.text}", hint=p.hint)
                    for p in failure.problems
                )
            except Exception as error:  # noqa: BLE001  (a bug in one undo must not stop the rest)
                problems.append(Problem(text=f"could not undo '{change.step}': {error!r}"))
    return problems


def _undone(job: Job, plan: Plan, journal: list[Change], failure: Failure | Stopped) -> Report:
    touched = bool(journal)
    problems = undo(job, journal)
    if not problems and touched and plan.current:
        with job.hold_signals(), job.reporter.stage("Undo: prove that the former release serves"):
            problems = _former_serves(job, plan)
    if problems:
        report = _failed(job, plan, failure, "undo-failed")
        return replace(
            report, exit_code=UndoError.exit_code, problems=(*report.problems, *problems)
        )
    return _failed(job, plan, failure, "stopped" if isinstance(failure, Stopped) else "undone")


def _former_serves(job: Job, plan: Plan) -> list[Problem]:
    """Nothing, if the former release answers as it did before."""
    try:
        live = job.target.live()
    except Failure as failure:
        return list(failure.problems)
    url = live.proof_url or plan.url
    if not plan.current or not url:
        return []
    answer = job.checks.version(url, plan.current, live.headers)
    if answer.ok:
        return []
    return [Problem(text=f"the former release does not answer: {answer.reason}")]


def _failed(job: Job, plan: Plan | None, failure: Failure | Stopped, status: Status) -> Report:
    if isinstance(failure, Stopped):
        problems: tuple[Problem, ...] = (Problem(text=str(failure)),)
        details: tuple[str, ...] = ()
    else:
        problems, details = failure.problems, failure.details
    return Report(
        status=status,
        exit_code=failure.exit_code,
        target=plan.target if plan else None,
        release=job.release,
        previous=plan.current if plan else None,
        url=plan.url if plan else None,
        problems=problems,
        failures=getattr(failure, "failures", ()),
        notes=details,
    )


def _report(
    plan: Plan, status: Status, *, urls: Mapping[str, str] | None = None, changed: bool = False
) -> Report:
    urls = urls or {}
    return Report(
        status=status,
        target=plan.target,
        release=plan.release,
        previous=plan.current,
        url=urls.get("live") or plan.url,
        staging_url=urls.get("staging"),
        changed=changed,
        notes=plan.notes,
    )
