"""A whole run as GitHub's log, annotations, outputs and summary see it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from pymacaron_ci.github import begin
from pymacaron_ci.github.commands import MOST_ANNOTATIONS
from pymacaron_ci.github.reporter import GitHubReporter
from pymacaron_ci.github.run import Run
from pymacaron_ci.model import Image, Location, Plan, Problem, Release, Report, Secret, TestResult
from pymacaron_ci.reporter import Redactor, TextReporter
from tests.action.runner import Runner, read_outputs

SECRET = Secret("KEY", 'top"secret\nvalue-7f3a')
RELEASE = Release(
    id="0123456789ab",
    version="v",
    revision="a" * 40,
    image=Image(repository="reg/repo", tag="t"),
    environment={"KEY": SECRET},
)


class Scene:
    """A run on a runner: its log, and the files that it hands on."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.out = io.StringIO()
        self.outputs = folder / "outputs"
        self.summary = folder / "summary"
        run = begin(
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_WORKSPACE": str(folder),
                "GITHUB_OUTPUT": str(self.outputs),
                "GITHUB_STEP_SUMMARY": str(self.summary),
                "GITHUB_REPOSITORY": "octo/app",
                **environ,
            },
            self.out,
            folder,
        )
        assert run is not None
        self.run: Run = run
        redact = Redactor()
        run.mask([SECRET])
        redact.hide([SECRET])
        self.reporter: GitHubReporter = run.reporter(
            TextReporter(redact, out=run.log), redact=redact, report_file=folder / "report.json"
        )

    def seen(self) -> Runner:
        return Runner().read(self.out.getvalue())


def test_a_stage_is_a_fold_of_text_that_nobody_obeys(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    with scene.reporter.stage("Build the image"):
        scene.reporter.progress("::error::out of a Dockerfile\n##[add-path]x\r::warning::y")
    seen = scene.seen()
    assert [c.name for c in seen.commands if c.name != "add-mask"] == ["group", "endgroup"]
    assert any("::error::out of a Dockerfile" in line for line in seen.text)
    assert seen.stopped_by is None


def test_a_plan_with_nasty_names_is_no_command(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.reporter.planned(
        Plan(target="x\n::error::y", release=RELEASE, phases=(), notes=("::error::z",))
    )
    assert scene.seen().named("error", "warning") == []


def test_a_warning_is_on_its_line_and_within_a_stage_too(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    problem = Problem(
        text="odd", severity="warning", location=Location(file="a.yaml", line=2, column=1)
    )
    scene.reporter.warn(problem)
    with scene.reporter.stage("Plan"):
        scene.reporter.warn(problem)
    found = scene.seen().named("warning")
    assert [c.properties["line"] for c in found] == ["2", "2"]


def test_more_problems_than_github_shows_are_in_log_and_summary(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    problems = tuple(Problem(text=f"problem number {i}.") for i in range(30))
    scene.reporter.finished(Report(status="failed", exit_code=2, problems=problems))
    seen = scene.seen()
    assert len(seen.named("error")) == MOST_ANNOTATIONS
    log = seen.shown()
    summary = scene.summary.read_text(encoding="utf-8")
    for i in range(30):
        assert f"problem number {i}." in log
        assert f"problem number {i}." in summary


def test_a_failure_still_has_its_outputs(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.reporter.finished(Report(status="undone", exit_code=6, release=RELEASE))
    outputs = read_outputs(scene.outputs.read_text(encoding="utf-8"))
    assert outputs["status"] == "undone"
    assert outputs["release"] == RELEASE.id
    assert outputs["report"] == str(tmp_path / "report.json")


def test_the_summary_can_be_left_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path, PYM_INPUT_SUMMARY="false")
    scene.reporter.finished(Report(status="valid"))
    assert not scene.summary.exists()
    assert scene.outputs.exists()


@pytest.mark.parametrize("form", ["{0}", "{0!r}", "json"])
def test_a_secret_is_in_nothing_that_anybody_sees(tmp_path: Path, form: str) -> None:
    value = SECRET.reveal()
    told = json.dumps(value) if form == "json" else form.format(value)
    scene = Scene(tmp_path)
    scene.reporter.warn(Problem(text=f"odd {told}", severity="warning"))
    with scene.reporter.stage("Test"):
        scene.reporter.progress(f"output {told}")
    scene.reporter.finished(
        Report(
            status="undone",
            exit_code=6,
            problems=(Problem(text=f"failed {told}", hint=f"look {told}"),),
            failures=(TestResult(name=f"t {told}", message=f"assert {told}"),),
            notes=(f"note {told}",),
        )
    )
    seen = scene.seen()
    told_by_us = [line for line in scene.out.getvalue().splitlines() if "add-mask" not in line]
    everything = "\n".join(
        [
            *told_by_us,
            *(c.message for c in seen.commands if c.name != "add-mask"),
            scene.summary.read_text(encoding="utf-8"),
            scene.outputs.read_text(encoding="utf-8"),
        ]
    )
    assert "value-7f3a" not in everything
    assert 'top"secret' not in everything


def test_outside_github_there_is_no_run_unless_its_format_is_wanted(tmp_path: Path) -> None:
    assert begin({}, io.StringIO(), tmp_path) is None
    out = io.StringIO()
    run = begin({}, out, tmp_path, wanted=True)
    assert run is not None
    run.reporter(TextReporter(Redactor(), out=run.log), redact=str).finished(
        Report(status="failed", exit_code=2, problems=(Problem(text="x"),))
    )
    assert "::error::x\n" in out.getvalue()
