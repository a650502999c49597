"""JSON Schema, exactly: a schema becomes a function that finds every problem of a value, named by
JSON pointer.

Slower than pydantic-core but complete. It judges what pydantic-core's own schemas can't express,
and writes the answer to a request that was refused."""

from __future__ import annotations

from typing import Any, Literal

from pymacaron.model.keywords import (
    MAX_PROBLEMS,
    NONE,
    Checker,
    Fault,
    State,
    any_of,
    both,
    count_of,
    dependent_required,
    dependent_schema,
    never,
    not_,
    nothing,
    number_checks,
    one_of,
    required_check,
    size_check,
    text_checks,
    type_checks,
    unique,
    value_checks,
)
from pymacaron.openapi.ecma import compile_pattern
from pymacaron.openapi.problems import escape
from pymacaron.openapi.schema import Schema

Direction = Literal["request", "response"]


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
            if not target:  # compiled when it is needed: a long chain would exhaust the stack
                target.append(self._compile(schema))
            kind = type(value)
            key = (number, id(value))
            if kind is not dict and kind is not list:
                if key in state.active:
                    return NONE
                state.active.add(key)
                try:
                    return target[0](value, at, state)
                finally:
                    state.active.discard(key)
            memo = state.memo
            faults = memo.get(key)
            if faults is None:
                # A schema that reaches itself on the same value adds nothing new.
                memo[key] = NONE
                faults = memo[key] = target[0](value, at, state)
            return faults

        self._done[number] = check
        return check

    def _compile(self, schema: Schema) -> Checker:
        if schema.always is not None:
            return nothing if schema.always else never
        checks: list[Checker] = []
        if schema.ref is not None:
            checks.append(self(schema.ref))
        for find in (type_checks, value_checks, number_checks, text_checks):
            checks.extend(find(schema))
        checks.extend(self._arrays(schema))
        checks.extend(self._objects(schema))
        checks.extend(self._combinations(schema))
        checks.extend(self._unevaluated(schema))
        combined = both(checks)
        if schema.nullable and checks:

            def nullable(value: Any, at: str, state: State) -> list[Fault]:
                return NONE if value is None else combined(value, at, state)

            return nullable
        return combined

    def _arrays(self, schema: Schema) -> list[Checker]:
        checks: list[Checker] = []
        if schema.min_items is not None or schema.max_items is not None:
            checks.append(size_check(list, schema.min_items, schema.max_items, "items"))
        if schema.unique_items:
            checks.append(unique)
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
                return [Fault(at, f"must contain at least {count_of(low, 'matching item')}")]
            if high is not None and count > high:
                return [Fault(at, f"must contain at most {count_of(high, 'matching item')}")]
            return NONE

        return contains

    def _objects(self, schema: Schema) -> list[Checker]:
        checks: list[Checker] = []
        required = self._names_required(schema)
        if required:
            checks.append(required_check(required))
        if schema.min_properties is not None or schema.max_properties is not None:
            checks.append(
                size_check(dict, schema.min_properties, schema.max_properties, "properties")
            )
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
            checks.append(dependent_required(schema.dependent_required))
        for name, dependent in schema.dependent_schemas.items():
            checks.append(dependent_schema(name, self(dependent)))
        if (
            schema.properties
            or schema.pattern_properties
            or schema.additional_properties is not None
        ):
            checks.append(self._members(schema))
        return checks

    def _names_required(self, schema: Schema) -> list[str]:
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
        lenient = not self.required

        def members(value: Any, at: str, state: State) -> list[Fault]:
            if type(value) is not dict:
                return NONE
            faults: list[Fault] = []
            for name, item in value.items():
                check = known.get(name)
                if check is not None and item is None and lenient:
                    continue
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
            checks.append(any_of([self(s) for s in schema.any_of], schema))
        if schema.one_of:
            checks.append(one_of([self(s) for s in schema.one_of], schema))
        if schema.not_ is not None:
            checks.append(not_(self(schema.not_)))
        if schema.if_ is not None and (schema.then is not None or schema.else_ is not None):
            condition = self(schema.if_)
            then = self(schema.then) if schema.then is not None else nothing
            otherwise = self(schema.else_) if schema.else_ is not None else nothing

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
