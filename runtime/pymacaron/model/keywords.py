"""Single keywords of JSON Schema as checkers: what a value of the wrong kind is told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pymacaron.model import formats
from pymacaron.openapi.ecma import compile_pattern
from pymacaron.openapi.problems import escape
from pymacaron.openapi.schema import ABSENT, Schema

# ruff: noqa: ARG001 - every checker has the same three arguments, whether it needs them or not


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a value; `pointer` leads to it."""

    pointer: str
    text: str

    def __str__(self) -> str:
        return f"{self.pointer or '/'}: {self.text}"


@dataclass
class State:
    """One validation. `memo` keeps recursive anyOf/oneOf from taking exponential time. `active`:
    what is being judged of values that are no dict and no list, too many to remember."""

    memo: dict[tuple[int, int], list[Fault]] = field(default_factory=dict)
    active: set[tuple[int, int]] = field(default_factory=set)


MAX_PROBLEMS = 100
Checker = Callable[[Any, str, State], "list[Fault]"]
NONE: list[Fault] = []


def nothing(value: Any, at: str, state: State) -> list[Fault]:
    return NONE


def never(value: Any, at: str, state: State) -> list[Fault]:
    return [Fault(at, "is not allowed here")]


def both(checks: list[Checker]) -> Checker:
    if not checks:
        return nothing
    if len(checks) == 1:
        return checks[0]

    def every(value: Any, at: str, state: State) -> list[Fault]:
        faults: list[Fault] = []
        for check in checks:
            found = check(value, at, state)
            if found:
                faults += found
        return faults

    return every


def _is_integer(value: Any) -> bool:
    kind = type(value)
    return kind is int or (kind is float and value.is_integer())


TYPE_TESTS: dict[str, Callable[[Any], bool]] = {
    "string": lambda v: type(v) is str,
    "number": lambda v: type(v) is int or (type(v) is float and math.isfinite(v)),
    "integer": _is_integer,
    "boolean": lambda v: type(v) is bool,
    "array": lambda v: type(v) is list,
    "object": lambda v: type(v) is dict,
    "null": lambda v: v is None,
}
NAMES = {
    "string": "a text",
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def kind_of(value: Any) -> str:
    """What a JSON value is, for messages."""
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number too large to hold"
    return "a text" if isinstance(value, str) else "a number"


def type_checks(schema: Schema) -> list[Checker]:
    if schema.types is None:
        return []
    tests = [TYPE_TESTS[t] for t in sorted(schema.types)]
    wanted = " or ".join(NAMES[t] for t in sorted(schema.types))
    if len(tests) == 1:
        test = tests[0]

        def one(value: Any, at: str, state: State) -> list[Fault]:
            return NONE if test(value) else [Fault(at, f"must be {wanted}, not {kind_of(value)}")]

        return [one]

    def some(value: Any, at: str, state: State) -> list[Fault]:
        for test in tests:
            if test(value):
                return NONE
        return [Fault(at, f"must be {wanted}, not {kind_of(value)}")]

    return [some]


def canonical(value: Any) -> Any:
    """A hashable form in which equal JSON values, and no others, are equal: 1 is 1.0, true is not
    1."""
    kind = type(value)
    if kind is bool:
        return ("b", value)
    if kind is list:
        return ("l", *map(canonical, value))
    if kind is dict:
        return ("d", frozenset((k, canonical(v)) for k, v in value.items()))
    return value


def show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def value_checks(schema: Schema) -> list[Checker]:
    checks: list[Checker] = []
    if schema.enum is not None:
        allowed = {canonical(v) for v in schema.enum}
        listed = ", ".join(show(v) for v in schema.enum[:20])
        more = ", ..." if len(schema.enum) > 20 else ""

        def enum(value: Any, at: str, state: State) -> list[Fault]:
            return (
                NONE
                if canonical(value) in allowed
                else [Fault(at, f"must be one of {listed}{more}")]
            )

        checks.append(enum)
    if schema.const is not ABSENT:
        only = canonical(schema.const)
        text = f"must be {show(schema.const)}"

        def const(value: Any, at: str, state: State) -> list[Fault]:
            return NONE if canonical(value) == only else [Fault(at, text)]

        checks.append(const)
    return checks


def divides(divisor: int | float) -> Callable[[int | float], bool]:
    """Whether a number is a multiple of `divisor`, in decimal arithmetic: 0.3 is a multiple of
    0.1."""
    exact = Fraction(Decimal(repr(divisor)))

    def test(value: int | float) -> bool:
        if type(value) is int and type(divisor) is int:
            return value % divisor == 0
        if not math.isfinite(value):
            return False
        return (Fraction(Decimal(repr(value))) / exact).denominator == 1

    return test


def number_checks(schema: Schema) -> list[Checker]:
    tests: list[tuple[Callable[[Any], bool], str]] = []
    low, high = schema.minimum, schema.maximum
    above, below = schema.exclusive_minimum, schema.exclusive_maximum
    if low is not None:
        tests.append((lambda v: v >= low, f"must be at least {low}"))
    if high is not None:
        tests.append((lambda v: v <= high, f"must be at most {high}"))
    if above is not None:
        tests.append((lambda v: v > above, f"must be more than {above}"))
    if below is not None:
        tests.append((lambda v: v < below, f"must be less than {below}"))
    if schema.multiple_of is not None:
        tests.append((divides(schema.multiple_of), f"must be a multiple of {schema.multiple_of}"))
    limit = formats.NUMBERS.get(schema.format or "")
    if limit is not None:
        tests.append((limit, f"is too large for {schema.format}"))
    return [_number(test, text) for test, text in tests]


def _number(test: Callable[[Any], bool], text: str) -> Checker:
    def check(value: Any, at: str, state: State) -> list[Fault]:
        kind = type(value)
        if (kind is int or kind is float) and not test(value):
            return [Fault(at, text)]
        return NONE

    return check


def text_checks(schema: Schema) -> list[Checker]:
    tests: list[tuple[Callable[[str], bool], str]] = []
    low, high = schema.min_length, schema.max_length
    if low is not None:
        tests.append((lambda v: len(v) >= low, f"must have at least {count_of(low, 'character')}"))
    if high is not None:
        tests.append((lambda v: len(v) <= high, f"must have at most {count_of(high, 'character')}"))
    if schema.pattern is not None:
        tests.append((compile_pattern(schema.pattern), f"must match the pattern {schema.pattern}"))
    test = formats.TEXTS.get(schema.format or "")
    if test is not None:
        tests.append((test, f"must be a valid {schema.format}"))
    return [_text(test, text) for test, text in tests]


def _text(test: Callable[[str], bool], text: str) -> Checker:
    def check(value: Any, at: str, state: State) -> list[Fault]:
        if type(value) is str and not test(value):
            return [Fault(at, text)]
        return NONE

    return check


def count_of(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size_check(
    kind: type[list[Any]] | type[dict[str, Any]], low: int | None, high: int | None, noun: str
) -> Checker:
    singular = {"items": "item", "properties": "property"}[noun]

    def counted(number: int) -> str:
        return f"{number} {singular if number == 1 else noun}"

    def check(value: Any, at: str, state: State) -> list[Fault]:
        if not isinstance(value, kind):
            return NONE
        if low is not None and len(value) < low:
            return [Fault(at, f"must have at least {counted(low)}")]
        if high is not None and len(value) > high:
            return [Fault(at, f"must have at most {counted(high)}")]
        return NONE

    return check


def is_unique(values: list[Any]) -> bool:
    seen = set()
    for value in values:
        key = canonical(value)
        if key in seen:
            return False
        seen.add(key)
    return True


def unique(value: Any, at: str, state: State) -> list[Fault]:
    if type(value) is list and not is_unique(value):
        return [Fault(at, "must not have the same item twice")]
    return NONE


def required_check(names: list[str]) -> Checker:
    def check(value: Any, at: str, state: State) -> list[Fault]:
        if type(value) is not dict:
            return NONE
        return [Fault(f"{at}/{escape(n)}", "is required") for n in names if n not in value]

    return check


def dependent_required(rules: dict[str, list[str]]) -> Checker:
    def check(value: Any, at: str, state: State) -> list[Fault]:
        if type(value) is not dict:
            return NONE
        return [
            Fault(f"{at}/{escape(n)}", f"is required beside {trigger}")
            for trigger, names in rules.items()
            if trigger in value
            for n in names
            if n not in value
        ]

    return check


def dependent_schema(name: str, dependent: Checker) -> Checker:
    def check(value: Any, at: str, state: State) -> list[Fault]:
        if type(value) is dict and name in value:
            return dependent(value, at, state)
        return NONE

    return check


def _label(schema: Schema, index: int) -> str:
    for _ in range(100):
        if schema.name or schema.title or schema.ref is None:
            break
        schema = schema.ref
    return schema.name or schema.title or f"alternative {index + 1}"


def any_of(branches: list[Checker], schema: Schema) -> Checker:
    labels = [_label(s, i) for i, s in enumerate(schema.any_of)]

    def check(value: Any, at: str, state: State) -> list[Fault]:
        results = []
        for branch in branches:
            faults = branch(value, at, state)
            if not faults:
                return NONE
            results.append(faults)
        return [_no_match(at, labels, results)]

    return check


def one_of(branches: list[Checker], schema: Schema) -> Checker:
    labels = [_label(s, i) for i, s in enumerate(schema.one_of)]

    def check(value: Any, at: str, state: State) -> list[Fault]:
        results = [branch(value, at, state) for branch in branches]
        good = [label for label, faults in zip(labels, results, strict=True) if not faults]
        if len(good) == 1:
            return NONE
        if good:
            return [Fault(at, f"must fit only one of {' and '.join(good)}")]
        return [_no_match(at, labels, results)]

    return check


def _no_match(at: str, labels: list[str], results: list[list[Fault]]) -> Fault:
    reasons = "; ".join(
        f"{label}: {faults[0].pointer[len(at) :]} {faults[0].text}".replace(":  ", ": ")
        for label, faults in list(zip(labels, results, strict=True))[:5]
    )
    return Fault(at, f"fits none of the alternatives ({reasons})")


def not_(forbidden: Checker) -> Checker:
    def check(value: Any, at: str, state: State) -> list[Fault]:
        if forbidden(value, at, state):
            return NONE
        return [Fault(at, "is of a kind that is excluded here")]

    return check
