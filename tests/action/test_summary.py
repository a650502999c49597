"""The job's summary: what it tells, and that foreign text stays text in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pymacaron_ci.github.files import LONGEST_SUMMARY
from pymacaron_ci.github.summary import block, code, next_step, render, text
from pymacaron_ci.model import (
    Image,
    Location,
    Phase,
    Plan,
    Problem,
    Release,
    Report,
    Secret,
    Status,
    Step,
    TestResult,
)

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
RELEASE = Release(
    id="0123456789ab",
    version="261122-2100-abcdef0",
    revision="a" * 40,
    image=Image(repository="reg/repo", tag="t", digest="sha256:" + "0" * 64),
    environment={"KEY": Secret("KEY", "hidden-value"), "MODE": "x"},
)


@dataclass(frozen=True)
class Create(Step):
    name: str

    def __str__(self) -> str:
        return f"create {self.name}"


PLAN = Plan(
    target="gcp-cloud-run",
    release=RELEASE,
    current=replace(RELEASE, id="before"),
    phases=(
        Phase(name="staging", steps=(Create("a"), Create("b|c"))),
        Phase(name="finish", steps=(Create("d"),), proof="none"),
    ),
)
DEPLOYED = Report(
    status="deployed",
    target="gcp-cloud-run",
    release=RELEASE,
    previous=replace(RELEASE, id="before"),
    url="https://hello.example.com",
    staging_url="https://staging.example.com",
    changed=True,
    seconds=61.4,
)


def visible(markdown: str) -> str:
    """The words of rendered Markdown."""
    html = re.sub(r"<[^>]+>", "", MARKDOWN.render(markdown))
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#64;", "@")):
        html = html.replace(entity, character)
    return html.replace("&amp;", "&")


@given(st.text(alphabet="ab \\`*_{}[]()#+!|~@<>&-:.\n\"'"))
def test_text_is_shown_as_it_is_in_a_table(value: str) -> None:
    html = MARKDOWN.render(f"| a | b |\n|---|---|\n| {text(value)} | end |")
    assert html.count("<td>") == 2
    assert not re.search(r"<(?!/?(table|thead|tbody|tr|th|td)>)", html)
    shown = visible(f"| a | b |\n|---|---|\n| {text(value)} | end |")
    assert "".join(value.split()) in "".join(shown.split())


@given(st.text(alphabet="ab`| \\"))
def test_code_is_shown_as_it_is(value: str) -> None:
    html = MARKDOWN.render(f"| a | b |\n|---|---|\n| {code(value)} | end |")
    assert html.count("<td>") == 2


@given(st.text(alphabet="ab`~\n<>"))
def test_a_block_ends_where_we_end_it(value: str) -> None:
    html = MARKDOWN.render(block(value) + "\nafter")
    assert html.count("<pre>") == 1
    assert html.rstrip().endswith("<p>after</p>")


def test_a_deployment_is_told_with_links() -> None:
    shown = render(DEPLOYED, PLAN, repository="octo/app")
    assert "✅ gcp-cloud-run: deployed" in shown
    assert "[https://hello.example.com](https://hello.example.com)" in shown.replace("\\", "")
    assert f"https://github.com/octo/app/commit/{'a' * 40}" in shown
    assert "| took | 61 s |" in shown
    assert "`before`" in shown
    assert "### Plan" not in shown


def test_a_plan_is_told_step_by_step_with_secrets_by_name() -> None:
    shown = render(replace(DEPLOYED, status="planned", url="known later", staging_url=None), PLAN)
    words = visible(shown)
    assert "create b|c" in words
    assert shown.count("acceptance tests") == 1
    assert "`KEY`" in shown
    assert "`MODE`" not in shown
    assert "hidden-value" not in shown
    assert "known later" in words
    assert "](" not in shown.partition("### Plan")[0]


def test_a_release_that_is_live_already_changes_nothing() -> None:
    shown = render(replace(DEPLOYED, status="unchanged"), replace(PLAN, phases=()))
    assert "Nothing changes" in shown


def test_failed_tests_and_problems_are_told_in_full() -> None:
    report = Report(
        status="undone",
        exit_code=6,
        simulated=True,
        problems=(
            Problem(text="bad | thing", hint="mend `it`", location=Location(file="a.yaml", line=3)),
            Problem(text="doubtful", severity="warning"),
        ),
        failures=(TestResult(name="t::x<y>", message="AssertionError\n```\n::error::x"),),
        notes=tuple(f"log line {i}" for i in range(9)),
    )
    shown = render(report)
    words = visible(shown)
    assert "a.yaml:3" in words
    assert "bad | thing" in words
    assert "1 test failed" in words
    assert "t::x<y>" in words
    assert "log line 8" in words
    assert "simulat" in words
    assert "❌" in shown
    assert "⚠️" in shown


@pytest.mark.parametrize("exit_code", [2, 3, 4, 5, 6, 70])
def test_every_failure_says_what_to_do_next(exit_code: int) -> None:
    assert next_step(Report(status="failed", exit_code=exit_code))


@pytest.mark.parametrize(
    ("status", "words"), [("undo-failed", "human"), ("stopped", "again"), ("planned", "merge")]
)
def test_the_next_step_follows_from_what_happened(status: Status, words: str) -> None:
    assert words in next_step(Report(status=status, exit_code=5))


def test_what_serves_is_told_only_when_something_does() -> None:
    alone = Report(status="undone", exit_code=6)
    assert "nothing new is live" in next_step(alone)
    assert "the former release serves" in next_step(replace(alone, previous=RELEASE))


def test_a_flood_of_problems_stays_far_below_githubs_limit() -> None:
    flood = tuple(Problem(text="x" * 100_000, hint="y" * 100_000) for _ in range(3_000))
    failures = tuple(TestResult(name="n", message="m" * 100_000) for _ in range(3))
    shown = render(Report(status="failed", exit_code=2, problems=flood, failures=failures))
    assert len(shown) < LONGEST_SUMMARY
    assert "and 2800 more" in shown
