"""JSON text → models in one go, by pydantic-core alone. It would overlook repeated names and NaN:
these show when the names in the text and those in the result are counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from pydantic_core import CoreSchema, SchemaValidator

from pymacaron.model.convert import read_date, read_datetime

UNSURE = object()
"""Instead of a value: only a closer look tells whether the text is good."""
NAMELESS = frozenset({"str", "int", "float", "bool", "none", "literal"})
CONTAINERS = frozenset({"model", "list", "dict"})
AROUND = frozenset({"default", "function-after", "function-before"})
SPACES = b" \t\r\n"
TOO_MANY = 1 << 60
DOUBT, MOST_DOUBTS = 4, 8
"""A text that was tried in vain counts so much, a good one takes 1 away; with n doubts one of 2^n
texts is tried. For to try in vain costs four times what is won by a good one."""

Counter = Callable[[Any], int]


class Quick:
    """Reads what clients mostly send; where that is often not enough, seldom tries."""

    def __init__(self, validator: SchemaValidator, names: Counter) -> None:
        self._validate, self._names = validator.validate_json, names
        self._doubts = self._pause = 0

    @classmethod
    def of(cls, validator: SchemaValidator, core: CoreSchema) -> Quick | None:
        """None where classes have a constructor of their own: it must not run twice for a text. And
        where a schema leads back to itself with the same value: in a text nothing notices."""
        if _leads_back(core):
            return None
        counters = Counters()
        names = counters.make(core)
        return None if counters.own_constructors else cls(validator, names or _no_names)

    def read(self, text: bytes) -> Any:
        """A value that is certainly right, or UNSURE."""
        if self._pause > 0:
            self._pause -= 1
            return UNSURE
        try:
            value = self._validate(text)
            names = self._names(value)
        except (ValueError, RecursionError):
            names = TOO_MANY
        # Each name in the text is followed by a colon: there are at least as many colons. Each name
        # in the value is one in the text: there are at most as many. Where both are the same number
        # no name was repeated or left aside.
        if names == text.count(b":") or names == text.translate(None, SPACES).count(b'":'):
            if self._doubts:
                self._doubt(-1)
            return value
        self._doubt(DOUBT)
        return UNSURE

    def _doubt(self, more: int) -> None:
        # Several threads may come here at once.
        self._doubts = max(0, min(self._doubts + more, MOST_DOUBTS))
        self._pause = 2**self._doubts - 1


def _leads_back(core: Any) -> bool:
    """Whether definitions lead from one to the next, and to the first again, without a container
    in between."""
    leads = {node["ref"]: set(_led_to(node)) for node in core.get("definitions", ())}
    ends = list(leads)
    while ends:
        ends = [name for name, others in leads.items() if others.isdisjoint(leads)]
        for name in ends:
            del leads[name]
    return bool(leads)


def _led_to(node: Any) -> Iterator[str]:
    if node["type"] == "definition-ref":
        yield node["schema_ref"]
    elif node["type"] not in CONTAINERS:
        inner = (node.get("schema"), node.get("json_schema"), *node.get("choices", ()))
        for other in inner:
            if other is not None:
                yield from _led_to(other)


class Counters:
    """pydantic-core's schemas → functions that count the names which the text of a value had."""

    def __init__(self) -> None:
        self.own_constructors = False
        self._nodes: dict[str, CoreSchema] = {}
        self._made: dict[str, list[Counter | None]] = {}

    def make(self, node: Any) -> Counter | None:
        """None: there are none."""
        kind = node["type"]
        if kind in NAMELESS:
            return None
        if kind == "function-plain":
            if node["function"]["function"] in (read_date, read_datetime):
                return None
            self.own_constructors = True  # it may stand for a model with one
        if kind == "definitions":
            self._nodes.update((d["ref"], d) for d in node["definitions"])
            return self.make(node["schema"])
        if kind == "definition-ref":
            return self._referred(node["schema_ref"])
        if kind in AROUND:
            return self.make(node["schema"])
        if kind == "json-or-python":
            return self.make(node["json_schema"])
        if kind == "union":
            choices = [self.make(choice) for choice in node["choices"]]
            return count if any(choices) else None
        if kind == "nullable":
            inner = self.make(node["schema"])
            return inner and (lambda value: 0 if value is None else inner(value))
        if kind == "list":
            return _of_items(self.make(node["items_schema"]))
        if kind == "dict":
            return _of_map(self.make(node["values_schema"]))
        if kind == "model":
            if node.get("custom_init") or node.get("post_init"):
                self.own_constructors = True
            return self._of_model(node["schema"])
        return count

    def _referred(self, name: str) -> Counter | None:
        if name in self._made:  # or being made, in a schema that leads back to itself
            made = self._made[name]
            return made[0] if made else lambda value: made[0](value) if made[0] else 0
        made = self._made[name] = []
        made.append(self.make(self._nodes[name]))
        return made[0]

    def _of_model(self, node: Any) -> Counter:
        members = [(name, self.make(field["schema"])) for name, field in node["fields"].items()]
        named = [(name, inner) for name, inner in members if inner is not None]
        if node.get("extra_behavior") == "allow":
            return self._of_open_model(node, named)
        if not named:
            return _of_plain_model

        def of_model(value: Any) -> int:
            # What was not given has its default, which is not in the text.
            given, values = value.__pydantic_fields_set__, value.__dict__
            names = len(given)
            for name, inner in named:
                if name in given:
                    names += inner(values[name])
            return names

        return of_model

    def _of_open_model(self, node: Any, named: list[tuple[str, Counter]]) -> Counter:
        extra = self.make(node.get("extras_schema") or {"type": "any"})
        fields = node["fields"].keys()

        def of_open_model(value: Any) -> int:
            given, values = value.__pydantic_fields_set__, value.__dict__
            others = value.__pydantic_extra__
            if not fields.isdisjoint(others):
                # Fields and others are given by the same names: `class_` of `class`, and "class_".
                return TOO_MANY
            names = len(given)
            for name, inner in named:
                if name in given:
                    names += inner(values[name])
            return names if extra is None else names + sum(map(extra, others.values()))

        return of_open_model


def count(value: Any) -> int:
    """Of a value of which the schema says nothing. No text of JSON has infinities."""
    if isinstance(value, dict):
        return len(value) + sum(map(count, value.values()))
    if isinstance(value, list):
        return sum(map(count, value))
    return TOO_MANY if isinstance(value, float) and not math.isfinite(value) else 0


def _no_names(_value: Any) -> int:
    return 0


def _of_plain_model(value: Any) -> int:
    return len(value.__pydantic_fields_set__)


def _of_items(inner: Counter | None) -> Counter | None:
    if inner is not _of_plain_model:
        return inner and (lambda items: sum(map(inner, items)))

    def of_plain_models(items: Any) -> int:
        names = 0
        for item in items:
            names += len(item.__pydantic_fields_set__)
        return names

    return of_plain_models


def _of_map(inner: Counter | None) -> Counter:
    if inner is None:
        return len
    return lambda values: len(values) + sum(map(inner, values.values()))
