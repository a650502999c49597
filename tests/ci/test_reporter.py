"""What a person reads, and that no secret's value is in it."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from pymacaron_ci.model import Plan, Problem, Report, Secret, TestResult
from pymacaron_ci.reporter import (
    Redactor,
    TextReporter,
    headline,
    plan_lines,
    report_data,
    report_json,
)
from tests.ci.fakes import FORMER, RELEASE, two_phases

PLAN = Plan(
    target="gcp-cloud-run",
    release=RELEASE,
    phases=two_phases(),
    current=FORMER,
    url="https://hello.test",
    notes=("gcp_region is the default",),
)


def text_of(report: Report, secrets: tuple[Secret, ...] = ()) -> str:
    out = io.StringIO()
    reporter = TextReporter(Redactor(secrets), out=out)
    reporter.planned(PLAN)
    reporter.finished(report)
    return out.getvalue()


def test_the_plan_tells_what_is_live_what_changes_and_secrets_by_name_only() -> None:
    text = "\n".join(plan_lines(PLAN))
    for expected in (
        "live now     release old000000000",
        "image        registry.test/hello:1",
        "staging      create staging",
        "live         create candidate",
        "proof: health, /ping, /version carries new000000000, then the acceptance tests",
        "secrets      A_SECRET (by name only)",
        "https://hello.test",
        "gcp_region is the default",
    ):
        assert expected in text
    assert "planted-value" not in text


def test_a_release_that_is_put_back_keeps_its_secrets() -> None:
    lines = plan_lines(replace(PLAN, release=replace(RELEASE, environment={}, kept=True)))
    assert "secrets      as the release had them" in lines


def test_a_note_of_the_plan_is_not_told_again_at_the_end() -> None:
    text = text_of(Report(status="deployed", notes=(*PLAN.notes, "tidied up")))
    assert text.count("gcp_region is the default") == 1
    assert "tidied up" in text


def test_a_plan_without_phases_says_that_there_is_nothing_to_do() -> None:
    plan = Plan(target="gke", release=RELEASE, phases=())
    assert any("live and proven" in line for line in plan_lines(plan))


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (
            Report(status="deployed", release=RELEASE, url="https://hello.test"),
            "deployed: release new000000000, version 1, https://hello.test",
        ),
        (
            Report(status="unchanged", release=RELEASE),
            "nothing to do: release new000000000, version 1",
        ),
        (
            Report(status="undone", target="gke", release=RELEASE, previous=FORMER),
            "failed and undone: release old000000000 still serves",
        ),
        (
            Report(status="undone", target="gke", release=RELEASE),
            "failed and undone: nothing was live before, nothing is live now",
        ),
        (Report(status="failed", release=RELEASE), "failed"),
        (Report(status="failed", exit_code=3), "failed: nothing was built or changed"),
    ],
)
def test_the_last_line_says_what_is_true_now(report: Report, expected: str) -> None:
    assert headline(report) == expected


def test_a_failure_shows_the_test_the_problem_and_what_to_do() -> None:
    text = text_of(
        Report(
            status="undone",
            exit_code=6,
            target="gke",
            problems=(Problem(text="live is red", hint="look at its log"),),
            failures=(TestResult(name="test_hello::test_bad", message="assert 1 == 2"),),
            notes=("last line of the log",),
        )
    )
    for expected in ("test_hello::test_bad", "assert 1 == 2", "live is red", "look at its log"):
        assert expected in text
    assert "last line of the log" in text


def test_a_simulation_says_that_it_was_one() -> None:
    assert "This was a simulation" in text_of(
        Report(status="deployed", simulated=True, target="gke")
    )


NASTY = ['a"b', "line one\nline two", "ünï©ode", "$HOME `x`", "tab\there", "back\\slash"]


@pytest.mark.parametrize("value", NASTY)
def test_a_secret_in_somebody_elses_text_is_taken_out(value: str) -> None:
    redact = Redactor([Secret("KEY", value)])
    said = f"log: {value} / {json.dumps(value)} / {value!r}"
    for line in (value, *value.splitlines()):
        assert line not in redact(said)


def test_a_secret_of_blanks_does_not_blacken_everything() -> None:
    assert Redactor([Secret("KEY", " ")])("a b") == "a b"


def test_the_json_report_names_secrets_and_never_shows_them() -> None:
    report = Report(status="deployed", release=RELEASE, url="https://hello.test")
    text = report_json(report, PLAN)
    data = json.loads(text)
    assert data["release"]["environment"] == {"A_SECRET": {"secret": "A_SECRET"}}
    assert data["plan"]["secrets"] == ["A_SECRET"]
    assert data["plan"]["phases"][0]["steps"] == ["create staging"]
    assert "planted-value" not in text
    assert report_data(report)["status"] == "deployed"


def test_a_narrow_terminal_encoding_breaks_nothing() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    TextReporter(Redactor(), out=out).warn(Problem(text="grüße", severity="warning"))
    out.flush()
    assert raw.getvalue() == b"warning: gr??e\n"
