"""What a person sees of a run, on a terminal or in a log. Decides looks, never meaning."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import is_dataclass
from typing import IO, Any, Protocol

import click

from pymacaron_ci.errors import ConfigError, SecretsError
from pymacaron_ci.model import Plan, Problem, Release, Report, Secret
from pymacaron_ci.problems import render_json, render_text

HEADLINES = {
    "deployed": "deployed",
    "unchanged": "nothing to do",
    "planned": "nothing was changed: this was a dry run",
    "built": "built",
    "valid": "valid",
    "live": "live",
    "nothing-live": "nothing is live",
    "failed": "failed",
    "undone": "failed and undone",
    "undo-failed": "failed, and undoing failed too: a human is needed",
    "stopped": "stopped",
}


class Reporter(Protocol):
    """Announcements of the pipeline. The text of a stage is a verb and its object."""

    def planned(self, plan: Plan) -> None: ...

    def stage(self, title: str) -> AbstractContextManager[None]: ...

    def progress(self, text: str) -> None: ...

    def warn(self, problem: Problem) -> None: ...

    def finished(self, report: Report) -> None: ...


class Redactor:
    """Takes secret values out of text that somebody else wrote (a build, a test, a log)."""

    def __init__(self, secrets: Sequence[Secret] = ()) -> None:
        self._values: list[str] = []
        self.hide(secrets)

    def hide(self, secrets: Sequence[Secret]) -> None:
        """From now on, these too."""
        values = set(self._values)
        for secret in secrets:
            value = secret.reveal()
            values.add(value)
            values.update(line for line in value.splitlines() if len(line) >= 4)
            values.add(json.dumps(value)[1:-1])
            values.add(repr(value)[1:-1])
        self._values = sorted((v for v in values if v.strip()), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, "***")
        return text


class TextReporter:
    """Plain lines, colours only where click finds a terminal. Progress shows the time passed."""

    def __init__(
        self, redact: Redactor, *, out: IO[str] | None = None, simulated: bool = False
    ) -> None:
        self._redact = redact
        self._out = out
        self._simulated = simulated
        self._start = time.monotonic()
        self._stage_start = self._start
        self._told: tuple[str, ...] = ()
        self._blank = False

    def _line(self, text: str = "", **style: Any) -> None:
        # The stream is looked up at each line: it may be replaced between making and using this.
        out = self._out or sys.stdout
        if self._blank and not text:
            return
        self._blank = not text
        text = self._redact(text)
        encoding = getattr(out, "encoding", None) or "utf-8"
        text = text.encode(encoding, "replace").decode(encoding)
        click.secho(text, file=out, **style)
        out.flush()

    def planned(self, plan: Plan) -> None:
        where = f"{plan.target} (simulated)" if self._simulated else plan.target
        self._line(f"Plan for {where}: release {plan.release.id}, version {plan.release.version}")
        for text in plan_lines(plan):
            self._line(f"  {text}")
        self._line()
        self._told = plan.notes

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        self._stage_start = time.monotonic()
        self._line(f"{title} ...", bold=True)
        try:
            yield
        except BaseException:  # a signal ends a stage too; whatever it was goes on its way
            self._line(f"  failed after {self._seconds()}", fg="red")
            raise
        self._line(f"  done in {self._seconds()}", fg="green")

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._stage_start:.1f} s"

    def progress(self, text: str) -> None:
        passed = time.monotonic() - self._stage_start
        for line in text.splitlines():
            self._line(f"  {passed:6.1f} s  {line}", dim=True)

    def warn(self, problem: Problem) -> None:
        self._problems([problem])

    def _problems(self, problems: Sequence[Problem]) -> None:
        if problems:
            out = self._out or sys.stdout
            self._line(render_text(problems, color=out.isatty()))

    def finished(self, report: Report) -> None:
        self._line()
        if report.simulated and report.target:
            self._line("This was a simulation: no cloud was asked, nothing left this machine.")
        for failure in report.failures:
            self._line(f"failed test: {failure.name}", fg="red")
            for text in failure.message.splitlines()[:20]:
                self._line(f"    {text}")
        self._problems(report.problems)
        for text in report.notes:
            if text not in self._told:
                self._line(f"  {text}")
        colour = "green" if report.exit_code == 0 else "red"
        self._line(headline(report), fg=colour, bold=True)


class JsonReporter:
    """One JSON document on standard output at the end; progress goes to standard error."""

    def __init__(self, redact: Redactor, *, simulated: bool = False) -> None:
        self._redact = redact
        self._text = TextReporter(redact, out=sys.stderr, simulated=simulated)
        self._plan: Plan | None = None
        self._warnings: list[Problem] = []

    def planned(self, plan: Plan) -> None:
        self._plan = plan
        self._text.planned(plan)

    def stage(self, title: str) -> AbstractContextManager[None]:
        return self._text.stage(title)

    def progress(self, text: str) -> None:
        self._text.progress(text)

    def warn(self, problem: Problem) -> None:
        self._warnings.append(problem)
        self._text.warn(problem)

    def finished(self, report: Report) -> None:
        self._text.finished(report)
        data = report_data(report, self._plan) | {"warnings": render_json(self._warnings)}
        click.echo(self._redact(json.dumps(data, indent=2, sort_keys=True)))


def plan_lines(plan: Plan) -> list[str]:
    """The plan in words: what is built, what changes at the target, which secrets go along."""
    release = plan.release
    if plan.current:
        lines = [f"live now     release {plan.current.id}, version {plan.current.version}"]
    else:
        lines = ["live now     nothing that this tool deployed"]
    if not plan.phases:
        lines.append("no change    this release is live and proven")
    else:
        lines.append(f"image        {release.image}")
        for phase in plan.phases:
            for number, step in enumerate(phase.steps):
                lines.append(f"{phase.name if number == 0 else '':<12} {step}")
            if phase.proof != "none":
                tests = ", then the acceptance tests" if phase.proof == "tests" else ""
                lines.append(f"{'':<12} proof: health, /ping, /version carries {release.id}{tests}")
    names = ", ".join(sorted(s.name for s in release.secrets))
    if release.kept:
        names = "as the release had them"
    else:
        names = f"{names} (by name only)" if names else "none"
    lines.append(f"secrets      {names}")
    if plan.url:
        lines.append(f"live at      {plan.url}")
    lines.extend(f"note         {note}" for note in plan.notes)
    return lines


def headline(report: Report) -> str:
    """The last line of a run: what is true now."""
    parts = [HEADLINES[report.status]]
    if report.status in ("deployed", "unchanged", "planned", "built", "live") and report.release:
        parts.append(f"release {report.release.id}, version {report.release.version}")
        if report.url and report.status != "built":
            parts.append(report.url)
        if report.status in ("planned", "built") and report.release.image.digest:
            parts.append(f"image {report.release.image}")
    elif report.status in ("undone", "failed", "stopped") and report.target:
        parts.append(
            f"release {report.previous.id} still serves"
            if report.previous
            else "nothing was live before, nothing is live now"
        )
    elif report.exit_code in (ConfigError.exit_code, SecretsError.exit_code):
        parts.append("nothing was built or changed")
    return ": ".join([parts[0], ", ".join(parts[1:])] if parts[1:] else parts)


def _plain(value: object) -> Any:
    """Data for JSON: dataclasses by field, a secret by its name only."""
    if isinstance(value, Secret):
        return {"secret": value.name}
    if isinstance(value, Release):
        return {
            "id": value.id,
            "version": value.version,
            "revision": value.revision,
            "image": str(value.image),
            "digest": value.image.digest,
            "environment": {k: _plain(v) for k, v in sorted(value.environment.items())},
        }
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def report_data(report: Report, plan: Plan | None = None) -> dict[str, Any]:
    """The JSON report: stable names, no secret's value."""
    data: dict[str, Any] = _plain(report) | {"problems": render_json(report.problems)}
    if plan is not None:
        data["plan"] = {
            "target": plan.target,
            "url": plan.url,
            "notes": list(plan.notes),
            "current": _plain(plan.current),
            "phases": [
                {"name": p.name, "proof": p.proof, "steps": [str(s) for s in p.steps]}
                for p in plan.phases
            ],
            "secrets": sorted(s.name for s in plan.release.secrets),
        }
    return data


def report_json(report: Report, plan: Plan | None = None) -> str:
    return json.dumps(report_data(report, plan), indent=2, sort_keys=True)
