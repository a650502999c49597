"""The command `pymacaron-ci`: flags, signals, exit codes; alone reads the environment and exits."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from pymacaron_ci import __version__
from pymacaron_ci.errors import ConfigError, Failure, Stopped
from pymacaron_ci.model import Report

Command = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Where:
    """The service a command is about."""

    folder: Path
    environment: str | None
    format: str


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

    loaded = config.load(folder, environment)
    _show_problems(loaded.warnings, _format(format_))
    if _format(format_) == "text":
        click.echo(f"{loaded.file} is valid: {loaded.settings.name} on {loaded.target}")
    return 0


@cli.command("dry-run")
@_where
@_deploying
def dry_run(folder: Path, environment: str | None, format_: str | None, **flags: Any) -> int:
    """Show what a deployment would build and change; change nothing.

    \b
    Examples:
      pymacaron-ci dry-run
      pymacaron-ci dry-run --format json
    """
    from pymacaron_ci import parts

    return _run(parts.dry_run, _where_of(folder, environment, format_), flags)


@cli.command()
@_where
@_deploying
@click.option("--push/--no-push", default=True, help="Push the image to its registry.")
def build(folder: Path, environment: str | None, format_: str | None, **flags: Any) -> int:
    """Run the unit tests, build the image and push it; deploy nothing.

    \b
    Examples:
      pymacaron-ci build
      pymacaron-ci build --no-push
    """
    from pymacaron_ci import parts

    return _run(parts.build, _where_of(folder, environment, format_), flags)


@cli.command()
@_where
@_deploying
def deploy(folder: Path, environment: str | None, format_: str | None, **flags: Any) -> int:
    """Test, build, deploy and prove a release; undo it when it does not work.

    \b
    Examples:
      pymacaron-ci deploy
      pymacaron-ci deploy --env staging
      pymacaron-ci deploy --simulate
    """
    from pymacaron_ci import parts

    return _run(parts.deploy, _where_of(folder, environment, format_), flags)


@cli.command()
@_where
@_deploying
def rollback(folder: Path, environment: str | None, format_: str | None, **flags: Any) -> int:
    """Put the release back that served before the one that is live now.

    \b
    Examples:
      pymacaron-ci rollback
      pymacaron-ci rollback --env staging --no-test
    """
    from pymacaron_ci import parts

    return _run(parts.rollback, _where_of(folder, environment, format_), flags)


@cli.command()
@_where
@_deploying
def status(folder: Path, environment: str | None, format_: str | None, **flags: Any) -> int:
    """Tell which release is live, as the cloud says.

    \b
    Examples:
      pymacaron-ci status
      pymacaron-ci status --simulate
    """
    from pymacaron_ci import parts

    return _run(parts.status, _where_of(folder, environment, format_), flags)


@cli.command()
def schema() -> int:
    """Print the JSON Schema of pym-config.yaml, for editors.

    \b
    Example:
      pymacaron-ci schema > pym-config.schema.json
    """
    from pymacaron_ci.options import render

    click.echo(render.json_schema(), nl=False)
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
        for line in getattr(client, name)(state):
            click.echo(line)
        return 0


_simulator_command("status", "Tell what runs and where it answers.")
_simulator_command("stop", "Stop the simulated clouds and their services; their state stays.")
_simulator_command("reset", "Stop them and forget everything that was deployed.")


def _format(chosen: str | None) -> str:
    if chosen:
        return chosen
    return "github" if os.environ.get("GITHUB_ACTIONS") == "true" else "text"


def _where_of(folder: Path, environment: str | None, format_: str | None) -> Where:
    return Where(folder=folder, environment=environment, format=_format(format_))


def _run(action: Callable[..., Report], where: Where, flags: dict[str, Any]) -> int:
    """Hands the environment to a command's parts once, and writes its report."""
    from pymacaron_ci import parts
    from pymacaron_ci.signals import Signals

    report_file: Path | None = flags.pop("report")
    signals = Signals(lambda text: click.echo(text, err=True))
    with signals.installed():
        inputs = parts.Inputs(
            folder=where.folder,
            environment=where.environment,
            format=where.format,
            environ=os.environ,
            signals=signals,
            **flags,
        )
        report = action(inputs)
    if report_file:
        from pymacaron_ci.reporter import report_json

        report_file.write_text(report_json(report) + "\n", encoding="utf-8")
    return report.exit_code


def _show_problems(problems: Any, format_: str) -> None:
    from pymacaron_ci import problems as shown

    if format_ == "json":
        click.echo(json.dumps(shown.render_json(problems), indent=2))
    elif format_ == "github":
        from pymacaron_ci import github

        for line in github.annotations(problems):
            click.echo(line)
    elif problems:
        click.echo(shown.render_text(problems, colour=sys.stdout.isatty()), err=True)


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
        _show_problems(failure.problems, _asked_format(arguments))
        for line in failure.details:
            click.echo(f"  {line}", err=True)
        return failure.exit_code


def _asked_format(arguments: list[str]) -> str:
    """The format of a command that failed before it could say so itself."""
    for i, argument in enumerate(arguments):
        if argument.startswith("--format="):
            return argument.partition("=")[2]
        if argument == "--format" and i + 1 < len(arguments):
            return arguments[i + 1]
    return _format(None)
