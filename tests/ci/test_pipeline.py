"""The main job with hand-written parts: order, proof, undo, exit codes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from pymacaron_ci import dry_run, pipeline
from pymacaron_ci.errors import (
    BuildError,
    DeployError,
    Failure,
    OutOfTime,
    RegistryError,
    Stopped,
    VerificationError,
)
from pymacaron_ci.model import Change, Phase, Plan, Release, Report, Step
from pymacaron_ci.pipeline import Job
from pymacaron_ci.waiting import Pending, Ready, wait_for
from tests.ci.fakes import (
    FORMER,
    RELEASE,
    Do,
    FakeBuilder,
    FakeChecks,
    FakeReporter,
    FakeTarget,
)


def job(
    target: FakeTarget | None = None,
    builder: FakeBuilder | None = None,
    checks: FakeChecks | None = None,
) -> Job:
    return Job(
        release=RELEASE,
        target=target or FakeTarget(),
        builder=builder or FakeBuilder(),
        checks=checks or FakeChecks(),
        reporter=FakeReporter(),
    )


def test_a_deployment_goes_through_its_phases_in_order() -> None:
    target, checks = FakeTarget(), FakeChecks()
    report = pipeline.run(job(target, checks=checks))
    assert target.calls == [
        "plan",
        "apply create staging",
        "verify staging",
        "apply create candidate",
        "apply swap",
        "verify live",
        "apply mark proven",
    ]
    assert checks.calls == [
        "unit",
        "version http://staging.test new000000000",
        "tests http://staging.test",
        "version http://live.test new000000000",
        "tests http://live.test",
    ]
    assert (report.status, report.exit_code, report.changed) == ("deployed", 0, True)
    assert (report.url, report.staging_url) == ("http://live.test", "http://staging.test")
    assert report.previous == FORMER
    assert report.release is not None
    assert report.release.image.digest


def test_a_release_that_is_live_already_needs_nothing() -> None:
    builder, checks = FakeBuilder(), FakeChecks()
    report = pipeline.run(job(FakeTarget(phases=()), builder, checks))
    assert (report.status, report.exit_code, report.changed) == ("unchanged", 0, False)
    assert not builder.calls
    assert not checks.calls


def test_the_report_of_a_deployment_tells_what_the_plan_noted() -> None:
    target = FakeTarget(
        notes=("the cluster is old",), fail={"mark proven": DeployError("it is busy")}
    )
    report = pipeline.run(job(target))
    assert report.notes == (
        "the cluster is old",
        "tidying up failed; the next run does it: it is busy",
    )


def test_without_acceptance_tests_the_plan_has_none_and_none_run() -> None:
    reporter, checks = FakeReporter(), FakeChecks()
    pipeline.run(replace(job(checks=checks), acceptance_tests=False, reporter=reporter))
    (plan,) = reporter.plans
    assert [phase.proof for phase in plan.phases] == ["version", "version", "none"]
    assert not [call for call in checks.calls if call.startswith("tests")]


def test_nothing_is_built_when_the_unit_tests_fail() -> None:
    target, builder = FakeTarget(), FakeBuilder()
    report = pipeline.run(job(target, builder, FakeChecks(unit_ok=False)))
    assert (report.status, report.exit_code) == ("failed", 4)
    assert not builder.calls
    assert target.calls == ["plan"]


def test_nothing_is_deployed_when_the_build_fails() -> None:
    target = FakeTarget()
    report = pipeline.run(job(target, FakeBuilder(fail=BuildError("no space left"))))
    assert (report.status, report.exit_code) == ("failed", 4)
    assert target.calls == ["plan"]
    assert "no space left" in report.problems[0].text


def test_a_refused_plan_ends_before_anything_is_built() -> None:
    builder = FakeBuilder()
    target = FakeTarget(fail={"plan": DeployError("no such project", hint="create it")})
    report = pipeline.run(job(target, builder))
    assert (report.status, report.exit_code) == ("failed", 5)
    assert not builder.calls


@pytest.mark.parametrize(
    ("target", "checks", "undone", "code"),
    [
        pytest.param(
            FakeTarget(sick=["staging"]), FakeChecks(), ["create staging"], 6, id="sick staging"
        ),
        pytest.param(
            FakeTarget(),
            FakeChecks(red=["http://staging.test"]),
            ["create staging"],
            6,
            id="red tests against staging",
        ),
        pytest.param(
            FakeTarget(fail={"swap": DeployError("refused")}),
            FakeChecks(),
            ["swap", "create candidate", "create staging"],
            5,
            id="a refused swap, undone for what of it was made",
        ),
        pytest.param(
            FakeTarget(fail={"swap": OutOfTime("too slow")}),
            FakeChecks(),
            ["swap", "create candidate", "create staging"],
            70,
            id="a swap that never ends",
        ),
        pytest.param(
            FakeTarget(sick=["live"]),
            FakeChecks(),
            ["swap", "create candidate", "create staging"],
            6,
            id="sick live",
        ),
        pytest.param(
            FakeTarget(),
            FakeChecks(red=["http://live.test"]),
            ["swap", "create candidate", "create staging"],
            6,
            id="red tests against live",
        ),
        pytest.param(
            FakeTarget(fail={"swap": Stopped(signal.SIGTERM)}),
            FakeChecks(),
            ["swap", "create candidate", "create staging"],
            143,
            id="a signal in the middle of a swap",
        ),
    ],
)
def test_what_was_done_is_undone_last_change_first(
    target: FakeTarget, checks: FakeChecks, undone: list[str], code: int
) -> None:
    target.calls.clear()
    report = pipeline.run(job(target, checks=checks))
    assert [c.removeprefix("undo ") for c in target.calls if c.startswith("undo")] == undone
    assert report.exit_code == code
    assert report.status == ("stopped" if code > 128 else "undone")
    assert checks.calls[-1] == f"version http://live.test {FORMER.id}"


def test_a_red_candidate_never_goes_live() -> None:
    target = FakeTarget()
    pipeline.run(job(target, checks=FakeChecks(red=["http://staging.test"])))
    assert "apply swap" not in target.calls


def test_one_undo_that_fails_does_not_keep_the_others_from_it() -> None:
    target = FakeTarget(sick=["live"], stubborn=["swap"])
    report = pipeline.run(job(target))
    assert [c for c in target.calls if c.startswith("undo")] == [
        "undo swap",
        "undo create candidate",
        "undo create staging",
    ]
    assert (report.status, report.exit_code) == ("undo-failed", 7)
    assert any("could not undo 'swap'" in p.text for p in report.problems)


def test_an_undo_after_which_the_former_release_does_not_answer_needs_a_human() -> None:
    checks = FakeChecks(red=["http://staging.test"], wrong_version=["http://live.test"])
    report = pipeline.run(job(checks=checks))
    assert (report.status, report.exit_code) == ("undo-failed", 7)


def test_the_first_deployment_of_all_leaves_nothing_when_it_fails() -> None:
    target = FakeTarget(current=None, sick=["live"])
    report = pipeline.run(job(target))
    assert (report.status, report.previous) == ("undone", None)


def test_tidying_up_never_undoes_a_proven_release() -> None:
    target = FakeTarget(fail={"mark proven": DeployError("throttled")})
    report = pipeline.run(job(target))
    assert (report.status, report.exit_code) == ("deployed", 0)
    assert not [c for c in target.calls if c.startswith("undo")]
    assert "throttled" in report.notes[0]


def test_a_signal_while_tidying_up_leaves_the_proven_release() -> None:
    target = FakeTarget(fail={"mark proven": Stopped(signal.SIGINT)})
    report = pipeline.run(job(target))
    assert (report.status, report.exit_code) == ("stopped", 130)
    assert not [c for c in target.calls if c.startswith("undo")]


def test_a_bug_is_undone_too_and_shows_itself() -> None:
    target = FakeTarget(fail={"swap": KeyError("a bug")})
    with pytest.raises(KeyError):
        pipeline.run(job(target))
    assert "undo create staging" in target.calls


def test_signals_are_held_while_something_is_undone() -> None:
    held: list[str] = []
    target = FakeTarget(sick=["staging"])

    @contextmanager
    def hold() -> Iterator[None]:
        held.append("held")
        before = len(target.calls)
        yield
        held.extend(target.calls[before:])

    pipeline.run(replace(job(target), hold_signals=hold))
    assert held[:2] == ["held", "undo create staging"]


@dataclass(frozen=True)
class Note(Do):
    brief = True


def test_no_signal_keeps_a_proven_release_from_being_noted_as_one() -> None:
    during: list[str] = []
    steps = (Note("mark proven"), Do("end the former one"))
    target = FakeTarget(phases=(Phase(name="finish", steps=steps, proof="none"),))

    @contextmanager
    def hold() -> Iterator[None]:
        yield
        during.extend(target.calls)

    pipeline.run(replace(job(target), hold_signals=hold))
    assert during == ["plan", "apply mark proven"]
    assert target.calls[-1] == "apply end the former one"


def test_a_kept_release_is_not_built_again() -> None:
    builder, checks = FakeBuilder(), FakeChecks()
    report = pipeline.run(replace(job(builder=builder, checks=checks), release=FORMER))
    assert report.status == "deployed"
    assert not builder.calls
    assert {call.split()[0] for call in checks.calls} == {"version"}


def test_the_plan_of_a_rollback_promises_no_tests() -> None:
    plans: list[Plan] = []
    reporter = FakeReporter()
    reporter.planned = plans.append  # type: ignore[assignment, method-assign]
    pipeline.run(replace(job(), release=FORMER, reporter=reporter))
    assert [p.proof for p in plans[0].phases] == ["version", "version", "none"]


def test_a_phase_proven_by_version_runs_no_tests() -> None:
    checks = FakeChecks()
    phase = Phase(name="live", steps=(Do("shift"),), proof="version")
    pipeline.run(job(FakeTarget(phases=(phase,)), checks=checks))
    assert "tests http://live.test" not in checks.calls
    assert f"version http://live.test {RELEASE.id}" in checks.calls


def dry_job(target: FakeTarget, builder: FakeBuilder, reporter: FakeReporter) -> Job:
    return Job(
        release=RELEASE,
        target=dry_run.DryTarget(target),
        builder=dry_run.DryBuilder(builder, reporter.progress),
        checks=dry_run.DryChecks(),
        reporter=dry_run.PlanOnly(reporter),
        success="planned",
    )


def test_a_dry_run_is_the_same_pipeline_and_touches_nothing() -> None:
    real, builder = FakeTarget(), FakeBuilder()
    report = pipeline.run(dry_job(real, builder, FakeReporter()))
    assert real.calls == ["plan"]
    assert builder.calls == ["foresee"]
    assert (report.status, report.exit_code, report.changed) == ("planned", 0, False)
    assert report.notes == ()
    assert report.release
    assert report.release.image.digest == "sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("failure", "status"),
    [(RegistryError("it wants a log-in"), "planned"), (BuildError("no such package"), "failed")],
)
def test_a_dry_run_does_without_the_registry_but_not_without_an_image(
    failure: BuildError, status: str
) -> None:
    reporter = FakeReporter()
    report = pipeline.run(dry_job(FakeTarget(), FakeBuilder(fail=failure), reporter))
    assert report.status == status
    told = "the image's digest is not foreseen: it wants a log-in" in reporter.lines
    assert told is (status == "planned")


def test_every_failure_has_the_exit_code_that_is_documented() -> None:
    def code(failure: Failure) -> int:
        report: Report = pipeline.run(job(FakeTarget(fail={"create staging": failure})))
        return report.exit_code

    assert code(DeployError("x")) == 5
    assert code(VerificationError("x")) == 6
    assert code(OutOfTime("x")) == 70


def test_a_build_tests_builds_and_pushes_and_asks_no_cloud() -> None:
    target, builder = FakeTarget(), FakeBuilder()
    report = pipeline.build(job(target, builder))
    assert (report.status, report.exit_code) == ("built", 0)
    assert builder.calls == ["build", "push"]
    assert not target.calls


def test_a_build_can_stay_here() -> None:
    builder = FakeBuilder()
    pipeline.build(job(builder=builder), push=False)
    assert builder.calls == ["build"]


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class SlowTarget(FakeTarget):
    """Each step and each undo takes 100 seconds."""

    def apply(self, step: Step, release: Release) -> Change:
        self._wait()
        return super().apply(step, release)

    def rollback(self, change: Change) -> None:
        self._wait()
        super().rollback(change)

    def _wait(self) -> None:
        time = Time()
        wait_for(
            "waiting for the platform",
            lambda: Ready(None) if time.now() >= 100 else Pending(),
            timeout=1800,
            clock=time,
        )


@pytest.mark.parametrize(("longest", "exit_code"), [(None, 0), (120, 0), (60, OutOfTime.exit_code)])
def test_no_wait_is_longer_than_allowed_but_for_the_undo(
    longest: float | None, exit_code: int
) -> None:
    report = pipeline.run(replace(job(SlowTarget()), longest_wait=longest))
    assert report.exit_code == exit_code
    if exit_code:
        assert report.status == "undone"
        assert report.problems[0].text == "waiting for the platform took longer than 60 s"
        assert report.problems[0].hint == "--wait-timeout allows it no more"


def test_tidying_up_takes_the_time_it_needs() -> None:
    phases = (Phase(name="finish", steps=(Do("drain"),), proof="none"),)
    report = pipeline.run(replace(job(SlowTarget(phases=phases)), longest_wait=60))
    assert (report.status, report.notes) == ("deployed", ())
