"""Raw data → Schema: every keyword checked for its type, what is unsupported reported, never
silently accepted."""

from __future__ import annotations

import difflib
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from pymacaron.openapi.ecma import BadPattern, compile_pattern
from pymacaron.openapi.problems import Problem
from pymacaron.openapi.reference import BadReference, Files
from pymacaron.openapi.schema import Dialect, Discriminator, Place, Schema

TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})

# PyMacaron 2 took these for types.
OLD_TYPES = {
    "int32": ("integer", "int32"),
    "int64": ("integer", "int64"),
    "date": ("string", "date"),
    "datetime": ("string", "datetime"),
    "date-time": ("string", "date-time"),
    "iso-date": ("string", "date-time"),
}

ANNOTATIONS = frozenset(
    [
        "$schema",
        "$comment",
        "$defs",
        "$anchor",
        "$dynamicAnchor",
        "definitions",
        "id",
        "title",
        "description",
        "example",
        "examples",
        "externalDocs",
        "xml",
        "deprecated",
        "contentMediaType",
        "contentEncoding",
        "contentSchema",
        "collectionFormat",
        "allowEmptyValue",
        "name",
        "in",
    ]
)
UNSUPPORTED = {
    "$dynamicRef": "$dynamicRef is not supported: use $ref",
    "$recursiveRef": "$recursiveRef is not supported: use $ref",
    "$recursiveAnchor": "$recursiveAnchor is not supported: use $ref",
    "$vocabulary": "$vocabulary is not supported",
    "$id": "$id inside an OpenAPI file is not supported: refer to schemas by their place",
}
SINCE_31 = frozenset(
    [
        "if",
        "then",
        "else",
        "prefixItems",
        "contains",
        "minContains",
        "maxContains",
        "propertyNames",
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedProperties",
        "unevaluatedItems",
    ]
)
ONLY_DRAFT_4 = {
    "additionalItems": "additionalItems is not part of OpenAPI 3.1: use prefixItems and items",
    "dependencies": "dependencies is not part of OpenAPI 3.1: use dependentRequired or"
    " dependentSchemas",
}


class SchemaReader:
    """Reads each place once, so that cycles end and shared schemas stay one object."""

    def __init__(
        self, files: Files, dialect: Dialect, problems: list[Problem], warnings: list[Problem]
    ) -> None:
        self.files = files
        self.dialect = dialect
        self.problems = problems
        self.warnings = warnings
        self.done: dict[tuple[str, str], Schema] = {}
        self._waiting: deque[tuple[Schema, Any]] = deque()
        self._later: list[Callable[[], None]] = []

    def read(self, place: Place, raw: Any, name: str | None = None) -> Schema:
        """The schema at a place, and all it refers to."""
        schema = self._get(place, raw, name)
        while self._waiting:
            self._fill(*self._waiting.popleft())
        later, self._later = self._later, []
        for action in later:
            action()
            while self._waiting:
                self._fill(*self._waiting.popleft())
        return schema

    def problem(self, place: Place, text: str) -> None:
        self.problems.append(place.document.problem(text, place.pointer))

    def _get(self, place: Place, raw: Any, name: str | None = None) -> Schema:
        key = (str(place.document.path), place.pointer)
        found = self.done.get(key)
        if found is None:
            found = self.done[key] = Schema(place=place, name=name)
            self._waiting.append((found, raw))
        elif name is not None and found.name is None:
            found.name = name
        return found

    def _fill(self, schema: Schema, raw: Any) -> None:
        place = schema.place
        if isinstance(raw, bool):
            if self.dialect != "3.1" and not place.pointer.endswith(
                ("/additionalProperties", "/additionalItems")
            ):
                self.problem(place, "a schema must be an object: true and false are OpenAPI 3.1's")
            schema.always = raw
            return
        if not isinstance(raw, dict):
            self.problem(place, f"a schema must be an object, not {_kind(raw)}")
            return
        if "$ref" in raw and not isinstance(raw["$ref"], dict):
            self._reference(schema, raw)
            if self.dialect != "3.1":
                schema.x_nullable = raw.get("x-nullable") is True
                schema.mandatory = raw.get("x-mandatory") is True
                return
        _Keywords(self, schema, raw).read()

    def _reference(self, schema: Schema, raw: dict[str, Any]) -> None:
        at = schema.place / "$ref"
        try:
            target, value = self.files.follow(at, raw["$ref"])
        except BadReference as error:
            self.problem(at, str(error))
            return
        schema.ref = self._get(target, value)
        schema.ref.referred = True


class _Keywords:
    """The keywords of one schema object."""

    def __init__(self, reader: SchemaReader, schema: Schema, raw: dict[str, Any]) -> None:
        self.reader = reader
        self.schema = schema
        self.raw = raw
        self.place = schema.place

    def read(self) -> None:
        self._words()
        self._types()
        self._numbers()
        self._texts()
        self._arrays()
        self._objects()
        self._combinations()
        self._annotations()

    def bad(self, keyword: str, text: str) -> None:
        self.reader.problem(self.place / keyword, text)

    def _words(self) -> None:
        new = self.reader.dialect == "3.1"
        for keyword in self.raw:
            if keyword in KNOWN:
                if not new and keyword in SINCE_31 and keyword != "prefixItems":
                    self.bad(
                        keyword,
                        f"{keyword} is OpenAPI 3.1's, this is {self.reader.dialect}",
                    )
                elif not new and keyword == "prefixItems":
                    self.bad(keyword, "prefixItems is OpenAPI 3.1's: write the list in items")
                elif new and keyword in ONLY_DRAFT_4:
                    self.bad(keyword, ONLY_DRAFT_4[keyword])
            elif keyword in UNSUPPORTED:
                self.bad(keyword, UNSUPPORTED[keyword])
            elif keyword not in ANNOTATIONS and not keyword.startswith("x-"):
                near = difflib.get_close_matches(keyword, KNOWN, n=1, cutoff=0.8)
                hint = f"; did you mean {near[0]}?" if near else ""
                place = self.place / keyword
                self.reader.warnings.append(
                    place.document.problem(
                        f"the keyword {keyword!r} means nothing in a schema{hint}", place.pointer
                    )
                )

    def _types(self) -> None:
        raw, schema = self.raw, self.schema
        if "type" in raw:
            kinds = raw["type"] if isinstance(raw["type"], list) else [raw["type"]]
            if not kinds:
                self.bad("type", "type must name at least one type")
            names = set()
            for kind in kinds:
                if isinstance(kind, str) and kind in OLD_TYPES and self.reader.dialect == "2.0":
                    kind, schema.format = OLD_TYPES[kind]
                if kind is None:
                    kind = "null"
                if kind == "file" and self.reader.dialect == "2.0":
                    kind, schema.format = "string", "binary"
                if not isinstance(kind, str) or kind not in TYPES:
                    self.bad("type", f"{kind!r} is no type; there are {', '.join(sorted(TYPES))}")
                else:
                    names.add(kind)
            schema.types = frozenset(names) or None
        schema.x_nullable = self._flag("x-nullable")
        schema.nullable = self._flag("nullable") or schema.x_nullable
        if "enum" in raw:
            if isinstance(raw["enum"], list):
                schema.enum = raw["enum"]
            else:
                self.bad("enum", "enum must be a list of values")
        if "const" in raw:
            schema.const = raw["const"]

    def _numbers(self) -> None:
        schema = self.schema
        schema.minimum = self._number("minimum")
        schema.maximum = self._number("maximum")
        schema.multiple_of = self._number("multipleOf")
        if schema.multiple_of is not None and schema.multiple_of <= 0:
            self.bad("multipleOf", "multipleOf must be greater than 0")
            schema.multiple_of = None
        for side in ("minimum", "maximum"):
            keyword = "exclusive" + side.capitalize()
            if keyword not in self.raw:
                continue
            value = self.raw[keyword]
            if self.reader.dialect == "3.1":
                setattr(schema, "exclusive_" + side, self._number(keyword))
            elif not isinstance(value, bool):
                self.bad(
                    keyword,
                    f"{keyword} must be true or false in OpenAPI {self.reader.dialect},"
                    f" beside {side}",
                )
            elif value and getattr(schema, side) is not None:
                setattr(schema, "exclusive_" + side, getattr(schema, side))
                setattr(schema, side, None)

    def _texts(self) -> None:
        raw, schema = self.raw, self.schema
        schema.min_length = self._count("minLength")
        schema.max_length = self._count("maxLength")
        if "format" in raw:
            if isinstance(raw["format"], str):
                schema.format = raw["format"]
            else:
                self.bad("format", "format must be a text")
        if "pattern" in raw and self._pattern("pattern", raw["pattern"]):
            schema.pattern = raw["pattern"]

    def _pattern(self, keyword: str, pattern: object) -> bool:
        if not isinstance(pattern, str):
            self.bad(keyword, "a pattern must be a text")
            return False
        try:
            compile_pattern(pattern)
        except BadPattern as error:
            self.bad(keyword, f"the pattern {pattern!r} can't be used: {error}")
            return False
        return True

    def _arrays(self) -> None:
        raw, schema = self.raw, self.schema
        schema.min_items = self._count("minItems")
        schema.max_items = self._count("maxItems")
        schema.unique_items = self._flag("uniqueItems")
        items = raw.get("items")
        if isinstance(items, list):
            if self.reader.dialect == "3.1":
                self.bad("items", "items must be one schema: write the list in prefixItems")
            schema.prefix_items = self._list("items")
            schema.items = self._one("additionalItems")
        else:
            schema.items = self._one("items")
            schema.prefix_items = self._list("prefixItems")
        schema.contains = self._one("contains")
        schema.min_contains = self._count("minContains")
        schema.max_contains = self._count("maxContains")
        schema.unevaluated_items = self._one("unevaluatedItems")

    def _objects(self) -> None:
        raw, schema = self.raw, self.schema
        schema.has_properties = "properties" in raw
        schema.properties = self._map("properties")
        for pattern in self._map("patternProperties"):
            self._pattern("patternProperties", pattern)
        schema.pattern_properties = self._map("patternProperties")
        schema.additional_properties = self._one("additionalProperties")
        schema.property_names = self._one("propertyNames")
        schema.unevaluated_properties = self._one("unevaluatedProperties")
        schema.min_properties = self._count("minProperties")
        schema.max_properties = self._count("maxProperties")
        if "required" in raw:
            schema.required = self._names("required", raw["required"])
        for keyword in ("dependentRequired", "dependentSchemas", "dependencies"):
            value = raw.get(keyword, {})
            if not isinstance(value, dict):
                self.bad(keyword, f"{keyword} must be an object")
                continue
            for name, entry in value.items():
                if isinstance(entry, list):
                    schema.dependent_required[name] = self._names(keyword, entry)
                else:
                    schema.dependent_schemas[name] = self.reader._get(
                        self.place / keyword / name, entry
                    )

    def _combinations(self) -> None:
        raw, schema = self.raw, self.schema
        schema.all_of = self._list("allOf")
        schema.any_of = self._list("anyOf")
        schema.one_of = self._list("oneOf")
        schema.not_ = self._one("not")
        schema.if_ = self._one("if")
        schema.then = self._one("then")
        schema.else_ = self._one("else")
        if isinstance(raw.get("discriminator"), dict):
            self._discriminator(raw["discriminator"])

    def _discriminator(self, raw: dict[str, Any]) -> None:
        name = raw.get("propertyName")
        if not isinstance(name, str):
            self.bad("discriminator", "a discriminator needs a propertyName")
            return
        mapping: dict[str, Schema] = {}
        entries = raw.get("mapping") or {}
        if not isinstance(entries, dict):
            self.bad("discriminator", "a discriminator's mapping must be an object")
            return
        for value, target in entries.items():
            at = self.place / "discriminator" / "mapping" / value
            ref = target
            if isinstance(ref, str) and not any(c in ref for c in "#/."):
                ref = f"#/components/schemas/{ref}"
            try:
                found, data = self.reader.files.follow(at, ref)
            except BadReference as error:
                self.reader.problem(at, str(error))
                continue
            mapping[value] = self.reader._get(found, data)
            mapping[value].referred = True
        self.schema.discriminator = Discriminator(name, mapping)

    def _annotations(self) -> None:
        raw, schema = self.raw, self.schema
        if "default" in raw:
            schema.default = raw["default"]
        schema.read_only = self._flag("readOnly")
        schema.write_only = self._flag("writeOnly")
        schema.mandatory = self._flag("x-mandatory")
        for keyword, attribute in (
            ("title", "title"),
            ("description", "description"),
            ("x-parent", "parent"),
            ("x-persist", "persist"),
        ):
            value = raw.get(keyword)
            if isinstance(value, str):
                setattr(schema, attribute, value)
            elif keyword in ("x-parent", "x-persist") and value is not None:
                self.bad(keyword, f"{keyword} must name a Python class: pkg.module.Class")

    def _flag(self, keyword: str) -> bool:
        value = self.raw.get(keyword, False)
        if not isinstance(value, bool):
            self.bad(keyword, f"{keyword} must be true or false")
            return False
        return value

    def _number(self, keyword: str) -> int | float | None:
        value = self.raw.get(keyword)
        if keyword not in self.raw:
            return None
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or (isinstance(value, float) and not math.isfinite(value))
        ):
            self.bad(keyword, f"{keyword} must be a number")
            return None
        return value

    def _count(self, keyword: str) -> int | None:
        value = self._number(keyword)
        if value is None:
            return None
        if value != int(value) or value < 0:
            self.bad(keyword, f"{keyword} must be a whole number, 0 or more")
            return None
        return int(value)

    def _names(self, keyword: str, value: object) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            self.bad(keyword, f"{keyword} must be a list of property names")
            return []
        return list(dict.fromkeys(value))

    def _one(self, keyword: str) -> Schema | None:
        if keyword not in self.raw:
            return None
        return self.reader._get(self.place / keyword, self.raw[keyword])

    def _list(self, keyword: str) -> list[Schema]:
        value = self.raw.get(keyword, [])
        if not isinstance(value, list) or (
            keyword in self.raw and not value and keyword != "items"
        ):
            self.bad(keyword, f"{keyword} must be a list of schemas, with at least one")
            return []
        at = self.place / keyword
        return [self.reader._get(at / i, raw) for i, raw in enumerate(value)]

    def _map(self, keyword: str) -> dict[str, Schema]:
        value = self.raw.get(keyword, {})
        if not isinstance(value, dict):
            self.bad(keyword, f"{keyword} must be an object")
            return {}
        at = self.place / keyword
        return {name: self.reader._get(at / name, raw) for name, raw in value.items()}


KNOWN = frozenset(
    [
        "$ref",
        "type",
        "nullable",
        "enum",
        "const",
        "default",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "items",
        "prefixItems",
        "additionalItems",
        "minItems",
        "maxItems",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "unevaluatedItems",
        "properties",
        "patternProperties",
        "additionalProperties",
        "propertyNames",
        "unevaluatedProperties",
        "required",
        "minProperties",
        "maxProperties",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
        "discriminator",
        "readOnly",
        "writeOnly",
    ]
)


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return "a text" if isinstance(value, str) else "a number"
