"""One use of the action: install, validate, install what the target needs, become the tool.

Standard library only until the core lock is installed. A bad configuration is told before any
cloud's SDK is installed.
"""

from __future__ import annotations

import os
import site
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pymacaron_ci import installer
from pymacaron_ci.errors import BuildError, ConfigError, Failure, SecretsError
from pymacaron_ci.github import context, inputs
from pymacaron_ci.github.commands import Commands, Log
from pymacaron_ci.github.files import append_outputs, outputs
from pymacaron_ci.model import Report
from pymacaron_ci.oidc import stored_keys

if TYPE_CHECKING:  # it needs what core.txt installs
    from pymacaron_ci.config import Config

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "action" / "requirements"
LOCKS = {"aws-beanstalk": "aws.txt", "gcp-cloud-run": "gcp.txt", "gke": "gcp.txt"}


class Step:
    """One use of the action: what it was given, and the log it writes."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.context = context.read(environ)
        here = Path.cwd()
        root = self.context.workspace if self.context else here
        self.commands = Commands(sys.stdout, root=root, folder=here)
        self.log = Log(sys.stdout, self.commands)
        temp = self.context.temp if self.context else None
        # Without a runner's own folder one that nobody else can write to.
        self.temp = temp or Path.home() / ".cache"

    def say(self, text: str) -> None:
        self.log.write(text + "\n")
        self.log.flush()

    def install(self, lock: str, *, over: Path | None = None) -> Path:
        """The interpreter that has a lock's packages, and those below it."""
        start = time.monotonic()
        told: list[str] = []
        python = installer.ensure(
            self.temp / "pymacaron-ci",
            [REQUIREMENTS / lock],
            locked=True,
            paths=[] if over else [ROOT],
            over=over,
            environ=self.environ,
            progress=told.append,
        )
        if told:
            self.say(f"installed {lock} in {time.monotonic() - start:.1f} s")
        return python

    def failed(self, failure: Failure) -> int:
        """Tells a failure that comes before there is a tool to tell it."""
        for problem in failure.problems:
            self.commands.annotate(problem)
        for line in failure.details:
            self.say(f"  {line}")
        if self.context and self.context.outputs:
            report = Report(status="failed", exit_code=failure.exit_code)
            append_outputs(self.context.outputs, outputs(report))
        return failure.exit_code


def run(step: Step) -> int:
    """Doesn't come back when all goes well."""
    core = step.install("core.txt")
    site.addsitedir(str(installer.site_packages(core)))
    given = inputs.read(step.environ)
    choice = inputs.choose(given, step.context)
    if choice.why:
        step.commands.notice(choice.why)
    if choice.command == "validate":
        return become(core, inputs.arguments(given, "validate"), step.environ)

    from pymacaron_ci import config

    try:
        loaded = config.load(Path(given.folder), given.environment)
    except ConfigError:  # `validate` finds it again, and knows how to tell it
        return become(core, inputs.arguments(given, "validate"), step.environ)
    step.say(f"{loaded.file} is valid: {loaded.settings.name} on {loaded.target}")
    if not given.simulate:
        for problem in stored_keys(step.environ, loaded.target, given.login):
            step.commands.annotate(problem)
    python = core
    if choice.command in ("status", "rollback") or has_secrets(loaded, step.environ):
        python = step.install(LOCKS[loaded.target], over=core)
    report = step.temp / "pymacaron-ci" / f"report-{os.getpid()}.json"
    arguments = inputs.arguments(given, choice.command, report=str(report))
    return become(python, arguments, step.environ)


def has_secrets(loaded: Config, environ: Mapping[str, str]) -> bool:
    """Without them the tool stops before it needs an SDK, and tells each that is missing."""
    from pymacaron_ci import env_secrets

    try:
        given = inputs.take_secrets(dict(environ), loaded.secret_names)
        env_secrets.resolve(loaded, given.values)
    except SecretsError:
        return False
    return True


def become(python: Path, arguments: list[str], environ: Mapping[str, str]) -> int:
    """The same process goes on as the tool, so that the runner's signals reach it.

    -I keeps the caller's yaml.py, docker/ and PYTHONPATH out.
    """
    sys.stdout.flush()
    command = [str(python), "-I", "-u", "-X", "utf8", "-m", "pymacaron_ci", *arguments]
    os.execve(command[0], command, dict(environ))  # noqa: S606  (no shell: nothing to be quoted)


def main() -> int:
    step = Step(os.environ)
    try:
        return run(step)
    except Failure as failure:
        return step.failed(failure)
    except KeyboardInterrupt:
        step.say("stopped: nothing was begun")
        return 130
    except OSError as error:
        return step.failed(BuildError(f"the tool could not be started: {error}"))
