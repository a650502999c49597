"""The command `pymacaron-ci`: flags, signals, exit codes; alone reads the environment and exits."""

from __future__ import annotations

import gc
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from pymacaron_ci import __version__
from pymacaron_ci.errors import ConfigError, Failure, Stopped
from pymacaron_ci.model import Report
from pymacaron_ci.simulator_commands import simulator

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
            help="How long anything may be waited for, such as a launch or an answer; by default "
            "as long as the docs of the target say, and 120 for /ping and /version.",
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
        from pymacaron_ci.desk import Desk

        Desk(os.environ, chosen).reporter.finished(
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
    from pymacaron_ci import desk, parts

    return desk.run(parts.dry_run, os.environ, **flags)


@cli.command()
@_where
@_deploying
@click.option("--push/--no-push", default=True, help="Push the image to its registry.")
@click.option(
    "--output",
    metavar="FILE|docker",
    help="Also leave the image in a file for `docker load`, or in the Docker engine.",
)
@click.option(
    "--upgrade-dependencies",
    is_flag=True,
    help="Resolve the packages anew, even where the registry has them for these requirements.",
)
def build(**flags: Any) -> int:
    """Run the unit tests, build the image and push it; deploy nothing.

    \b
    Examples:
      pymacaron-ci build
      pymacaron-ci build --no-push
      pymacaron-ci build --no-push --output image.tar
    """
    from pymacaron_ci import desk, parts

    return desk.run(parts.build, os.environ, **flags)


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
    from pymacaron_ci import desk, parts

    return desk.run(parts.deploy, os.environ, **flags)


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
    from pymacaron_ci import desk, parts

    return desk.run(parts.rollback, os.environ, **flags)


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
    from pymacaron_ci import desk, parts

    return desk.run(parts.status, os.environ, **flags)


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


cli.add_command(simulator)


def _format(chosen: str | None) -> str:
    return chosen or ("github" if os.environ.get("GITHUB_ACTIONS") == "true" else "text")


def main() -> NoReturn:
    """The console script: every way out has its exit code."""
    code = _main(sys.argv[1:])
    gc.freeze()  # looking for garbage at the end takes a tenth of a short command's time
    sys.exit(code)


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
