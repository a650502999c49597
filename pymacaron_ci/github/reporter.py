"""The pipeline's announcements on GitHub: folds in the log, annotations, outputs, summary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pymacaron_ci.github import summary
from pymacaron_ci.github.commands import Commands
from pymacaron_ci.github.context import Context
from pymacaron_ci.github.files import append_outputs, append_summary, outputs
from pymacaron_ci.model import Plan, Problem, Report, TestResult
from pymacaron_ci.reporter import Reporter


class GitHubReporter:
    """Wraps the reporter that writes the log. What the log tells, `text` must write to a `Log`."""

    def __init__(
        self,
        text: Reporter,
        commands: Commands,
        context: Context,
        *,
        redact: Callable[[str], str],
        report_file: Path | None = None,
        with_summary: bool = True,
    ) -> None:
        self._text = text
        self._commands = commands
        self._context = context
        self._redact = redact
        self._report_file = report_file
        self._summary = with_summary
        self._plan: Plan | None = None

    def planned(self, plan: Plan) -> None:
        self._plan = plan
        self._text.planned(plan)

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        with self._commands.group(title), self._commands.foreign(), self._text.stage(title):
            yield

    def progress(self, text: str) -> None:
        self._text.progress(text)

    def warn(self, problem: Problem) -> None:
        """On its line of the pull request, or in the log when there are too many."""
        problem = redacted(problem, self._redact)
        if not self._commands.annotate(problem):
            self._text.warn(problem)

    def finished(self, report: Report) -> None:
        """Annotations, then what they couldn't show; outputs and summary of a failure too."""
        report = replace(
            report,
            problems=tuple(redacted(p, self._redact) for p in report.problems),
            failures=tuple(
                TestResult(name=self._redact(f.name), message=self._redact(f.message))
                for f in report.failures
            ),
            notes=tuple(self._redact(note) for note in report.notes),
        )
        unshown = tuple(p for p in report.problems if not self._commands.annotate(p))
        with self._commands.foreign():
            self._text.finished(replace(report, problems=unshown))
        if self._context.outputs:
            append_outputs(self._context.outputs, outputs(report, self._report_file))
        if self._context.summary and self._summary:
            markdown = summary.render(report, self._plan, repository=self._context.repository)
            append_summary(self._context.summary, self._redact(markdown))


def redacted(problem: Problem, redact: Callable[[str], str]) -> Problem:
    return replace(
        problem, text=redact(problem.text), hint=redact(problem.hint) if problem.hint else None
    )
