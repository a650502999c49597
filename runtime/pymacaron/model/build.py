"""Schemas → pydantic classes, in memory. One `Models` per API; cycles are fine, nothing is written
to disk."""

from __future__ import annotations

import importlib
import keyword
import re
import threading
import types
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic_core import CoreSchema, core_schema

from pymacaron.model.base import ModelInfo, Property, PymacaronBaseModel
from pymacaron.openapi.problems import Problem
from pymacaron.openapi.schema import ABSENT, Schema

NULL = frozenset({"null"})
TAKEN = frozenset(
    [*dir(PymacaronBaseModel), *dir(type(PymacaronBaseModel)), "self", "cls", "Config"]
)
"""What a field can't be called: methods of the class and of its metaclass, pydantic 1's Config."""
DATES = frozenset({"date", "date-time", "datetime"})
MAX_LITERALS = 200
Model = type[PymacaronBaseModel]


def target_of(schema: Schema) -> Schema:
    """The end of a chain of pure `$ref`s."""
    seen = set()
    while schema.ref is not None and id(schema) not in seen and is_pure_reference(schema):
        seen.add(id(schema))
        schema = schema.ref
    return schema


def is_pure_reference(schema: Schema) -> bool:
    """A `$ref` with nothing beside it that constrains (before OpenAPI 3.1 nothing beside it
    counts)."""
    return schema.ref is not None and not (
        schema.types
        or schema.nullable
        or schema.enum is not None
        or schema.const is not ABSENT
        or schema.properties
        or schema.required
        or schema.additional_properties
        or schema.items
        or schema.prefix_items
        or schema.all_of
        or schema.any_of
        or schema.one_of
        or schema.not_
        or schema.if_
        or schema.pattern
        or schema.format
        or schema.pattern_properties
        or schema.property_names
        or schema.unevaluated_properties
        or schema.unevaluated_items
        or schema.contains
        or schema.dependent_required
        or schema.dependent_schemas
        or schema.unique_items
        or any(
            bound is not None
            for bound in (
                schema.minimum, schema.maximum, schema.exclusive_minimum, schema.exclusive_maximum,
                schema.multiple_of, schema.min_length, schema.max_length, schema.min_items,
                schema.max_items, schema.min_properties, schema.max_properties,
            )
        )
    )  # fmt: skip


def parts(schema: Schema, seen: set[int] | None = None) -> Iterator[Schema]:
    """The schemas whose properties an object has for certain: itself, its `$ref`, its allOf."""
    seen = set() if seen is None else seen
    if id(schema) in seen:
        return
    seen.add(id(schema))
    for part in (*([schema.ref] if schema.ref else []), *schema.all_of):
        yield from parts(part, seen)
    yield schema


def branches(schema: Schema) -> Iterator[Schema]:
    """The alternatives of a schema, as far as they show: oneOf, anyOf, then, else."""
    for part in parts(schema):
        yield from (*part.one_of, *part.any_of)
        yield from (s for s in (part.then, part.else_) if s is not None)


class Models:
    """The classes of one API."""

    def __init__(self, api: str, *, strict: bool = False) -> None:
        self.api = api
        self.strict = strict
        self.problems: list[Problem] = []
        self._named: dict[str, Schema] = {}
        self._names: set[str] = set()
        self._extensions: dict[int, list[Schema]] | None = None
        # A class is made once, though two requests may be the first to need it.
        self._lock = threading.RLock()
        self._classes: dict[int, Model | None] = {}
        self._making: set[int] = set()
        self._typing: set[int] = set()
        self._keep: list[Schema] = []
        self._parents: dict[str, type] = {}

    def build(self, schemas: Iterable[tuple[str, Schema]]) -> None:
        """Takes the named schemas; nested objects get derived names. A class is made when it is
        first asked for; those with an x-parent now, so that a wrong one is told at the start."""
        for name, schema in schemas:
            end = target_of(schema)
            if end.name is None:
                end.name = name
            if is_model(end):
                self._named[name] = end
        self._names |= set(self._named)
        for schema in self._named.values():
            if schema.parent is not None:
                self.class_of(schema)

    def names(self) -> list[str]:
        """The names of the models that the API declares, sorted."""
        return sorted(self._named)

    def get(self, name: str) -> Model | None:
        """The class of a named schema, if it is an object."""
        schema = self._named.get(name)
        return None if schema is None else self.class_of(schema)

    def class_of(self, schema: Schema, hint: str = "") -> Model | None:
        """The class of an object schema; None for what is no object with named properties."""
        found = self._classes.get(id(target_of(schema)))
        if found is not None:
            return found
        with self._lock:
            return self._class_of(schema, hint)

    def _class_of(self, schema: Schema, hint: str) -> Model | None:
        schema = target_of(schema)
        key = id(schema)
        if key not in self._classes:
            if key in self._making:
                return None
            self._keep.append(schema)
            self._classes[key] = self._make(schema, hint) if is_model(schema) else None
        return self._classes[key]

    def extensions(self, model: Model) -> list[Model]:
        """The named models that extend another by allOf."""
        if self._extensions is None:
            found: dict[int, list[Schema]] = {}
            for schema in self._named.values():
                for part in parts(schema):
                    if part is not schema:
                        found.setdefault(id(part), []).append(schema)
            self._extensions = found
        schemas = self._extensions.get(id(model.pymacaron_info.schema), [])
        return [m for m in map(self.class_of, schemas) if m is not None and issubclass(m, model)]

    def being_made(self, schema: Schema) -> bool:
        return id(target_of(schema)) in self._making

    def _make(self, schema: Schema, hint: str) -> Model:
        self._making.add(id(schema))
        name = schema.name or self._free_name(hint or "Object")
        properties = collect(schema)
        info = ModelInfo(
            api=self.api,
            name=name,
            schema=schema,
            properties=properties,
            extra=self._extra(schema),
        )
        bases = self._bases(schema)
        fields = {
            prop.field: self._field(prop, f"{name}_{prop.field}") for prop in properties.values()
        }
        try:
            model = self._create(info, bases, fields)
        except TypeError as error:
            self._problem(schema, f"the class {name} can't be made: {error}")
            model = self._create(info, (), fields)
        self._making.discard(id(schema))
        self._classes[id(schema)] = model
        return model

    def _create(self, info: ModelInfo, bases: tuple[type, ...], fields: dict[str, Any]) -> Model:
        if not any(issubclass(base, PymacaronBaseModel) for base in bases):
            bases = (*bases, PymacaronBaseModel)
        namespace = {
            "__module__": f"pymacaron.apis.{self.api}",
            "__doc__": info.schema.description,
            "__annotations__": {field: kind for field, (kind, _) in fields.items()},
            "model_config": ConfigDict(extra=info.extra, validate_assignment=self.strict),
            "pymacaron_info": info,
            **{field: value for field, (_, value) in fields.items()},
        }
        name = re.sub(r"\W", "_", info.name)
        model: Any = types.new_class(name, bases, {}, lambda body: body.update(namespace))
        # What an x-parent only annotates is no property of the model.
        for field in set(model.model_fields) - set(fields):
            del model.__pydantic_fields__[field]
        return model  # type: ignore[no-any-return]

    def _bases(self, schema: Schema) -> tuple[type, ...]:
        """The classes of x-parent and x-persist first; a model that extends another by allOf is its
        subclass."""
        bases: list[type] = []
        for part in parts(schema):
            for path, key in ((part.persist, "x-persist"), (part.parent, "x-parent")):
                parent = self._parent(path, key, part) if path is not None else None
                if parent is not None and parent not in bases:
                    bases.insert(0, parent)
        for part in schema.all_of:
            end = target_of(part)
            if part.ref is None or self.being_made(end):
                continue
            base = self._class_of(end, "")
            if base is not None and not any(issubclass(b, base) for b in bases):
                bases.append(base)
        return tuple(bases)

    def _parent(self, path: str, key: str, schema: Schema) -> type | None:
        if path not in self._parents:
            module, _, name = path.rpartition(".")
            try:
                found = getattr(importlib.import_module(module), name)
            except Exception as error:  # noqa: BLE001 - whatever a user's module raises is the problem to show
                reason = f"{type(error).__name__}: {error}"
                self._problem(schema, f"the class {path} of {key} can't be imported: {reason}")
                return None
            if not isinstance(found, type):
                self._problem(schema, f"{path}, named by {key}, is no class")
                return None
            self._parents[path] = found
        return self._parents[path]

    def _problem(self, schema: Schema, text: str) -> None:
        place = schema.place
        self.problems.append(place.document.problem(text, place.pointer))

    def _extra(self, schema: Schema) -> Literal["allow", "ignore", "forbid"]:
        if not any(p.has_properties for p in parts(schema)):
            return "allow"
        rules = [p.additional_properties for p in parts(schema) if p.additional_properties]
        if any(r.always is False for r in rules):
            return "forbid"
        if rules or any(p.pattern_properties or p.unevaluated_properties for p in parts(schema)):
            return "allow"
        if any(True for _ in branches(schema)):
            return "allow"
        return "forbid" if self.strict else "ignore"

    def _free_name(self, name: str) -> str:
        wanted, number = name, 2
        while name in self._names:
            name, number = f"{wanted}_{number}", number + 1
        self._names.add(name)
        return name

    def _field(self, prop: Property, hint: str) -> Any:
        kind = Any if prop.others else self.type_of(prop.schema, hint)
        alias = prop.name if prop.name != prop.field else None
        if prop.mandatory:
            return (Optional[kind] if prop.nullable else kind, Field(alias=alias))  # noqa: UP045
        default: Any = prop.default if prop.has_default else None
        if isinstance(default, dict | list):
            copy = default
            return (
                Optional[kind],  # noqa: UP045 - kind may be any object
                Field(default_factory=lambda: _copied(copy), alias=alias, validate_default=True),
            )
        return (
            Optional[kind],  # noqa: UP045
            Field(default=default, alias=alias, validate_default=default is not None),
        )

    def type_of(self, schema: Schema, hint: str = "") -> Any:
        """The Python type of a property: what a constructor takes and editors are told."""
        end = target_of(schema)
        if is_model(end):
            # Its class is made when it is needed: a long chain would exhaust Python's stack.
            return Annotated[self._classes.get(id(end)) or Any, Member(self, end, hint)]
        if id(end) in self._typing:
            return Any  # what leads back to itself has no type of Python's
        self._typing.add(id(end))
        try:
            return self._type_of(end, hint)
        finally:
            self._typing.discard(id(end))

    def _type_of(self, end: Schema, hint: str) -> Any:
        alternatives = [s for s in (*end.one_of, *end.any_of) if target_of(s).types != NULL]
        if alternatives and not end.types:
            kinds = [self.type_of(s, f"{hint}_{i + 1}") for i, s in enumerate(alternatives)]
            return Any if Any in kinds else Union[tuple(kinds)]  # noqa: UP007
        if end.enum and all(isinstance(v, str) for v in end.enum) and len(end.enum) <= MAX_LITERALS:
            return Literal[tuple(end.enum)]
        types = (end.types or frozenset()) - {"null"}
        if len(types) != 1:
            return Any
        return self._simple_type(next(iter(types)), end, hint)

    def _simple_type(self, kind: str, schema: Schema, hint: str) -> Any:
        if kind == "string":
            if schema.format in DATES:
                return Annotated[datetime, BeforeValidator(_midnight)]
            return bytes if schema.format == "binary" else str
        if kind == "array":
            if schema.items is None or schema.prefix_items:
                return list[Any]
            return list[self.type_of(schema.items, f"{hint}_item")]  # type: ignore[misc]
        if kind == "object":
            extra = schema.additional_properties
            if extra is None or extra.always is not None:
                return dict[str, Any]
            return dict[str, self.type_of(extra, f"{hint}_value")]  # type: ignore[misc]
        return {"integer": int, "number": float, "boolean": bool}[kind]


class Member:
    """A property that holds a model: that model's own validator is asked, so that building a class
    takes no longer for what it refers to, and cycles need no care."""

    def __init__(self, models: Models, schema: Schema, hint: str) -> None:
        self.models = models
        self.schema = schema
        self.hint = hint

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        known: Model | None = None

        def read(value: Any) -> Any:
            nonlocal known
            model = known = known or self.models.class_of(self.schema, self.hint)
            if model is None or isinstance(value, model):
                return value
            return model.model_validate(value)

        return core_schema.no_info_plain_validator_function(read)

    def __get_pydantic_json_schema__(
        self, source: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "object", "title": self.schema.name or ""}


def _midnight(value: Any) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    return value


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    return [_copied(v) for v in value] if isinstance(value, list) else value


def is_model(schema: Schema) -> bool:
    """Whether a schema is an object with properties of its own, so that it becomes a class."""
    if schema.always is not None or (schema.types and not schema.types <= {"object", "null"}):
        return False
    every = list(parts(schema))
    if any(p.types and not p.types <= {"object", "null"} for p in every):
        return False
    if any(p.properties or p.parent for p in every):
        return True
    if any(p.additional_properties or p.pattern_properties for p in every):
        return False
    return bool(
        schema.types
        and "object" in schema.types
        and (schema.has_properties or schema.name is not None)
        and not any(True for _ in branches(schema))
    )


def collect(schema: Schema) -> dict[str, Property]:
    """The properties of an object, those of its `$ref` and allOf first, each with its Python
    name."""
    found: dict[str, list[Schema]] = {}
    required: set[str] = set()
    for part in parts(schema):
        required |= set(part.required)
        for name, prop in part.properties.items():
            found.setdefault(name, []).append(prop)
    used: set[str] = set()
    result: dict[str, Property] = {}
    for name, schemas in found.items():
        own = schemas[-1]
        every = [s for each in schemas for s in parts(each)]
        end = target_of(own)
        entry = Property(
            name=name,
            field=field_name(name, used),
            schema=own,
            others=tuple(schemas[:-1]),
            required=name in required,
            nullable=any(s.nullable or s.x_nullable for s in every) or takes_null(end),
            mandatory=any(s.mandatory for s in schemas),
            read_only=any(s.read_only for s in every),
            write_only=any(s.write_only for s in every),
        )
        used.add(entry.field)
        result[name] = entry
    return result


def takes_null(schema: Schema) -> bool:
    if schema.types and "null" in schema.types:
        return True
    return any(target_of(s).types == NULL for s in (*schema.one_of, *schema.any_of))


def field_name(name: str, used: set[str]) -> str:
    """A Python name for a property: itself where possible, else `class` → `class_`, `a-b` →
    `a_b`."""
    field = re.sub(r"\W", "_", name).lstrip("_") or "field"
    if field[0].isdigit():
        field = f"n{field}"
    if field != name and name.startswith("_"):
        field += "_"
    if keyword.iskeyword(field):
        field += "_"
    while field in used or field in TAKEN:
        field += "_"
    return field
