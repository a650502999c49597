"""JSON ↔ models: bytes in, bytes out, through pydantic-core. Where its schemas say exactly what the
API's schema says they judge alone; elsewhere the checker judges and the conversion follows."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import Any

import jiter
from pydantic_core import (
    CoreSchema,
    SchemaSerializer,
    SchemaValidator,
    ValidationError,
    core_schema,
)

from pymacaron.model import formats
from pymacaron.model.base import Property, PymacaronBaseModel, encoders
from pymacaron.model.build import DATES, Models, branches, is_model, parts, target_of
from pymacaron.model.check import (
    Checker,
    Compiler,
    Direction,
    Fault,
    State,
    canonical,
    divides,
    is_unique,
)
from pymacaron.openapi.ecma import compile_pattern, rust_pattern
from pymacaron.openapi.schema import ABSENT, Schema

Converter = Callable[[Any], Any]


class Invalid(Exception):
    """A value that its schema forbids, with every reason."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("; ".join(str(f) for f in faults))


class Malformed(Exception):
    """Bytes that are no JSON; the text says why."""


def parse(body: bytes) -> Any:
    """JSON as RFC 8259 has it, one meaning only: no NaN, no repeated names, no lone surrogates.
    Raises Malformed."""
    try:
        return jiter.from_json(
            body, allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys"
        )
    except (ValueError, RecursionError) as error:
        raise Malformed(str(error)) from error


class Workshop:
    """Makes the codecs of one API, for requests or for answers; each schema is compiled once."""

    def __init__(self, models: Models, direction: Direction, *, required: bool = True) -> None:
        self.models = models
        self.direction = direction
        self.required = required
        self.compile = Compiler(direction, required=required)
        self._codecs: dict[int, Codec] = {}

    def codec(self, schema: Schema, hint: str = "") -> Codec:
        end = target_of(schema)
        found = self._codecs.get(id(end))
        if found is None:
            found = self._codecs[id(end)] = Codec(self, end, hint)
        return found


class Codec:
    """Reads and writes the values of one schema. Compiled at its first use, or by `prepare`."""

    def __init__(self, workshop: Workshop, schema: Schema, hint: str) -> None:
        self.workshop = workshop
        self.schema = schema
        self.hint = hint

    def prepare(self) -> None:
        _ = self._validate if self.workshop.direction == "request" else self._write

    def read(self, body: bytes) -> Any:
        """A model, or plain data. Raises Malformed, Invalid."""
        return self.read_data(parse(body))

    def read_data(self, data: Any) -> Any:
        """The same from parsed JSON. Raises Invalid."""
        validate = self._validate
        if validate is not None:
            try:
                return validate(data)
            except (ValidationError, RecursionError) as error:
                raise Invalid(self.faults(data) or [_unexpected(error)]) from None
        faults = self.faults(data)
        if faults:
            raise Invalid(faults)
        return self._convert(data)

    def faults(self, data: Any) -> list[Fault]:
        """Everything that is wrong with parsed JSON."""
        try:
            return self._check(data, "", State())
        except RecursionError:
            return [Fault("", "is nested too deeply")]

    def write(self, value: Any) -> bytes:
        """JSON text of a model or of plain data. Raises ValueError for what JSON can't say."""
        return self._write(value)

    @cached_property
    def _core(self) -> _Core:
        core = _Core(self.workshop)
        core.root = core.make(self.schema, self.hint)
        return core

    @cached_property
    def _validate(self) -> Callable[[Any], Any] | None:
        core = self._core
        if not core.exact:
            return None
        return SchemaValidator(core.finished(), None, False).validate_python

    @cached_property
    def _check(self) -> Checker:
        return self.workshop.compile(self.schema)

    @cached_property
    def _convert(self) -> Converter:
        return _Conversion(self.workshop).make(self.schema, self.hint)

    @cached_property
    def _write(self) -> Callable[[Any], bytes]:
        to_json = SchemaSerializer(self._core.finished(), None, False).to_json

        def write(value: Any) -> bytes:
            return to_json(value, by_alias=True, warnings=False)

        return write


def _unexpected(error: BaseException) -> Fault:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return Fault("".join(f"/{t}" for t in first["loc"]), first["msg"])
    return Fault("", "is nested too deeply")


def _is_none(value: Any) -> bool:
    return value is None


def _whole(value: float) -> int:
    if not value.is_integer():
        raise ValueError("not a whole number")
    return int(value)


def _read_datetime(value: Any) -> datetime:
    found = formats.parse_datetime(value) if type(value) is str else None
    if found is None:
        raise ValueError("no date-time")
    return found


def _read_date(value: Any) -> datetime:
    found = formats.parse_date(value) if type(value) is str else None
    if found is None:
        raise ValueError("no date")
    return datetime(found.year, found.month, found.day)


def _test(test: Callable[[Any], bool]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if test(value):
            return value
        raise ValueError("refused")

    return check


class _Core:
    """A schema as pydantic-core's. `exact` is False as soon as something can't be said in it; then
    only its serializing half is used."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.models = workshop.models
        self.exact = True
        self.root: CoreSchema = core_schema.any_schema()
        self._done: dict[int, CoreSchema | None] = {}
        self._definitions: dict[int, CoreSchema] = {}
        self._shared: set[int] = set()

    def finished(self) -> CoreSchema:
        if not self._definitions:
            return self.root
        return core_schema.definitions_schema(self.root, list(self._definitions.values()))

    def make(self, schema: Schema, hint: str = "") -> CoreSchema:
        end = target_of(schema)
        key = id(end)
        if end.ref is None and not is_model(end) and not end.place.pointer.count("/") <= 3:
            return self._node(end, hint)
        if key in self._definitions or key in self._shared:
            self._shared.add(key)
            return core_schema.definition_reference_schema(f"s{key}")
        self._shared.add(key)
        node: Any = dict(self._node(end, hint))
        if node.get("type") == "definition-ref":
            return node  # type: ignore[no-any-return]
        node["ref"] = f"s{key}"
        self._definitions[key] = node
        return core_schema.definition_reference_schema(f"s{key}")

    def _node(self, schema: Schema, hint: str) -> CoreSchema:
        node = self._bare(schema, hint)
        types = schema.types
        if schema.nullable or (types and "null" in types and len(types) > 1):
            return core_schema.nullable_schema(node)
        return node

    def _bare(self, schema: Schema, hint: str) -> CoreSchema:
        if schema.always is not None:
            self.exact = self.exact and schema.always
            return core_schema.any_schema()
        if is_model(schema):
            return self._object(schema, hint)
        if _only_null_beside(schema):
            return core_schema.nullable_schema(
                self.make(_only_null_beside(schema), hint)  # type: ignore[arg-type]
            )
        alternatives = [*schema.one_of, *schema.any_of]
        if alternatives:
            self.exact = False
            return self._union(alternatives, hint)
        if _needs_checker(schema):
            self.exact = False
        if schema.ref is not None:
            self.exact = False
            return self.make(schema.ref, hint)
        if schema.all_of:
            return self._all_of(schema, hint)
        types = (schema.types or frozenset()) - ({"null"} if len(schema.types or ()) > 1 else set())
        if len(types) != 1:
            if schema.types is not None or _constrained(schema):
                self.exact = False
            return self._values(schema, core_schema.any_schema())
        return self._values(schema, self._typed(next(iter(types)), schema, hint))

    def _all_of(self, schema: Schema, hint: str) -> CoreSchema:
        if len(schema.all_of) == 1 and not _constrained(schema) and not schema.types:
            return self.make(schema.all_of[0], hint)
        self.exact = False
        for part in parts(schema):
            if part is not schema and (part.types or part.items):
                return self.make(part, hint)
        return core_schema.any_schema()

    def _union(self, alternatives: list[Schema], hint: str) -> CoreSchema:
        choices = [self.make(s, f"{hint}_{i + 1}") for i, s in enumerate(alternatives)]
        return core_schema.union_schema([*choices, core_schema.any_schema()])

    def _values(self, schema: Schema, node: CoreSchema) -> CoreSchema:
        if schema.const is not ABSENT:
            only = canonical(schema.const)
            node = _after(_test(lambda v: canonical(v) == only), node)
        if schema.enum is None:
            return node
        if node["type"] == "str" and all(isinstance(v, str) for v in schema.enum):
            if _text_constrained(schema):
                allowed = frozenset(schema.enum)
                return _after(_test(lambda v: v in allowed), node)
            return core_schema.literal_schema(schema.enum)
        if schema.format in DATES:
            self.exact = False
            return node
        values = {canonical(v) for v in schema.enum}
        return _after(_test(lambda v: canonical(v) in values), node)

    def _typed(self, kind: str, schema: Schema, hint: str) -> CoreSchema:
        if kind == "string":
            return self._text(schema)
        if kind in ("integer", "number"):
            return _number(kind, schema)
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
            read, write = (
                (_read_date, encoders.date)
                if schema.format == "date"
                else (_read_datetime, encoders.date_time)
            )
            return core_schema.no_info_plain_validator_function(
                read,
                serialization=core_schema.plain_serializer_function_ser_schema(
                    write, when_used="json"
                ),
            )
        rust = rust_pattern(schema.pattern) if schema.pattern is not None else None
        node: CoreSchema = core_schema.str_schema(
            strict=True, min_length=schema.min_length, max_length=schema.max_length, pattern=rust
        )
        if schema.pattern is not None and rust is None:
            node = _after(_test(compile_pattern(schema.pattern)), node)
        test = formats.TEXTS.get(schema.format or "")
        if test is not None:
            node = _after(_test(test), node)
        return node

    def _array(self, schema: Schema, hint: str) -> CoreSchema:
        if schema.prefix_items:
            self.exact = False
            for item in schema.prefix_items:
                self.make(item, hint)
            return core_schema.any_schema()
        items = self.make(schema.items, f"{hint}_item") if schema.items is not None else None
        node: CoreSchema = core_schema.list_schema(
            items, min_length=schema.min_items, max_length=schema.max_items, strict=True
        )
        if schema.unique_items:
            # Judged before the items become models, which are not hashable.
            node = core_schema.no_info_before_validator_function(_unique_items, node)
        return node

    def _map(self, schema: Schema, hint: str) -> CoreSchema:
        extra = schema.additional_properties
        values = None
        if extra is not None:
            if extra.always is False:
                self.exact = False
            else:
                values = self.make(extra, f"{hint}_value")
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
            return core_schema.any_schema()
        info = model.pymacaron_info
        every = list(parts(schema))
        if len(every) > 1 and any(p.additional_properties is not None for p in every):
            self.exact = False
        if any(_needs_object_checker(p) for p in every) or any(
            p.others for p in info.properties.values()
        ):
            self.exact = False
        for branch in branches(schema):
            self.exact = False
            self.make(branch, hint)
        if not any(p.types for p in every):
            self.exact = False
        if any(n not in info.properties for p in every for n in p.required):
            self.exact = False
        extras = None
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
                extra_behavior=info.extra,  # type: ignore[arg-type]
                extras_schema=extras,
            ),
            custom_init=model.__pydantic_custom_init__ or None,
            post_init=model.__pydantic_post_init__,
        )
        return self._counted(every, node)

    def _counted(self, every: list[Schema], node: CoreSchema) -> CoreSchema:
        low = max((p.min_properties or 0 for p in every), default=0)
        highs = [p.max_properties for p in every if p.max_properties is not None]
        if not low and not highs:
            return node
        high = min(highs) if highs else None

        def count(value: Any) -> Any:
            if type(value) is dict and (
                len(value) < low or (high is not None and len(value) > high)
            ):
                raise ValueError("number of properties")
            return value

        return core_schema.no_info_before_validator_function(count, node)

    def _field(self, prop: Property, hint: str) -> core_schema.ModelField:
        node = self.make(prop.schema, hint)
        required = prop.required and self.workshop.required
        if self.workshop.direction == "request":
            required = required and not prop.read_only
        if not required:
            if not self.workshop.required:
                node = core_schema.nullable_schema(node)
            node = self._optional(prop, node)
        return core_schema.model_field(
            node,
            validation_alias=prop.name,
            serialization_alias=prop.name,
            serialization_exclude=True if self._hidden(prop) else None,
            serialization_exclude_if=None if prop.nullable or (prop.required and not
            self._may_be_none(prop)) else _is_none,
        )  # fmt: skip

    def _hidden(self, prop: Property) -> bool:
        return self.workshop.direction == "response" and prop.write_only

    def _may_be_none(self, prop: Property) -> bool:
        return not prop.nullable

    def _optional(self, prop: Property, node: CoreSchema) -> CoreSchema:
        if not prop.has_default:
            return core_schema.with_default_schema(node, default=None)
        default = prop.default
        if isinstance(default, dict | list) or _has_dates(prop.schema):
            convert = _Conversion(self.workshop).make(prop.schema, "")
            return core_schema.with_default_schema(node, default_factory=lambda: convert(default))
        return core_schema.with_default_schema(node, default=default)


def _has_dates(schema: Schema) -> bool:
    return target_of(schema).format in DATES


def _after(function: Callable[[Any], Any], node: CoreSchema) -> CoreSchema:
    return core_schema.no_info_after_validator_function(function, node)


def _unique_items(value: Any) -> Any:
    if type(value) is list and not is_unique(value):
        raise ValueError("items are not unique")
    return value


def _number(kind: str, schema: Schema) -> CoreSchema:
    low, high = schema.minimum, schema.maximum
    above, below = schema.exclusive_minimum, schema.exclusive_maximum
    limits: dict[str, Any] = {"ge": low, "le": high, "gt": above, "lt": below}
    tests: list[Callable[[Any], bool]] = []
    if schema.multiple_of is not None:
        tests.append(divides(schema.multiple_of))
    limit = formats.NUMBERS.get(schema.format or "")
    if limit is not None:
        tests.append(limit)
    if any(isinstance(v, float) or (v is not None and abs(v) > 2**53) for v in limits.values()):
        tests.append(_within(low, high, above, below))
        limits = {}
    whole = core_schema.int_schema(strict=True, **limits)
    if kind == "integer":
        fraction = core_schema.no_info_after_validator_function(
            _whole, core_schema.float_schema(strict=True, allow_inf_nan=False, **limits)
        )
    else:
        fraction = core_schema.float_schema(strict=True, allow_inf_nan=False, **limits)
    node: CoreSchema = core_schema.union_schema(
        [whole, fraction],
        mode="left_to_right",
        serialization=core_schema.to_string_ser_schema() if False else None,
    )
    for test in tests:
        node = _after(_test(test), node)
    return node


def _within(
    low: float | None, high: float | None, above: float | None, below: float | None
) -> Callable[[Any], bool]:
    def test(value: Any) -> bool:
        return (
            (low is None or value >= low)
            and (high is None or value <= high)
            and (above is None or value > above)
            and (below is None or value < below)
        )

    return test


def _only_null_beside(schema: Schema) -> Schema | None:
    """The one branch that is not `null`, where a oneOf or anyOf says no more than "or null"."""
    alternatives = [*schema.one_of, *schema.any_of]
    others = [s for s in alternatives if target_of(s).types != {"null"}]
    if len(alternatives) != 2 or len(others) != 1 or schema.ref or schema.all_of or schema.types:
        return None
    if _constrained(schema) or _needs_checker(schema, combined=True):
        return None
    other = target_of(others[0])
    if schema.one_of and (other.nullable or not other.types or "null" in other.types):
        return None
    return others[0]


def _constrained(schema: Schema) -> bool:
    return (
        _text_constrained(schema)
        or schema.properties != {}
        or schema.items is not None
        or bool(schema.prefix_items)
        or schema.unique_items
        or bool(schema.required)
        or schema.additional_properties is not None
        or schema.enum is not None
        or schema.const is not ABSENT
        or schema.format in formats.NUMBERS
        or any(
            bound is not None
            for bound in (
                schema.minimum, schema.maximum, schema.exclusive_minimum, schema.exclusive_maximum,
                schema.multiple_of, schema.min_items, schema.max_items, schema.min_properties,
                schema.max_properties,
            )
        )
    )  # fmt: skip


def _text_constrained(schema: Schema) -> bool:
    return (
        schema.min_length is not None
        or schema.max_length is not None
        or schema.pattern is not None
        or schema.format in formats.TEXTS
    )


def _needs_checker(schema: Schema, *, combined: bool = False) -> bool:
    """Whether a schema says what pydantic-core has no word for."""
    return bool(
        schema.not_ is not None
        or schema.if_ is not None
        or schema.contains is not None
        or schema.unevaluated_items is not None
        or (not combined and (schema.one_of or schema.any_of))
    ) or _needs_object_checker(schema)


def _needs_object_checker(schema: Schema) -> bool:
    return bool(
        schema.pattern_properties
        or schema.property_names is not None
        or schema.unevaluated_properties is not None
        or schema.dependent_required
        or schema.dependent_schemas
        or schema.not_ is not None
        or schema.if_ is not None
        or schema.enum is not None
        or schema.const is not ABSENT
        or (schema.properties and (schema.items is not None))
    ) and not (schema.types and schema.types <= {"string", "integer", "number", "boolean", "null"} and
               schema.not_ is None and schema.if_ is None)  # fmt: skip


class _Conversion:
    """Plain data that was judged good → models and dates, where pydantic-core alone could not judge
    it."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self._done: dict[int, Converter] = {}

    def make(self, schema: Schema, hint: str) -> Converter:
        end = target_of(schema)
        found = self._done.get(id(end))
        if found is not None:
            return found
        target: list[Converter] = []

        def later(value: Any) -> Any:
            return target[0](value)

        self._done[id(end)] = later
        target.append(self._make(end, hint))
        self._done[id(end)] = target[0]
        return later

    def _make(self, schema: Schema, hint: str) -> Converter:
        if is_model(schema):
            model = self.workshop.models.class_of(schema, hint)
            if model is not None:
                return self._object(schema, model)
        alternatives = [*schema.one_of, *schema.any_of]
        if alternatives:
            return self._first(alternatives, hint)
        if schema.format in DATES:
            read = _read_date if schema.format == "date" else _read_datetime
            return lambda value: read(value) if type(value) is str else value
        for part in parts(schema):
            if part is not schema and (part.items or part.types or part.one_of or part.any_of):
                return self.make(part, hint)
        if schema.items is not None or schema.prefix_items:
            return self._array(schema, hint)
        extra = schema.additional_properties
        if extra is not None and extra.always is None:
            return self._map(self.make(extra, f"{hint}_value"))
        if schema.types == {"integer"}:
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
            (self.workshop.compile(s), self.make(s, f"{hint}_{i + 1}"))
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
            (self.workshop.compile(s), self.make(s, f"{info.name}_{i + 1}"))
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


def finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
