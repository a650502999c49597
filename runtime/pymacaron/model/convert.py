"""Plain data that was judged good → models and dates, where pydantic-core could not do both at
once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from pymacaron.model import formats
from pymacaron.model.base import PymacaronBaseModel
from pymacaron.model.build import DATES, Models, branches, is_model, parts, target_of
from pymacaron.model.keywords import Checker, State
from pymacaron.openapi.schema import Schema

Converter = Callable[[Any], Any]
INTEGER = frozenset({"integer"})


class Tools(Protocol):
    """What compiling needs: the classes, and the exact checkers."""

    @property
    def models(self) -> Models: ...

    def compile(self, schema: Schema) -> Checker: ...


def read_datetime(value: Any) -> datetime:
    found = formats.parse_datetime(value) if type(value) is str else None
    if found is None:
        raise ValueError("no date-time")
    return found


def read_date(value: Any) -> datetime:
    found = formats.parse_date(value) if type(value) is str else None
    if found is None:
        raise ValueError("no date")
    return datetime(found.year, found.month, found.day)


class Conversion:
    """Plain data that was judged good → models and dates, where pydantic-core alone could not judge
    it."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self._done: dict[int, Converter] = {}

    def make(self, schema: Schema, hint: str) -> Converter:
        end = target_of(schema)
        found = self._done.get(id(end))
        if found is not None:
            return found
        target: list[Converter] = []

        def later(value: Any) -> Any:
            if not target:
                target.append(self._make(end, hint))
            return target[0](value)

        self._done[id(end)] = later
        return later

    def _make(self, schema: Schema, hint: str) -> Converter:
        if is_model(schema):
            model = self.tools.models.class_of(schema, hint)
            if model is not None:
                return self._object(schema, model)
        alternatives = [*schema.one_of, *schema.any_of]
        if alternatives:
            return self._first(alternatives, hint)
        if schema.format in DATES:
            read = read_date if schema.format == "date" else read_datetime
            return lambda value: read(value) if type(value) is str else value
        for part in parts(schema):
            if part is not schema and (part.items or part.types or part.one_of or part.any_of):
                return self.make(part, hint)
        if schema.items is not None or schema.prefix_items:
            return self._array(schema, hint)
        extra = schema.additional_properties
        if extra is not None and extra.always is None:
            return self._map(self.make(extra, f"{hint}_value"))
        if schema.types == INTEGER:
            return lambda value: int(value) if type(value) is float else value
        return lambda value: value

    def _array(self, schema: Schema, hint: str) -> Converter:
        first = [self.make(s, f"{hint}_item") for s in schema.prefix_items]
        rest = self.make(schema.items, f"{hint}_item") if schema.items is not None else None

        def convert(value: Any) -> Any:
            if type(value) is not list:
                return value
            done = [c(v) for c, v in zip(first, value, strict=False)]
            more = value[len(done) :]
            return done + ([rest(v) for v in more] if rest is not None else more)

        return convert

    def _map(self, each: Converter) -> Converter:
        def convert(value: Any) -> Any:
            if type(value) is not dict:
                return value
            return {k: each(v) for k, v in value.items()}

        return convert

    def _first(self, alternatives: list[Schema], hint: str) -> Converter:
        """By the first alternative that fits: oneOf has no other, anyOf may."""
        choices = [
            (self.tools.compile(s), self.make(s, f"{hint}_{i + 1}"))
            for i, s in enumerate(alternatives)
        ]

        def convert(value: Any) -> Any:
            state = State()
            for check, converter in choices:
                if not check(value, "", state):
                    return converter(value)
            return value

        return convert

    def _object(self, schema: Schema, model: type[PymacaronBaseModel]) -> Converter:
        info = model.pymacaron_info
        known = {
            prop.name: (prop.field, self.make(prop.schema, f"{info.name}_{prop.field}"))
            for prop in info.properties.values()
        }
        rules = [p.additional_properties for p in parts(schema)]
        extra = next((r for r in rules if r is not None and r.always is None), None)
        each = self.make(extra, f"{info.name}_value") if extra is not None else None
        keep = info.extra == "allow"
        alternatives = [s for s in branches(schema) if is_model(target_of(s))]
        narrowed = [
            (self.tools.compile(s), self.make(s, f"{info.name}_{i + 1}"))
            for i, s in enumerate(alternatives)
            if not info.properties
        ]
        defaults = [
            (p.field, self.make(p.schema, ""), p.default)
            for p in info.properties.values()
            if p.has_default
        ]
        construct = model.model_construct
        if model.__pydantic_custom_init__:
            construct = model

        def convert(value: Any) -> Any:
            if type(value) is not dict:
                return value
            if narrowed:
                state = State()
                for check, converter in narrowed:
                    if not check(value, "", state):
                        return converter(value)
            data: dict[str, Any] = {}
            extras: dict[str, Any] = {}
            for name, item in value.items():
                found = known.get(name)
                if found is not None:
                    data[found[0]] = found[1](item)
                elif keep:
                    extras[name] = each(item) if each is not None else item
            fields_set = set(data)
            for field, converter, default in defaults:
                if field not in data:
                    data[field] = converter(default)
            made = construct(fields_set, **data)
            if keep:
                object.__setattr__(made, "__pydantic_extra__", extras)
            return made

        return convert
