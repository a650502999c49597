"""Numbers as pydantic-core's schemas: `1.0` is an integer, `true` is none, 2^53+1 keeps its last
digit."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from pydantic_core import CoreSchema, core_schema

from pymacaron.model import formats
from pymacaron.model.keywords import divides
from pymacaron.openapi.schema import Schema

EXACT = 2**53
COMPARE = {"ge": operator.ge, "le": operator.le, "gt": operator.gt, "lt": operator.lt}
BOUNDS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def tested(test: Callable[[Any], bool], node: CoreSchema) -> CoreSchema:
    """The node's value must pass a test too."""

    def check(value: Any) -> Any:
        if test(value):
            return value
        raise ValueError("refused")

    return core_schema.no_info_after_validator_function(check, node)


def number_schema(kind: str, schema: Schema) -> CoreSchema:
    """`integer` or `number` with all its limits. The common case, an int, stays inside
    pydantic-core."""
    step = schema.multiple_of
    whole_step = step if isinstance(step, int) and abs(step) < EXACT else None
    whole: CoreSchema = core_schema.int_schema(
        strict=True, multiple_of=whole_step, **_whole_limits(schema)
    )
    if step is not None and whole_step is None:
        whole = tested(divides(step), whole)
    limits = _limits(schema)
    native: dict[str, Any] = {n: limit for n, limit in limits.items() if not _inexact(limit)}
    fraction: CoreSchema = core_schema.float_schema(strict=True, allow_inf_nan=False, **native)
    if kind == "integer":
        fraction = core_schema.no_info_after_validator_function(_whole, fraction)
    tests = _tests(schema, limits)
    for test in tests:
        fraction = tested(test, fraction)
    if tests or any(abs(limit) >= EXACT for limit in limits.values()):
        # What was refused as an int may be another number as a float.
        fraction = core_schema.no_info_before_validator_function(_no_int, fraction)
    limit = formats.NUMBERS.get(schema.format or "")
    if limit is not None and schema.format not in BOUNDS:
        whole = tested(limit, whole)
    if kind == "number" and not tests:
        # An int fits better as one, and no float has to be refused first.
        return core_schema.union_schema([fraction, whole], mode="smart")
    return core_schema.union_schema([whole, fraction], mode="left_to_right")


def _limits(schema: Schema) -> dict[str, float]:
    """By the names that pydantic-core and COMPARE have for them."""
    limits = {
        "ge": schema.minimum,
        "le": schema.maximum,
        "gt": schema.exclusive_minimum,
        "lt": schema.exclusive_maximum,
    }
    return {name: limit for name, limit in limits.items() if limit is not None}


def _inexact(limit: float) -> bool:
    """Whether a limit would be another number as a float."""
    return isinstance(limit, int) and abs(limit) > EXACT


def _whole_limits(schema: Schema) -> dict[str, Any]:
    """Limits of ints: those that are fractions, rounded inwards."""
    low, high = BOUNDS.get(schema.format or "", (None, None))
    lows = [low] if low is not None else []
    highs = [high] if high is not None else []
    if schema.minimum is not None:
        lows.append(math.ceil(schema.minimum))
    if schema.exclusive_minimum is not None:
        lows.append(math.floor(schema.exclusive_minimum) + 1)
    if schema.maximum is not None:
        highs.append(math.floor(schema.maximum))
    if schema.exclusive_maximum is not None:
        highs.append(math.ceil(schema.exclusive_maximum) - 1)
    return {"ge": max(lows) if lows else None, "le": min(highs) if highs else None}


def _tests(schema: Schema, limits: dict[str, float]) -> list[Callable[[Any], bool]]:
    """What floats are tested for besides the limits that are floats themselves."""
    tests = [_keeps(COMPARE[n], limit) for n, limit in limits.items() if _inexact(limit)]
    if schema.multiple_of is not None:
        tests.append(divides(schema.multiple_of))
    limit = formats.NUMBERS.get(schema.format or "")
    return tests if limit is None else [*tests, limit]


def _keeps(compare: Callable[[Any, Any], bool], limit: float) -> Callable[[Any], bool]:
    return lambda value: compare(value, limit)


def _no_int(value: Any) -> Any:
    if type(value) is int:
        raise ValueError("refused")
    return value


def _whole(value: float) -> int:
    if not value.is_integer():
        raise ValueError("not a whole number")
    return int(value)
