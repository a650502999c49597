"""Parameters: texts of a path, query, header, cookie or form → values, in every style OpenAPI
has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pymacaron.endpoint.call import Call, Problems
from pymacaron.endpoint.names import argument_name
from pymacaron.endpoint.texts import (
    Undecodable,
    cookies_of,
    decode,
    kind_of_schema,
    latin,
    properties_of,
    query_of,
    same,
    scalar,
    scalar_types,
)
from pymacaron.model.build import parts, target_of
from pymacaron.model.codec import Codec, Invalid, Malformed, Workshop, parse
from pymacaron.model.keywords import Fault
from pymacaron.openapi import ABSENT, Parameter, Schema

SEPARATORS = {"form": ",", "simple": ",", "spaceDelimited": " ", "pipeDelimited": "|", "tabs": "\t"}
MISSING: Any = object()
EMPTY: Any = object()


class Reader:
    """Reads one parameter: compiled once, called per request."""

    def __init__(self, parameter: Parameter, workshop: Workshop) -> None:
        self.parameter = parameter
        self.name = parameter.name
        self.where = parameter.where
        self.argument = argument_name(parameter.name, parameter.where)
        self.codec: Codec = workshop.codec(parameter.schema, f"{self.argument}")
        self.kind = kind_of_schema(parameter.schema)
        self.passed = True
        self.default = target_of(parameter.schema).default
        if parameter.schema.default is not ABSENT:
            self.default = parameter.schema.default
        self.header = "HTTP_" + parameter.name.upper().replace("-", "_")
        if self.header in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
            self.header = self.header[5:]
        self.encoded = parameter.where == "query"
        self._scalar = scalar(parameter.schema)
        self._build = self._builder(parameter.schema)
        self._quick = self._plain() or self._data
        self._absent: Any = MISSING

    def prepare(self) -> None:
        self.codec.prepare()
        if isinstance(self.default, str | int | float | None):
            self._absent = self._defaulted()

    def read(self, source: Any, problems: Problems) -> Any:
        """The argument's value: validated, the default, or None. `source`: a mapping of names to
        lists of texts (for a path or header: to a text)."""
        try:
            data = self._quick(source)
        except Undecodable:
            problems.found.append(f"{self.where} /{self.name}: is not valid UTF-8")
            return None
        except Malformed as error:
            problems.found.append(f"{self.where} /{self.name}: is not valid JSON: {error}")
            return None
        if data is EMPTY:
            return None
        if data is MISSING:
            if self.parameter.required:
                problems.found.append(f"{self.where} /{self.name}: is required")
                return None
            absent = self._absent
            return self._defaulted() if absent is MISSING else absent
        try:
            return self.codec.read_data(data)
        except Invalid as error:
            problems.add(
                self.where, [Fault(f"/{self.name}{f.pointer}", f.text) for f in error.faults]
            )
            return None

    def _defaulted(self) -> Any:
        if self.default is ABSENT:
            return None
        try:
            return self.codec.read_data(self.default)
        except Invalid:
            return self.default

    def _data(self, source: Any) -> Any:
        if self.where in ("path", "header"):
            text = source.get(self.name if self.where == "path" else self.header)
            return MISSING if text is None else self._build([text], source)
        values = source.get(self.name)
        if values is None:
            if self.kind == "object":
                return self._build([], source)
            return MISSING
        if self.parameter.allow_empty and values[0] == "" and self.kind == "scalar":
            return "" if "string" in scalar_types(self.parameter.schema) else EMPTY
        return self._build(values, source)

    def _plain(self) -> Callable[[Any], Any] | None:
        """What `_data` does, for the parameters that most have: scalars in a path or query that are
        written as they are. None: this is another one."""
        name, convert, parameter = self.name, self._scalar, self.parameter
        bare = parameter.media_type is None and parameter.style in ("simple", "form")
        if self.kind != "scalar" or not bare or parameter.allow_empty:
            return None

        def in_path(source: Any) -> Any:
            text = source.get(name)
            return MISSING if text is None else convert(text)

        def in_query(source: Any) -> Any:
            values = source.get(name)
            return MISSING if values is None else convert(decode(values[0]))

        return {"path": in_path, "query": in_query}.get(self.where)

    def _text(self, text: str) -> str:
        if self.encoded:
            return decode(text)
        if self.where == "header" and not text.isascii():
            return latin(text)
        return text

    def _builder(self, schema: Schema) -> Callable[[list[str], Any], Any]:
        if self.parameter.media_type is not None:
            if "json" in self.parameter.media_type:
                return lambda values, _: parse(self._text(values[0]).encode())
            return lambda values, _: self._text(values[0])
        if self.kind == "array":
            return self._array(schema)
        if self.kind == "object":
            return self._object(schema)
        convert, text = self._scalar, self._text
        if self.parameter.style == "label":
            return lambda values, _: convert(text(values[0]).removeprefix("."))
        if self.parameter.style == "matrix":
            start = f";{self.name}="
            return lambda values, _: convert(text(values[0]).removeprefix(start))
        return lambda values, _: convert(text(values[0]))

    def _array(self, schema: Schema) -> Callable[[list[str], Any], Any]:
        items = next((p.items for p in parts(target_of(schema)) if p.items is not None), None)
        convert = self._item(items) if items is not None else same

        def array(values: list[str], _: Any) -> Any:
            return [convert(v) for v in self._split(values)]

        return array

    def _item(self, items: Schema) -> Callable[[str], Any]:
        """Arrays in arrays are Swagger 2.0's, joined by commas."""
        if kind_of_schema(items) != "array":
            return scalar(items)
        inner = next((p.items for p in parts(target_of(items)) if p.items is not None), None)
        convert = scalar(inner) if inner is not None else same
        return lambda text: [convert(t) for t in text.split(",")]

    def _split(self, values: list[str]) -> Iterable[str]:
        style, explode = self.parameter.style, self.parameter.explode
        if style in ("form", "spaceDelimited", "pipeDelimited") and explode:
            return [self._text(v) for v in values]
        text = values[0]
        if style == "label":
            separator = "." if explode else ","
            return self._text(text).removeprefix(".").split(separator)
        if style == "matrix":
            body = self._text(text).removeprefix(";")
            start = f"{self.name}="
            if explode:
                return [pair.removeprefix(start) for pair in body.split(";")]
            return body.removeprefix(start).split(",")
        if text == "":
            return []
        separator = SEPARATORS.get(style, ",")
        if self.encoded:
            if separator == " ":
                text = text.replace("%20", "+")
                separator = "+"
            elif separator in "|\t":
                code = "%7C" if separator == "|" else "%09"
                text = text.replace(code, separator).replace(code.lower(), separator)
        elif self.where == "header":
            return [self._text(v.strip()) for v in text.split(",")]
        return [self._text(v) for v in text.split(separator)]

    def _object(self, schema: Schema) -> Callable[[list[str], Any], Any]:
        known = properties_of(schema)
        converters = {name: self._member(s) for name, s in known.items()}
        extra = next(
            (
                p.additional_properties
                for p in parts(target_of(schema))
                if p.additional_properties is not None
            ),
            None,
        )
        other: Callable[[str], Any] = same
        if extra is not None and extra.always is None:
            other = scalar(extra)

        def build(pairs: Iterable[tuple[str, str]]) -> Any:
            return {name: converters.get(name, other)(text) for name, text in pairs}

        style, explode = self.parameter.style, self.parameter.explode
        if style == "deepObject":
            return lambda _, source: self._deep(source, known, converters, other)
        if style == "form" and explode:

            def spread(_: list[str], source: Any) -> Any:
                found = build((k, self._text(source[k][0])) for k in known if k in source)
                return found or MISSING

            return spread

        def joined(values: list[str], _: Any) -> Any:
            if not values:
                return MISSING
            return build(self._pairs(values[0], style, explode))

        return joined

    def _member(self, schema: Schema) -> Callable[[str], Any]:
        return scalar(schema)

    def _deep(
        self,
        source: Any,
        known: dict[str, Schema],
        converters: dict[str, Callable[[str], Any]],
        other: Callable[[str], Any],
    ) -> Any:
        found: dict[str, Any] = {}
        start = f"{self.name}["
        for key, values in source.items():
            if not key.startswith(start) or not key.endswith("]"):
                continue
            name = key[len(start) : -1]
            if name in known and kind_of_schema(known[name]) == "array":
                items = target_of(known[name]).items
                convert = scalar(items) if items is not None else same
                found[name] = [convert(self._text(v)) for v in values]
            else:
                found[name] = converters.get(name, other)(self._text(values[0]))
        return found or MISSING

    def _pairs(self, text: str, style: str, explode: bool) -> Iterable[tuple[str, str]]:
        if style == "label":
            text = text.removeprefix(".")
        elif style == "matrix":
            text = text.removeprefix(";")
            if not explode:
                text = text.removeprefix(f"{self.name}=")
        if explode:
            separator = {"label": ".", "matrix": ";"}.get(style, ",")
            for pair in text.split(separator):
                name, _, value = pair.partition("=")
                yield self._text(name), self._text(value)
            return
        if self.encoded and style in ("spaceDelimited", "pipeDelimited"):
            for code, plain in (("%20", " "), ("+", " "), ("%7C", "|"), ("%7c", "|")):
                text = text.replace(code, plain)
        words = text.split(SEPARATORS.get(style, ","))
        for index in range(0, len(words), 2):
            value = words[index + 1] if index + 1 < len(words) else ""
            yield self._text(words[index]), self._text(value)


class Arguments:
    """All parameters of an operation but its body: one call gives the keyword arguments."""

    def __init__(self, parameters: Iterable[Parameter], workshop: Workshop) -> None:
        self.readers = [Reader(p, workshop) for p in parameters if p.where != "form"]
        taken: set[str] = set()
        for reader in self.readers:
            if reader.argument in taken:
                reader.argument = f"{reader.where}_{reader.argument}"
            taken.add(reader.argument)
        self._by_where = {
            where: [r for r in self.readers if r.where == where] for where in ("path", "query")
        }
        self._outer = [r for r in self.readers if r.where in ("header", "cookie")]

    def read(self, call: Call, problems: Problems) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        by_where = self._by_where
        for reader in by_where["path"]:
            arguments[reader.argument] = reader.read(call.values, problems)
        if by_where["query"]:
            query = query_of(call.environ)
            for reader in by_where["query"]:
                arguments[reader.argument] = reader.read(query, problems)
        if self._outer:
            sources = {"header": call.environ, "cookie": None}
            for reader in self._outer:
                if reader.where == "cookie" and sources["cookie"] is None:
                    sources["cookie"] = cookies_of(call.environ)
                value = reader.read(sources[reader.where], problems)
                if reader.passed:
                    arguments[reader.argument] = value
        return arguments
