"""The command `pymacaron-ci`: flags, signals, exit codes; alone reads the environment and exits."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import click

from pymacaron_ci import __version__
from pymacaron_ci.errors import ConfigError, Failure, Stopped
from pymacaron_ci.model import Problem, Report, Secret

Command = Callable[..., Any]


def _where(function: Command) -> Command:
    """The options that every command about a service has."""
    for option in (
        click.option(
            "--format",
            "format_",
            type=click.Choice(["text", "json", "github"]),
            help="How to write what is found; github where GITHUB_ACTIONS is set, else text.",
        ),
        click.option("--env", "environment", metavar="ENV", help="Use pym-config.ENV.yaml."),
        click.option(
            "-C",
            "folder",
            metavar="DIR",
            type=click.Path(path_type=Path),
            default=Path(),
            help="The service's folder; the working directory by default.",
        ),
    ):
        function = option(function)
    return function


def _checked_version(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}", value):
        raise click.BadParameter(
            "a version is an image's tag and a label: letters, digits, '_', '.' and '-', at most 63"
        )
    return value


def _deploying(function: Command) -> Command:
    """The options of commands that make or prove a release."""
    for option in (
        click.option("--report", type=click.Path(path_type=Path), help="Write the report as JSON."),
        click.option(
            "--wait-timeout",
            type=click.IntRange(min=1),
            metavar="SECONDS",
            help="The longest that any one wait may take.",
        ),
        click.option(
            "--no-test", is_flag=True, help="Run neither unit tests nor acceptance tests."
        ),
        click.option(
            "--version",
            "version",
            metavar="TEXT",
            callback=_checked_version,
            help="Name the release's version yourself; the commit's by default.",
        ),
        click.option("--no-unittest", is_flag=True, help="Don't run the tests in test/."),
        click.option(
            "--simulator-state",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Where simulated clouds keep their state; DIR/.pymacaron/simulator by default.",
        ),
        click.option(
            "--simulate",
            is_flag=True,
            help="Use clouds simulated on this machine: no account, nothing leaves it.",
        ),
    ):
        function = option(function)
    return function


class _Group(click.Group):
    """Lists the commands in the order of a user's day, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's own)
        return list(self.commands)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 2 configuration, 3 secrets, 4 build, 5 deploy, 6 the new release"
    " did not prove itself (undone), 7 undo failed, 70 out of time, 130/143 stopped by a signal.",
)
@click.version_option(__version__, prog_name="pymacaron-ci")
def cli() -> None:
    """Validate, build and deploy an OpenAPI Python service, and prove that it works.

    \b
    Examples:
      pymacaron-ci validate                 what is wrong with pym-config.yaml
      pymacaron-ci dry-run                  what a deployment would change
      pymacaron-ci deploy --simulate        rehearse it on this machine, without an account
      pymacaron-ci deploy --env staging     deploy with pym-config.staging.yaml
      pymacaron-ci rollback                 put the former release back
    """


@cli.command()
@_where
def validate(folder: Path, environment: str | None, format_: str | None) -> int:
    """Report everything that is wrong with the configuration, with its place.

    \b
    Examples:
      pymacaron-ci validate
      pymacaron-ci validate -C services/hello --env aws --format json
    """
    from pymacaron_ci import config
    from pymacaron_ci.problems import render_json, render_text

    try:
        loaded = config.load(folder, environment)
        problems, code = loaded.warnings, 0
    except ConfigError as error:
        loaded, problems, code = None, error.problems, error.exit_code
    chosen = _format(format_)
    if chosen == "json":
        click.echo(json.dumps(render_json(problems), indent=2))
    elif chosen == "github":
        desk = _Desk(chosen)
        desk.reporter.finished(
            Report(
                status="valid" if loaded else "failed",
                exit_code=code,
                target=loaded.target if loaded else None,
                problems=tuple(problems),
            )
        )
    elif problems:
        click.echo(render_text(problems, color=sys.stdout.isatty()))
    if loaded and chosen != "json":
        click.echo(f"{loaded.file} is valid: {loaded.settings.name} on {loaded.target}")
    return code


@cli.command("dry-run")
@_where
@_deploying
def dry_run(**flags: Any) -> int:
    """Show what a deployment would build and change; change nothing.

    \b
    Examples:
      pymacaron-ci dry-run
      pymacaron-ci dry-run --format json
    """
    from pymacaron_ci import parts

    return _run(parts.dry_run, **flags)


@cli.command()
@_where
@_deploying
@click.option("--push/--no-push", default=True, help="Push the image to its registry.")
def build(**flags: Any) -> int:
    """Run the unit tests, build the image and push it; deploy nothing.

    \b
    Examples:
      pymacaron-ci build
      pymacaron-ci build --no-push
    """
    from pymacaron_ci import parts

    return _run(parts.build, **flags)


@cli.command()
@_where
@_deploying
def deploy(**flags: Any) -> int:
    """Test, build, deploy and prove a release; undo it when it does not work.

    \b
    Examples:
      pymacaron-ci deploy
      pymacaron-ci deploy --env staging
      pymacaron-ci deploy --simulate
    """
    from pymacaron_ci import parts

    return _run(parts.deploy, **flags)


@cli.command()
@_where
@_deploying
def rollback(**flags: Any) -> int:
    """Put the release back that served before the one that is live now.

    \b
    Examples:
      pymacaron-ci rollback
      pymacaron-ci rollback --env staging --no-test
    """
    from pymacaron_ci import parts

    return _run(parts.rollback, **flags)


@cli.command()
@_where
@_deploying
def status(**flags: Any) -> int:
    """Tell which release is live, as the cloud says.

    \b
    Examples:
      pymacaron-ci status
      pymacaron-ci status --simulate
    """
    from pymacaron_ci import parts

    return _run(parts.status, **flags)


@cli.command()
def schema() -> int:
    """Print the JSON Schema of pym-config.yaml, for editors.

    \b
    Example:
      pymacaron-ci schema > pym-config.schema.json
    """
    from pymacaron_ci.options import render

    click.echo(render.schema_text(), nl=False)
    return 0


@cli.group()
def simulator() -> None:
    """The clouds that `--simulate` uses: they run on until they are stopped.

    \b
    Examples:
      pymacaron-ci simulator status
      pymacaron-ci simulator stop
      pymacaron-ci simulator reset          forget everything that was deployed to them
    """


def _status_lines(client: Any, state: Path) -> Iterator[str]:
    running = client.status(state)
    if running is None:
        yield "no simulator runs here"
        return
    yield f"the simulator runs as process {running.pid}; instances: {running.endpoints.instances}"
    for service in running.services:
        serving = service.revision or "nothing serves"
        yield f"  {service.name}  {service.url}  {serving}, {service.instances} instances"
    if not running.services:
        yield "  nothing is deployed"


def _stop_lines(client: Any, state: Path) -> Iterator[str]:
    yield "stopped; its state stays" if client.stop(state) else "no simulator runs here"


def _reset_lines(client: Any, state: Path) -> Iterator[str]:
    client.reset(state)
    yield "stopped; everything that was deployed is forgotten"


_SIMULATOR = {"status": _status_lines, "stop": _stop_lines, "reset": _reset_lines}


def _simulator_command(name: str, summary: str) -> None:
    @simulator.command(name, help=summary)
    @click.option(
        "-C", "folder", metavar="DIR", type=click.Path(path_type=Path), default=Path(),
        help="The service's folder.",
    )  # fmt: skip
    @click.option("--simulator-state", type=click.Path(path_type=Path), metavar="DIR")
    def command(folder: Path, simulator_state: Path | None) -> int:
        from pymacaron_ci import parts
        from pymacaron_ci.simulator import client

        state = simulator_state or parts.simulator_state(folder)
        for line in _SIMULATOR[name](client, state):
            click.echo(line)
        return 0


_simulator_command("status", "Tell what runs and where it answers.")
_simulator_command("stop", "Stop the simulated clouds and their services; their state stays.")
_simulator_command("reset", "Stop them and forget everything that was deployed.")


class _Desk:
    """Where a command's words go: a terminal or a log, JSON, or a workflow's step."""

    def __init__(
        self, format_: str | None, *, simulated: bool = False, report_file: Path | None = None
    ) -> None:
        from pymacaron_ci.github import run as github
        from pymacaron_ci.reporter import JsonReporter, Redactor, Reporter, TextReporter

        self.redact = Redactor()
        self.github = github.begin(os.environ, sys.stdout, Path.cwd(), wanted=format_ == "github")
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
            return {name: os.environ.pop(name) for name in names if name in os.environ}
        from pymacaron_ci.github.inputs import take_secrets

        given = take_secrets(os.environ, names)
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


def _run(action: Callable[[Any], Report], **flags: Any) -> int:
    """Gives a command its parts and the environment; reports how it ended, however it ended."""
    from pymacaron_ci import parts
    from pymacaron_ci.reporter import report_json
    from pymacaron_ci.signals import Signals

    start = time.monotonic()
    report_file: Path | None = flags.pop("report")
    desk = _Desk(flags.pop("format_"), simulated=flags["simulate"], report_file=report_file)
    signals = Signals(lambda text: click.echo(text, err=True))
    with signals.installed():
        try:
            report = action(
                parts.Inputs(
                    environ=os.environ,
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
        with signals.hold():
            report = replace(
                report, simulated=flags["simulate"], seconds=round(time.monotonic() - start, 3)
            )
            desk.reporter.finished(report)
            if report_file:
                text = desk.redact(report_json(report))
                report_file.write_text(text + "\n", encoding="utf-8")
    return report.exit_code


def _format(chosen: str | None) -> str:
    return chosen or ("github" if os.environ.get("GITHUB_ACTIONS") == "true" else "text")


def main() -> NoReturn:
    """The console script: every way out has its exit code."""
    sys.exit(_main(sys.argv[1:]))


def _main(arguments: list[str]) -> int:
    try:
        code = cli.main(args=arguments, prog_name="pymacaron-ci", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return ConfigError.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return 130
    except Stopped as stop:
        click.echo(str(stop), err=True)
        return stop.exit_code
    except Failure as failure:
        for problem in failure.problems:
            click.echo(str(problem), err=True)
        return failure.exit_code
