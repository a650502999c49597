"""JSON Schema, exactly: a schema becomes a function that finds every problem of a value, named by
JSON pointer.

Slower than pydantic-core but complete. It judges what pydantic-core's own schemas can't express,
and writes the answer to a request that was refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from pymacaron.model import formats
from pymacaron.openapi.ecma import compile_pattern
from pymacaron.openapi.problems import escape
from pymacaron.openapi.schema import ABSENT, Schema

Direction = Literal["request", "response"]
MAX_PROBLEMS = 100


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a value; `pointer` leads to it."""

    pointer: str
    text: str

    def __str__(self) -> str:
        return f"{self.pointer or '/'}: {self.text}"


@dataclass
class State:
    """One validation. `memo` keeps recursive anyOf/oneOf from taking exponential time."""

    memo: dict[tuple[int, int], list[Fault]] = field(default_factory=dict)


Checker = Callable[[Any, str, State], "list[Fault]"]
NONE: list[Fault] = []


class Compiler:
    """Schemas → checkers; each schema once, so that cycles end. One per direction: `readOnly`
    properties need not be in a request, `writeOnly` ones not in a response."""

    def __init__(self, direction: Direction = "request", *, required: bool = True) -> None:
        self.direction = direction
        self.required = required
        self._done: dict[int, Checker] = {}
        self._keep: list[Schema] = []

    def __call__(self, schema: Schema) -> Checker:
        found = self._done.get(id(schema))
        if found is not None:
            return found
        self._keep.append(schema)
        target: list[Checker] = []
        number = id(schema)

        def check(value: Any, at: str, state: State) -> list[Fault]:
            kind = type(value)
            if kind is not dict and kind is not list:
                return target[0](value, at, state)
            key = (number, id(value))
            memo = state.memo
            faults = memo.get(key)
            if faults is None:
                # A schema that reaches itself on the same value adds nothing new.
                memo[key] = NONE
                faults = memo[key] = target[0](value, at, state)
            return faults

        self._done[number] = check
        target.append(self._compile(schema))
        return check

    def _compile(self, schema: Schema) -> Checker:
        if schema.always is not None:
            return _nothing if schema.always else _never
        checks: list[Checker] = []
        if schema.ref is not None:
            checks.append(self(schema.ref))
        for find in (_types, _values, _numbers, _texts):
            checks.extend(find(schema))
        checks.extend(self._arrays(schema))
        checks.extend(self._objects(schema))
        checks.extend(self._combinations(schema))
        checks.extend(self._unevaluated(schema))
        combined = _all(checks)
        if schema.nullable and checks:

            def nullable(value: Any, at: str, state: State) -> list[Fault]:
                return NONE if value is None else combined(value, at, state)

            return nullable
        return combined

    def _arrays(self, schema: Schema) -> list[Checker]:
        checks: list[Checker] = []
        if schema.min_items is not None or schema.max_items is not None:
            checks.append(_size(list, schema.min_items, schema.max_items, "items"))
        if schema.unique_items:
            checks.append(_unique)
        if schema.prefix_items or schema.items is not None:
            prefix = [self(s) for s in schema.prefix_items]
            rest = self(schema.items) if schema.items is not None else None

            def items(value: Any, at: str, state: State) -> list[Fault]:
                if type(value) is not list:
                    return NONE
                faults: list[Fault] = []
                for index, item in enumerate(value):
                    check = prefix[index] if index < len(prefix) else rest
                    if check is None:
                        break
                    faults += check(item, f"{at}/{index}", state)
                    if len(faults) > MAX_PROBLEMS:
                        break
                return faults

            checks.append(items)
        if schema.contains is not None:
            checks.append(self._contains(schema))
        return checks

    def _contains(self, schema: Schema) -> Checker:
        assert schema.contains is not None  # noqa: S101 - the caller has looked
        wanted = self(schema.contains)
        low = 1 if schema.min_contains is None else schema.min_contains
        high = schema.max_contains

        def contains(value: Any, at: str, state: State) -> list[Fault]:
            if type(value) is not list:
                return NONE
            count = sum(not wanted(v, f"{at}/{i}", state) for i, v in enumerate(value))
            if count < low:
                return [Fault(at, f"must contain at least {_count(low, 'matching item')}")]
            if high is not None and count > high:
                return [Fault(at, f"must contain at most {_count(high, 'matching item')}")]
            return NONE

        return contains

    def _objects(self, schema: Schema) -> list[Checker]:
        checks: list[Checker] = []
        required = self._required(schema)
        if required:
            checks.append(_required(required))
        if schema.min_properties is not None or schema.max_properties is not None:
            checks.append(_size(dict, schema.min_properties, schema.max_properties, "properties"))
        if schema.property_names is not None:
            name_check = self(schema.property_names)

            def names(value: Any, at: str, state: State) -> list[Fault]:
                if type(value) is not dict:
                    return NONE
                return [
                    Fault(f"{at}/{escape(k)}", f"the name of this property {fault.text}")
                    for k in value
                    for fault in name_check(k, at, state)
                ]

            checks.append(names)
        if schema.dependent_required:
            checks.append(_dependent_required(schema.dependent_required))
        for name, dependent in schema.dependent_schemas.items():
            checks.append(_dependent_schema(name, self(dependent)))
        if (
            schema.properties
            or schema.pattern_properties
            or schema.additional_properties is not None
        ):
            checks.append(self._members(schema))
        return checks

    def _required(self, schema: Schema) -> list[str]:
        if not self.required:
            return []
        exempt = "read_only" if self.direction == "request" else "write_only"
        return [
            name
            for name in schema.required
            if name not in schema.properties or not getattr(_end(schema.properties[name]), exempt)
        ]

    def _members(self, schema: Schema) -> Checker:
        known = {name: self(s) for name, s in schema.properties.items()}
        patterns = [(compile_pattern(p), self(s)) for p, s in schema.pattern_properties.items()]
        extra = schema.additional_properties
        rest = self(extra) if extra is not None and extra.always is not True else None
        forbidden = extra is not None and extra.always is False

        def members(value: Any, at: str, state: State) -> list[Fault]:
            if type(value) is not dict:
                return NONE
            faults: list[Fault] = []
            for name, item in value.items():
                check = known.get(name)
                here = f"{at}/{escape(name)}"
                if check is not None:
                    faults += check(item, here, state)
                matched = check is not None
                for matches, pattern_check in patterns:
                    if matches(name):
                        matched = True
                        faults += pattern_check(item, here, state)
                if not matched:
                    if forbidden:
                        faults.append(Fault(here, "is not a property that this object may have"))
                    elif rest is not None:
                        faults += rest(item, here, state)
                if len(faults) > MAX_PROBLEMS:
                    break
            return faults

        return members

    def _combinations(self, schema: Schema) -> list[Checker]:
        checks = [self(s) for s in schema.all_of]
        if schema.any_of:
            checks.append(_any_of([self(s) for s in schema.any_of], schema))
        if schema.one_of:
            checks.append(_one_of([self(s) for s in schema.one_of], schema))
        if schema.not_ is not None:
            checks.append(_not(self(schema.not_)))
        if schema.if_ is not None and (schema.then is not None or schema.else_ is not None):
            condition = self(schema.if_)
            then = self(schema.then) if schema.then is not None else _nothing
            otherwise = self(schema.else_) if schema.else_ is not None else _nothing

            def conditional(value: Any, at: str, state: State) -> list[Fault]:
                branch = otherwise if condition(value, at, state) else then
                return branch(value, at, state)

            checks.append(conditional)
        return checks

    def _unevaluated(self, schema: Schema) -> list[Checker]:
        checks: list[Checker] = []
        if schema.unevaluated_properties is not None:
            rest = self(schema.unevaluated_properties)

            def properties(value: Any, at: str, state: State) -> list[Fault]:
                if type(value) is not dict:
                    return NONE
                seen = self._seen_properties(schema, value, at, state, own=False)
                faults: list[Fault] = []
                for name in value:
                    if name not in seen:
                        faults += rest(value[name], f"{at}/{escape(name)}", state)
                return faults

            checks.append(properties)
        if schema.unevaluated_items is not None:
            rest_items = self(schema.unevaluated_items)

            def items(value: Any, at: str, state: State) -> list[Fault]:
                if type(value) is not list:
                    return NONE
                seen = self._seen_items(schema, value, at, state, own=False)
                faults: list[Fault] = []
                for index, item in enumerate(value):
                    if index not in seen:
                        faults += rest_items(item, f"{at}/{index}", state)
                return faults

            checks.append(items)
        return checks

    def _applied(self, schema: Schema, value: Any, at: str, state: State) -> list[Schema]:
        """The subschemas on the same value whose annotations count: those that it satisfies."""
        found = [*schema.all_of, *([schema.ref] if schema.ref else [])]
        for branch in (*schema.any_of, *schema.one_of):
            if not self(branch)(value, at, state):
                found.append(branch)
        if schema.if_ is not None:
            if self(schema.if_)(value, at, state):
                found += [schema.else_] if schema.else_ else []
            else:
                found += [schema.if_, *([schema.then] if schema.then else [])]
        if type(value) is dict:
            found += [s for name, s in schema.dependent_schemas.items() if name in value]
        return found

    def _seen_properties(
        self, schema: Schema, value: dict[str, Any], at: str, state: State, *, own: bool = True
    ) -> set[str]:
        if schema.additional_properties is not None or (own and schema.unevaluated_properties):
            return set(value)
        seen = {name for name in schema.properties if name in value}
        for pattern in schema.pattern_properties:
            matches = compile_pattern(pattern)
            seen |= {name for name in value if matches(name)}
        for branch in self._applied(schema, value, at, state):
            seen |= self._seen_properties(branch, value, at, state)
        return seen

    def _seen_items(
        self, schema: Schema, value: list[Any], at: str, state: State, *, own: bool = True
    ) -> set[int]:
        if schema.items is not None or (own and schema.unevaluated_items is not None):
            return set(range(len(value)))
        seen = set(range(min(len(schema.prefix_items), len(value))))
        if schema.contains is not None:
            check = self(schema.contains)
            seen |= {i for i, v in enumerate(value) if not check(v, f"{at}/{i}", state)}
        for branch in self._applied(schema, value, at, state):
            seen |= self._seen_items(branch, value, at, state)
        return seen


def _end(schema: Schema) -> Schema:
    for _ in range(100):
        if schema.ref is None or schema.read_only or schema.write_only:
            return schema
        schema = schema.ref
    return schema


def _nothing(value: Any, at: str, state: State) -> list[Fault]:  # noqa: ARG001 - a Checker
    return NONE


def _never(value: Any, at: str, state: State) -> list[Fault]:  # noqa: ARG001 - a Checker
    return [Fault(at, "is not allowed here")]


def _all(checks: list[Checker]) -> Checker:
    if not checks:
        return _nothing
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
    return {str: "a text", dict: "an object", list: "a list"}.get(type(value), "a number")


def _types(schema: Schema) -> list[Checker]:
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


def _values(schema: Schema) -> list[Checker]:
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


def _numbers(schema: Schema) -> list[Checker]:
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


def _texts(schema: Schema) -> list[Checker]:
    tests: list[tuple[Callable[[str], bool], str]] = []
    low, high = schema.min_length, schema.max_length
    if low is not None:
        tests.append((lambda v: len(v) >= low, f"must have at least {_count(low, 'character')}"))
    if high is not None:
        tests.append((lambda v: len(v) <= high, f"must have at most {_count(high, 'character')}"))
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


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _size(kind: type, low: int | None, high: int | None, noun: str) -> Checker:
    singular = {"items": "item", "properties": "property"}[noun]

    def counted(number: int) -> str:
        return f"{number} {singular if number == 1 else noun}"

    def check(value: Any, at: str, state: State) -> list[Fault]:
        if type(value) is not kind:
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


def _unique(value: Any, at: str, state: State) -> list[Fault]:
    if type(value) is list and not is_unique(value):
        return [Fault(at, "must not have the same item twice")]
    return NONE


def _required(names: list[str]) -> Checker:
    def check(value: Any, at: str, state: State) -> list[Fault]:
        if type(value) is not dict:
            return NONE
        return [Fault(f"{at}/{escape(n)}", "is required") for n in names if n not in value]

    return check


def _dependent_required(rules: dict[str, list[str]]) -> Checker:
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


def _dependent_schema(name: str, dependent: Checker) -> Checker:
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


def _any_of(branches: list[Checker], schema: Schema) -> Checker:
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


def _one_of(branches: list[Checker], schema: Schema) -> Checker:
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


def _not(forbidden: Checker) -> Checker:
    def check(value: Any, at: str, state: State) -> list[Fault]:
        if forbidden(value, at, state):
            return NONE
        return [Fault(at, "is of a kind that is excluded here")]

    return check
