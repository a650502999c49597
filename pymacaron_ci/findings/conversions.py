"""What YAML made of unquoted texts, where nothing else has refused the value."""

from __future__ import annotations

from collections.abc import Iterator

from pymacaron_ci.findings import Case, error, warning
from pymacaron_ci.findings.secrecy import is_secret_name
from pymacaron_ci.model import Problem
from pymacaron_ci.options import OPTIONS
from pymacaron_ci.options.validation import such_as


def find(case: Case) -> Iterator[Problem]:
    for where, conversion in case.document.conversions.items():
        name = ".".join(str(w) for w in where)
        text = f"{name}: YAML reads {conversion.raw} as {conversion.read_as}"
        option = OPTIONS.get(str(where[0]))
        if option is None and any(is_secret_name(str(w)) for w in where):
            text = f"{name}: YAML does not read this as the text that it is"
            yield warning(text, "write it in quotes", case.at_value(*where))
        elif option is None:
            yield warning(text, conversion.hint, case.at_value(*where))
        elif option.name in case.usable and option.rule()["type"] != "boolean":
            # A number that is not what stands there; a bad one has been refused already.
            hint = such_as(option.name) if ":" in conversion.raw else conversion.hint
            yield error(text, hint, case.at_value(*where))
        elif option.name in case.usable:
            yield warning(text, conversion.hint, case.at_value(*where))
