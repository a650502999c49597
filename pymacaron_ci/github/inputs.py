"""The action's inputs, as action.yml hands them on, and what they mean as a command line.

Composite steps get no INPUT_* from GitHub: action.yml maps each input to PYM_INPUT_* itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

from pymacaron_ci.errors import ConfigError, SecretsError
from pymacaron_ci.github.context import Context
from pymacaron_ci.model import Problem
from pymacaron_ci.oidc import Login

PREFIX = "PYM_INPUT_"
COMMANDS = ("deploy", "dry-run", "validate", "build", "rollback", "status")
_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")  # an image's tag takes no more
_SECRETS = f"{PREFIX}SECRETS"
# What GitHub's `toJSON(secrets)` adds by itself.
_GITHUBS_OWN = "GITHUB_TOKEN"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The inputs, checked. Secrets are not among them: see `take_secrets`."""

    command: str | None = None
    folder: str = "."
    environment: str | None = None
    version: str | None = None
    wait_timeout: int | None = None
    skip_tests: bool = False
    simulate: bool = False
    summary: bool = True
    login: Login = field(default_factory=Login)


def read(environ: Mapping[str, str]) -> Inputs:
    """Raises ConfigError with all that is wrong. An empty input is one that wasn't given."""
    problems: list[Problem] = []

    def text(name: str) -> str | None:
        value = environ.get(PREFIX + name.upper().replace("-", "_"), "").strip()
        return value or None

    def flag(name: str, default: bool) -> bool:
        value = text(name)
        if value is None:
            return default
        if value.lower() not in ("true", "false"):
            problems.append(_problem(name, value, "write true or false"))
        return value.lower() == "true"

    def one_of(name: str, allowed: Sequence[str]) -> str | None:
        value = text(name)
        if value is not None and value not in allowed:
            problems.append(_problem(name, value, f"choose one of: {', '.join(allowed)}"))
        return value

    def seconds(name: str) -> int | None:
        value = text(name)
        if value is None:
            return None
        if not value.isascii() or not value.isdigit() or not 0 < int(value) <= 86_400:
            problems.append(_problem(name, value, "write a number of seconds, such as 900"))
            return None
        return int(value)

    def word(name: str) -> str | None:
        value = text(name)
        if value is not None and value.startswith("-"):
            problems.append(_problem(name, value, "it must not begin with a dash"))
        return value

    def label(name: str) -> str | None:
        value = text(name)
        if value is not None and not _LABEL.fullmatch(value):
            problems.append(_problem(name, value, "write letters, digits, '_', '.' and '-' only"))
        return value

    inputs = Inputs(
        command=one_of("command", COMMANDS),
        folder=word("working-directory") or ".",
        environment=word("environment"),
        version=label("version"),
        wait_timeout=seconds("wait-timeout"),
        skip_tests=flag("skip-tests", False),
        simulate=flag("simulate", False),
        summary=flag("summary", True),
        login=Login(
            aws_role=word("aws-role-to-assume"),
            aws_region=word("aws-region"),
            gcp_provider=word("gcp-workload-identity-provider"),
            gcp_service_account=word("gcp-service-account"),
        ),
    )
    problems.extend(inputs.login.problems())
    if problems:
        raise ConfigError(problems=problems)
    return inputs


def _problem(name: str, value: str, hint: str) -> Problem:
    return Problem(text=f"the action's input {name} is '{value[:60]}'", hint=hint)


@dataclass(frozen=True)
class Choice:
    """The command to run, and why it is another one than a push would run."""

    command: str
    why: str | None = None


def choose(inputs: Inputs, context: Context | None) -> Choice:
    """A proposal is planned, not deployed; one by a stranger, whom GitHub trusts with nothing, is
    validated. A command that was asked for outright is run, but for a dry run by a stranger."""
    stranger = context.stranger if context else None
    if stranger and inputs.command in (None, "dry-run"):
        return Choice(
            "validate",
            f"{stranger}: GitHub gives it no secrets, so the configuration is validated "
            "and no plan is made",
        )
    if inputs.command:
        return Choice(inputs.command)
    if context and context.is_proposal:
        return Choice(
            "dry-run", f"on {context.event} the action shows the plan and deploys nothing"
        )
    return Choice("deploy")


def arguments(inputs: Inputs, command: str, report: str | None = None) -> list[str]:
    """The command line of pymacaron-ci for these inputs; each command gets the flags it knows."""
    line = [command, "-C", inputs.folder]
    if inputs.environment:
        line += ["--env", inputs.environment]
    if command == "validate":
        return [*line, "--format", "github"]
    if report:
        line += ["--report", report]
    if inputs.simulate:
        line += ["--simulate"]
    if command in ("deploy", "rollback"):
        if inputs.skip_tests:
            line += ["--no-test"]
        if inputs.wait_timeout:
            line += ["--wait-timeout", str(inputs.wait_timeout)]
    if inputs.version and command in ("deploy", "dry-run", "build", "rollback"):
        line += ["--version", inputs.version]
    return line


@dataclass(frozen=True)
class Given:
    """Secrets taken out of the environment: those asked for, and names nobody asked for."""

    values: Mapping[str, str]
    unlisted: tuple[str, ...] = ()


def take_secrets(environ: MutableMapping[str, str], names: Sequence[str]) -> Given:
    """Takes each named secret out of the environment: the step's `env:` first, then the JSON input.

    After it no process that is started inherits one. A secret that isn't set arrives from GitHub as
    an empty value. Raises SecretsError if the input is no JSON object of texts.
    """
    offered = _offered(environ.pop(_SECRETS, ""))
    values: dict[str, str] = {}
    for name in names:
        value = environ.pop(name, None) or offered.get(name.upper())
        if value is not None:
            values[name] = value
    asked = {name.upper() for name in names} | {_GITHUBS_OWN}
    return Given(values, tuple(sorted(set(offered) - asked)))


def _offered(blob: str) -> dict[str, str]:
    """The JSON input by upper-case name, as GitHub compares names of secrets."""
    if not blob.strip():
        return {}
    hint = "write secrets: '{\"NAME\": ${{ toJSON(secrets.NAME) }}}'"
    try:
        data = json.loads(blob)
    except (ValueError, RecursionError):  # the text itself must not be shown, so neither the cause
        raise SecretsError("the action's input secrets is not JSON", hint=hint) from None
    if not isinstance(data, dict):
        raise SecretsError("the action's input secrets is not a JSON object", hint=hint)
    wrong = sorted(name for name, value in data.items() if not isinstance(value, str | None))
    if wrong:
        raise SecretsError(
            f"the action's input secrets holds something else than text: {', '.join(wrong)}",
            hint="put values in quotes, or pass them by the step's env",
        )
    return {name.upper(): value or "" for name, value in data.items()}
