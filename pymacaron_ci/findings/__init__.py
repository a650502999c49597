"""What can be wrong with a configuration beyond single values; each module looks at one side."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pymacaron_ci.document import Document
from pymacaron_ci.model import Location, Problem
from pymacaron_ci.options import Settings, Target

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A configuration under examination.

    `settings` has defaults where the file has nothing usable; `usable`: the settings whose values
    passed. `target` is None when the file names none that exists.
    """

    document: Document
    settings: Settings
    usable: frozenset[str]
    target: Target | None
    secret_names: frozenset[str]

    def at_value(self, *where: object) -> Location:
        return self.document.value_location(*where)

    def at_key(self, *where: object) -> Location:
        return self.document.key_location(*where)

    def at_target(self) -> Location:
        """Where deploy_target is given; the top of the file if it isn't."""
        return self.document.value_location("deploy_target")


def secret_names(data: Mapping[str, object]) -> frozenset[str]:
    """The entries of env_secrets that can be names of variables."""
    listed = data.get("env_secrets")
    if not isinstance(listed, list):
        return frozenset()
    return frozenset(n for n in listed if isinstance(n, str) and VARIABLE.fullmatch(n))


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
