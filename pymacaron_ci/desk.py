"""Runs a command: gives it its parts, says where its words go, and reports how it ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pymacaron_ci.errors import Failure, Stopped
from pymacaron_ci.model import Problem, Report, Secret

_REPORT_IT = "what was begun is undone; please report it with the traceback that follows"


class Desk:
    """Where a command's words go: a terminal or a log, JSON, or a workflow's step."""

    def __init__(
        self,
        environ: MutableMapping[str, str],
        format_: str | None,
        *,
        simulated: bool = False,
        report_file: Path | None = None,
    ) -> None:
        from pymacaron_ci import github
        from pymacaron_ci.reporter import JsonReporter, Redactor, Reporter, TextReporter

        self._environ = environ
        self.redact = Redactor()
        self.github = github.begin(environ, sys.stdout, Path.cwd(), wanted=format_ == "github")
        self.format = format_ or ("github" if self.github else "text")
        self.reporter: Reporter
        if self.format == "json":
            self.reporter = JsonReporter(self.redact, simulated=simulated)
        elif self.github and self.format == "github":
            text = TextReporter(self.redact, out=self.github.log, simulated=simulated)
            self.reporter = self.github.reporter(text, redact=self.redact, report_file=report_file)
            # A traceback or a library's warning may quote anything: it must not become a command.
            sys.stderr = self.github.log
        else:
            self.reporter = TextReporter(self.redact, simulated=simulated)

    def take_secrets(self, names: Sequence[str]) -> Mapping[str, str]:
        """Out of the environment: no process that is started later inherits one."""
        if not self.github:
            return {name: self._environ.pop(name) for name in names if name in self._environ}
        from pymacaron_ci.github.inputs import take_secrets

        given = take_secrets(self._environ, names)
        for name in given.unlisted:
            self.reporter.warn(
                Problem(
                    text=f"the secret {name} is given and not listed in env_secrets: not used",
                    severity="warning",
                )
            )
        return given.values

    def hide(self, secrets: tuple[Secret, ...]) -> None:
        """Before the first line is printed."""
        if self.github:
            self.github.mask(secrets)
        self.redact.hide(secrets)


def run(action: Callable[[Any], Report], environ: MutableMapping[str, str], **flags: Any) -> int:
    """Gives a command its parts and the environment; reports how it ended, however it ended."""
    from pymacaron_ci import parts
    from pymacaron_ci.reporter import report_json
    from pymacaron_ci.signals import Signals

    start = time.monotonic()
    report_file: Path | None = flags.pop("report")
    desk = Desk(environ, flags.pop("format_"), simulated=flags["simulate"], report_file=report_file)
    signals = Signals(lambda text: click.echo(text, err=True))
    bug: Exception | None = None
    with signals.installed():
        try:
            report = action(
                parts.Inputs(
                    environ=environ,
                    ambient=dict(environ),
                    take_secrets=desk.take_secrets,
                    reporter=desk.reporter,
                    hide=desk.hide,
                    hold_signals=signals.hold,
                    run_url=desk.github.context.run_url if desk.github else None,
                    login=desk.github.inputs().login if desk.github else None,
                    tokens=desk.github.tokens if desk.github else None,
                    **flags,
                )
            )
        except Failure as failure:
            report = Report(
                status="failed",
                exit_code=failure.exit_code,
                problems=failure.problems,
                notes=failure.details,
            )
        except Stopped as stop:
            report = Report(
                status="stopped", exit_code=stop.exit_code, problems=(Problem(text=str(stop)),)
            )
        except Exception as error:  # noqa: BLE001  (raised again below, when its end is reported)
            bug = error
            report = Report(
                status="failed",
                exit_code=1,
                problems=(Problem(text=f"a bug in pymacaron-ci: {error!r}", hint=_REPORT_IT),),
            )
        with signals.hold():
            report = replace(
                report, simulated=flags["simulate"], seconds=round(time.monotonic() - start, 3)
            )
            desk.reporter.finished(report)
            if report_file:
                _write(report_file, desk.redact(report_json(report)))
    if bug:
        raise bug
    return report.exit_code


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise Failure(
            f"the report can't be written to {file}: {error.strerror}",
            hint="name a file in a folder that exists and can be written to",
        ) from error
