"""What can be wrong with a configuration beyond single values; each module looks at one side."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pymacaron_ci.document import Document
from pymacaron_ci.model import Location, Problem
from pymacaron_ci.options import OPTIONS, Settings, Target

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PLATFORMS_SECRETS = tuple(name for name, option in OPTIONS.items() if option.facts.names_secrets)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A configuration under examination.

    `settings` has defaults where the file has nothing usable; `usable`: the settings whose values
    passed. `target` is None when the file names none that exists. `secret_names`: with the setting
    that names each.
    """

    document: Document
    settings: Settings
    usable: frozenset[str]
    target: Target | None
    secret_names: Mapping[str, str]

    def at_value(self, *where: object) -> Location:
        return self.document.value_location(*where)

    def at_key(self, *where: object) -> Location:
        return self.document.key_location(*where)

    def at_target(self) -> Location:
        """Where deploy_target is given; the top of the file if it isn't."""
        return self.document.value_location("deploy_target")


def secret_names(data: Mapping[str, object]) -> dict[str, str]:
    """The variables whose names may stand for their values, each with the setting that names it:
    env_secrets, or one that has the platform fill them."""
    named: dict[str, str] = {}
    for setting in ("env_secrets", *PLATFORMS_SECRETS):
        names = data.get(setting)
        for name in names if isinstance(names, (list, dict)) else ():
            if isinstance(name, str) and VARIABLE.fullmatch(name):
                named.setdefault(name, setting)
    return named


def warning(text: str, hint: str | None, location: Location) -> Problem:
    return Problem(text=text, severity="warning", hint=hint, location=location)


def error(text: str, hint: str | None, location: Location) -> Problem:
    return Problem(text=text, hint=hint, location=location)


def too_long(case: Case, name: str, value: str, most: int, what: str) -> Iterator[Problem]:
    if len(value) > most:
        yield error(
            f"{name} has {len(value)} characters: {what}",
            f"choose one of at most {most}, such as {value[:most].rstrip('-')}",
            case.at_value(name),
        )
