"""A schema → pydantic-core's schema: validating, where it can be said exactly, and serializing."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from pydantic_core import CoreSchema, core_schema

from pymacaron.model import formats
from pymacaron.model.base import Property, PymacaronBaseModel, encoders
from pymacaron.model.build import DATES, NULL, branches, is_model, parts, target_of
from pymacaron.model.check import Direction
from pymacaron.model.convert import Conversion, Tools, read_date, read_datetime
from pymacaron.model.keywords import canonical, is_unique
from pymacaron.model.numbers import number_schema, tested
from pymacaron.model.words import (
    constrained,
    excludes_null,
    needs_checker,
    needs_object_checker,
    only_null_beside,
    text_constrained,
)
from pymacaron.openapi.ecma import compile_pattern, rust_pattern
from pymacaron.openapi.schema import ABSENT, Schema

OBJECT = frozenset({"object"})
MOST_TOGETHER = 100
PLAIN: dict[str, CoreSchema] = {
    "string": core_schema.str_schema(),
    "integer": core_schema.int_schema(),
    "number": core_schema.any_schema(),  # an int stays one
    "boolean": core_schema.bool_schema(),
}


class Reads(Protocol):
    """Reads parsed JSON; raises ValueError for what its schema forbids."""

    def read_data(self, data: Any) -> Any: ...


class Setting(Tools, Protocol):
    """What a codec's maker tells the compiler."""

    @property
    def direction(self) -> Direction: ...

    @property
    def required(self) -> bool: ...

    def codec(self, schema: Schema) -> Reads: ...

    def wire(self, value: Any) -> Any:
        """JSON data of a value that its schema says nothing about; it may be or hold models."""


class Core:
    """`exact` is False as soon as something can't be said to pydantic-core; then only the
    serializing half of the result is used."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.models = setting.models
        self.exact = True
        # Whether a None somewhere is to be written as null. Elsewhere one switch for all leaves
        # them out, without asking a function about each property.
        self.shows_none = False
        self._fields: list[core_schema.ModelField] = []
        self._definitions: list[CoreSchema] = []
        self._begun: set[int] = set()
        self._waiting: deque[tuple[Schema, str]] = deque()

    def compile(self, schema: Schema, hint: str) -> CoreSchema:
        """The whole schema with all it refers to."""
        root = self.make(schema, hint)
        while self._waiting:
            end, name = self._waiting.popleft()
            node: Any = dict(self._node(end, name))
            if node["type"] == "definition-ref":  # which can have no name of its own
                node = dict(core_schema.json_or_python_schema(node, node))
            node["ref"] = f"s{id(end)}"
            self._definitions.append(node)
        if not self.shows_none:
            for field in self._fields:
                field.pop("serialization_exclude_if", None)
        if not self._definitions:
            return root
        return core_schema.definitions_schema(root, self._definitions)

    def make(self, schema: Schema, hint: str = "") -> CoreSchema:
        end = target_of(schema)
        key = id(end)
        if not (is_model(end) or end.referred):
            return self._node(end, hint)
        if key not in self._begun:
            if len(self._begun) >= MOST_TOGETHER and is_model(end):
                return self._apart(end)
            self._begun.add(key)
            self._waiting.append((end, hint))
        return core_schema.definition_reference_schema(f"s{key}")

    def _apart(self, schema: Schema) -> CoreSchema:
        """A model with a codec of its own, so that no codec grows with the whole API."""
        self.shows_none = True
        codec = self.setting.codec(schema)
        return core_schema.no_info_plain_validator_function(
            codec.read_data,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.setting.wire, when_used="json"
            ),
        )

    def _node(self, schema: Schema, hint: str) -> CoreSchema:
        node = self._bare(schema, hint)
        types = schema.types or frozenset()
        null = "null" in types and len(types) > 1
        if self.setting.direction == "request":
            null = null and not excludes_null(schema)
        if schema.nullable or null:
            return core_schema.nullable_schema(node)
        return node

    def _bare(self, schema: Schema, hint: str) -> CoreSchema:
        if schema.always is not None:
            self.exact = self.exact and schema.always
            return self._anything()
        if is_model(schema):
            return self._object(schema, hint)
        other = only_null_beside(schema)
        if other is not None:
            return core_schema.nullable_schema(self.make(other, hint))
        alternatives = [*schema.one_of, *schema.any_of]
        if alternatives:
            self.exact = False
            choices = [self.make(s, f"{hint}_{i + 1}") for i, s in enumerate(alternatives)]
            return core_schema.union_schema([*choices, self._anything()])
        if needs_checker(schema) or schema.ref is not None:
            self.exact = False
        if schema.ref is not None:
            return self.make(schema.ref, hint)
        if schema.all_of:
            return self._all_of(schema, hint)
        types = schema.types or frozenset()
        if len(types) > 1:
            types -= NULL
        if len(types) != 1:
            self.exact = self.exact and not types and not constrained(schema)
            return self._values(schema, self._anything())
        return self._values(schema, self._typed(next(iter(types)), schema, hint))

    def _anything(self) -> CoreSchema:
        """Written as pydantic-core finds it, but that models are written as everywhere else."""
        self.shows_none = True
        if self.setting.direction == "request":
            return core_schema.any_schema()
        return core_schema.any_schema(
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.setting.wire, when_used="json"
            )
        )

    def _all_of(self, schema: Schema, hint: str) -> CoreSchema:
        if len(schema.all_of) == 1 and not constrained(schema) and not schema.types:
            return self.make(schema.all_of[0], hint)
        self.exact = False
        for part in parts(schema):
            if part is not schema and (part.types or part.items):
                return self.make(part, hint)
        return self._anything()

    def _values(self, schema: Schema, node: CoreSchema) -> CoreSchema:
        if self.setting.direction == "response":
            return node
        if schema.const is not ABSENT:
            only = canonical(schema.const)
            node = tested(lambda v: canonical(v) == only, node)
        if schema.enum is None:
            return node
        if schema.format in DATES:
            self.exact = False
            return node
        texts = all(isinstance(v, str) for v in schema.enum)
        if texts and node["type"] == "str" and not text_constrained(schema):
            return core_schema.literal_schema(schema.enum)
        values = {canonical(v) for v in schema.enum}
        return tested(lambda v: canonical(v) in values, node)

    def _typed(self, kind: str, schema: Schema, hint: str) -> CoreSchema:
        if self.setting.direction == "response" and schema.format not in DATES:
            plain = PLAIN.get(kind)  # only written with, so limits would only cost time
            if plain is not None:
                return plain
        if kind == "string":
            return self._text(schema)
        if kind in ("integer", "number"):
            return number_schema(kind, schema)
        if kind == "boolean":
            return core_schema.bool_schema(strict=True)
        if kind == "null":
            return core_schema.none_schema()
        if kind == "array":
            return self._array(schema, hint)
        return self._map(schema, hint)

    def _text(self, schema: Schema) -> CoreSchema:
        if schema.format in DATES:
            if schema.pattern or schema.min_length is not None or schema.max_length is not None:
                self.exact = False
            is_date = schema.format == "date"
            return core_schema.no_info_plain_validator_function(
                read_date if is_date else read_datetime,
                serialization=core_schema.plain_serializer_function_ser_schema(
                    encoders.date if is_date else encoders.date_time, when_used="json"
                ),
            )
        rust = rust_pattern(schema.pattern) if schema.pattern is not None else None
        node: CoreSchema = core_schema.str_schema(
            strict=True, min_length=schema.min_length, max_length=schema.max_length, pattern=rust
        )
        if schema.pattern is not None and rust is None:
            node = tested(compile_pattern(schema.pattern), node)
        test = formats.TEXTS.get(schema.format or "")
        return node if test is None else tested(test, node)

    def _array(self, schema: Schema, hint: str) -> CoreSchema:
        if schema.prefix_items:
            self.exact = False
            return self._anything()
        if schema.items is not None:
            items = self.make(schema.items, f"{hint}_item")
        else:
            items = self._anything()
        node: CoreSchema = core_schema.list_schema(
            items, min_length=schema.min_items, max_length=schema.max_items, strict=True
        )
        if schema.unique_items:
            # Judged before the items become models, which are not hashable.
            node = core_schema.no_info_before_validator_function(_unique_items, node)
        return node

    def _map(self, schema: Schema, hint: str) -> CoreSchema:
        self.shows_none = True
        extra = schema.additional_properties
        if extra is not None and extra.always is None:
            values = self.make(extra, f"{hint}_value")
        else:
            values = self._anything()
        if extra is not None and extra.always is False:
            self.exact = False
        if schema.required or schema.pattern_properties:
            self.exact = False
        return core_schema.dict_schema(
            core_schema.str_schema(strict=True),
            values,
            min_length=schema.min_properties,
            max_length=schema.max_properties,
            strict=True,
        )

    def _object(self, schema: Schema, hint: str) -> CoreSchema:
        model = self.models.class_of(schema, hint)
        if model is None:
            self.exact = False
            return self._anything()
        info = model.pymacaron_info
        every = list(parts(schema))
        self.exact = self.exact and _is_plain_object(every, model)
        for branch in branches(schema):
            self.exact = False
            self.make(branch, hint)
        extras = self._anything() if info.extra == "allow" else None
        rules = [p.additional_properties for p in every if p.additional_properties is not None]
        if rules and rules[-1].always is None:
            extras = self.make(rules[-1], f"{info.name}_value")
        fields = {
            prop.field: self._field(prop, f"{info.name}_{prop.field}")
            for prop in info.properties.values()
        }
        node = core_schema.model_schema(
            model,
            core_schema.model_fields_schema(
                fields,
                model_name=info.name,
                extra_behavior=info.extra,
                extras_schema=extras,
            ),
            # The serializer looks for it here, not above.
            config=core_schema.CoreConfig(extra_fields_behavior=info.extra),
            custom_init=model.__pydantic_custom_init__ or None,
            post_init=model.__pydantic_post_init__,
        )
        return self._subclassed(_counted(every, node), model)

    def _subclassed(self, node: CoreSchema, model: type[PymacaronBaseModel]) -> CoreSchema:
        """A model that extends the declared one goes out with all its own properties."""
        others = [
            m
            for m in self.models.extensions(model)
            if id(m.pymacaron_info.schema) not in self._begun
        ]
        if self.setting.direction == "request" or not others:
            return node
        choices: list[CoreSchema | tuple[CoreSchema, str]] = [node]
        choices += [self.make(m.pymacaron_info.schema) for m in others]
        return core_schema.union_schema(choices)

    def _field(self, prop: Property, hint: str) -> core_schema.ModelField:
        node = self.make(prop.schema, hint)
        required = prop.required and self.setting.required
        if self.setting.direction == "request":
            required = required and not prop.read_only
        if not required:
            if not self.setting.required:
                node = core_schema.nullable_schema(node)
            node = self._optional(prop, node)
        hidden = self.setting.direction == "response" and prop.write_only
        field = core_schema.model_field(
            node,
            # An alias that says nothing new would only cost time.
            validation_alias=prop.name if prop.name != prop.field else None,
            serialization_alias=prop.name if prop.name != prop.field else None,
            serialization_exclude=hidden or None,
            serialization_exclude_if=None if prop.nullable else _is_none,
        )
        self.shows_none = self.shows_none or prop.nullable
        self._fields.append(field)
        return field

    def _optional(self, prop: Property, node: CoreSchema) -> CoreSchema:
        if not prop.has_default:
            return core_schema.with_default_schema(node, default=None)
        default = prop.default
        if isinstance(default, dict | list) or target_of(prop.schema).format in DATES:
            convert = Conversion(self.setting).make(prop.schema, "")
            return core_schema.with_default_schema(node, default_factory=lambda: convert(default))
        return core_schema.with_default_schema(node, default=default)


def _is_plain_object(every: list[Schema], model: type[PymacaronBaseModel]) -> bool:
    """Whether an object asks no more than pydantic-core's models can check."""
    properties = model.pymacaron_info.properties
    return (
        any(p.types for p in every)
        and all(p.always is not False and "object" in (p.types or OBJECT) for p in every)
        and not any(needs_object_checker(p) for p in every)
        and not any(p.others for p in properties.values())
        and not (len(every) > 1 and any(p.additional_properties is not None for p in every))
        and all(name in properties for p in every for name in p.required)
    )


def _counted(every: list[Schema], node: CoreSchema) -> CoreSchema:
    low = max((p.min_properties or 0 for p in every), default=0)
    highs = [p.max_properties for p in every if p.max_properties is not None]
    if not low and not highs:
        return node
    high = min(highs) if highs else None

    def count(value: Any) -> Any:
        if type(value) is dict and (len(value) < low or (high is not None and len(value) > high)):
            raise ValueError("number of properties")
        return value

    return core_schema.no_info_before_validator_function(count, node)


def _is_none(value: Any) -> bool:
    return value is None


def _unique_items(value: Any) -> Any:
    if type(value) is list and not is_unique(value):
        raise ValueError("items are not unique")
    return value
