"""Request bodies: the right media type, then JSON, a form or text → the handler's first argument
(or, for the form fields of Swagger 2.0, keyword arguments)."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from pymacaron.endpoint.call import Call, Problems, decompressed
from pymacaron.endpoint.names import argument_name
from pymacaron.endpoint.texts import kind_of_schema, properties_of, scalar
from pymacaron.model.base import PymacaronBaseModel
from pymacaron.model.build import parts, target_of
from pymacaron.model.codec import Codec, Invalid, Malformed, Workshop, parse
from pymacaron.openapi import ABSENT, Body, Media, Parameter, Schema

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
MAX_FIELDS = 1000
Fields = dict[str, list[Any]]


def is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


def matches(pattern: str, media_type: str) -> bool:
    """Whether a media type is one that a range such as `image/*` covers."""
    if pattern in (media_type, "*/*", "*"):
        return True
    kind, _, sub = pattern.partition("/")
    return sub == "*" and media_type.startswith(f"{kind}/")


class BodyReader:
    """Reads the body of one operation."""

    def __init__(self, body: Body, workshop: Workshop, hint: str, limit: int) -> None:
        self.body = body
        self.limit = limit
        self.media: list[tuple[str, Media, Codec | None]] = [
            (m.type, m, workshop.codec(m.schema, hint) if m.schema is not None else None)
            for m in body.media
        ]
        # The most exact media type wins: a/b before a/* before */*.
        self.media.sort(key=lambda entry: entry[0].count("*"))
        self._forms: dict[int, FormReader] = {
            id(m): FormReader(m) for _, m, _ in self.media if m.type in (URLENCODED, MULTIPART)
        }
        self.empty = self._empty(workshop)
        self._chosen = lru_cache(maxsize=64)(self._by_header)

    def prepare(self) -> None:
        for _, _, codec in self.media:
            if codec is not None:
                codec.prepare()

    def _empty(self, workshop: Workshop) -> Callable[[], Any]:
        """An absent body: an empty model, as in 2.x, where the file is Swagger 2.0; else None."""
        media = self.media[0][1] if self.media else None
        if media is None or media.schema is None:
            return lambda: None
        swagger = media.schema.place.document.data.get("swagger") is not None
        if not swagger:
            return lambda: None
        schema = target_of(media.schema)
        model = workshop.models.class_of(schema)
        return model if model is not None else lambda: None

    def read(self, call: Call, problems: Problems) -> Any:
        raw = call.body()
        encoding = call.environ.get("HTTP_CONTENT_ENCODING")
        if encoding and raw:
            raw = decompressed(raw, encoding, self.limit)
        header = call.environ.get("CONTENT_TYPE", "")
        if not raw and not header:
            return self._absent(problems)
        media_type, media, codec = self._choose(header, raw)
        if media_type in (URLENCODED, MULTIPART):
            return self._form(media, codec, header, media_type, raw, problems)
        if not raw and not (codec is not None and not is_json(media_type)):
            return self._absent(problems)
        if is_json(media_type):
            return self._json(codec, raw, problems)
        return self._other(media_type, codec, header, raw, problems)

    def _absent(self, problems: Problems) -> Any:
        if self.body.required:
            problems.found.append("body: is required")
            return None
        return self.empty()

    def _choose(self, header: str, raw: bytes) -> tuple[str, Media, Codec | None]:
        if not self.body.declared and _looks_like_json(_type_of(header), raw):
            header = ""
        return self._chosen(header)

    def _by_header(self, header: str) -> tuple[str, Media, Codec | None]:
        media_type = _type_of(header)
        if not media_type:
            media_type = next((t for t, _, _ in self.media if is_json(t)), self.media[0][0])
        for pattern, media, codec in self.media:
            if matches(pattern, media_type):
                return media_type, media, codec
        if not self.body.declared and is_json(media_type):
            return "application/json", self.media[0][1], self.media[0][2]
        wanted = " or ".join(t for t, _, _ in self.media)
        raise UnsupportedMediaType(f"the body must be {wanted}, not {media_type}")

    def _json(self, codec: Codec | None, raw: bytes, problems: Problems) -> Any:
        try:
            return parse(raw) if codec is None else codec.read(raw)
        except Malformed as error:
            problems.found.append(f"body: is not valid JSON: {error}")
        except Invalid as error:
            problems.add("body", error.faults)
        return None

    def _form(
        self,
        media: Media,
        codec: Codec | None,
        header: str,
        media_type: str,
        raw: bytes,
        problems: Problems,
    ) -> Any:
        fields = parse_form(raw, header, media_type)
        reader = self._forms.get(id(media)) or FormReader(media)
        try:
            data = reader.data(fields)
        except Malformed as error:
            problems.found.append(f"body: {error}")
            return None
        if codec is None:
            return data
        # Files are judged as the texts that the schema calls them, and handed on as bytes.
        files = {name: value for name, value in data.items() if _holds_bytes(value)}
        for name, value in files.items():
            data[name] = _as_text(value)
        try:
            result = codec.read_data(data)
        except Invalid as error:
            problems.add("body", error.faults)
            return None
        _give_back(result, files)
        return result

    def _other(
        self, media_type: str, codec: Codec | None, header: str, raw: bytes, problems: Problems
    ) -> Any:
        if not media_type.startswith("text/"):
            return raw
        charset = parse_options_header(header)[1].get("charset", "utf-8")
        try:
            text = raw.decode(charset)
        except (UnicodeDecodeError, LookupError):
            problems.found.append(f"body: is not valid {charset} text")
            return None
        if codec is None:
            return text
        try:
            return codec.read_data(text)
        except Invalid as error:
            problems.add("body", error.faults)
            return None


def _type_of(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def _holds_bytes(value: Any) -> bool:
    return any(map(_holds_bytes, value)) if isinstance(value, list) else isinstance(value, bytes)


def _as_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_text(v) for v in value]
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _give_back(result: Any, files: dict[str, Any]) -> None:
    """Puts the files' bytes where their texts were."""
    if isinstance(result, dict):
        result.update(files)
    elif isinstance(result, PymacaronBaseModel):
        properties = type(result).pymacaron_info.properties
        for name, value in files.items():
            if name in properties:
                result.__dict__[properties[name].field] = value


def _looks_like_json(media_type: str, raw: bytes) -> bool:
    """curl -d sends JSON as a form; 2.x took whatever was no form for JSON."""
    if media_type == MULTIPART:
        return False
    return media_type != URLENCODED or raw.lstrip()[:1] in (b"{", b"[")


def parse_form(raw: bytes, header: str, media_type: str) -> Fields:
    """The fields of a form, files as bytes. Raises BadRequest, RequestEntityTooLarge."""
    options = parse_options_header(header)[1]
    if media_type == MULTIPART and not options.get("boundary"):
        raise BadRequest("the multipart body has no boundary")
    parser = FormDataParser(max_form_memory_size=None, max_form_parts=MAX_FIELDS, silent=False)
    try:
        _, form, files = parser.parse(io.BytesIO(raw), media_type, len(raw), options)
    except RequestEntityTooLarge:
        raise
    except (ValueError, UnicodeError) as error:
        raise BadRequest(f"the form can't be read: {error}") from error
    fields: Fields = {name: list(values) for name, values in form.lists()}
    for name, uploads in files.lists():
        fields.setdefault(name, []).extend(upload.read() for upload in uploads)
    return fields


class FormReader:
    """A form's fields → the JSON object that its schema describes."""

    def __init__(self, media: Media) -> None:
        self.media = media
        self.known: dict[str, Callable[[list[Any]], Any]] = {}
        self.default: Callable[[list[Any]], Any] = lambda values: _text(values[0])
        if media.schema is not None:
            for name, schema in properties_of(media.schema).items():
                self.known[name] = self._field(name, schema)

    def data(self, fields: Fields) -> dict[str, Any]:
        return {name: self.known.get(name, self.default)(values) for name, values in fields.items()}

    def _field(self, name: str, schema: Schema) -> Callable[[list[Any]], Any]:
        kind = kind_of_schema(schema)
        encoding = self.media.encoding.get(name)
        if encoding is not None and encoding.content_type and "json" in encoding.content_type:
            return lambda values: parse(_bytes(values[0]))
        if kind == "array":
            items = next((p.items for p in parts(target_of(schema)) if p.items is not None), None)
            each = self._item(items)
            if encoding is not None and not encoding.explode:
                return lambda values: [each(v) for v in _text(values[0]).split(",")]
            return lambda values: [each(v) for v in values]
        if kind == "object":
            return lambda values: _json_or_text(values[0])
        one = self._item(schema)
        return lambda values: one(values[0])

    def _item(self, schema: Schema | None) -> Callable[[Any], Any]:
        if schema is None:
            return _text
        end = target_of(schema)
        if end.format == "binary":
            return _bytes
        if kind_of_schema(end) != "scalar":
            return _json_or_text
        convert = scalar(end)
        return lambda value: convert(_text(value))


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")
    return str(value)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _json_or_text(value: Any) -> Any:
    try:
        return parse(_bytes(value))
    except Malformed:
        return _text(value)


class FormArguments:
    """Swagger 2.0's formData parameters: each a keyword argument, files as bytes."""

    def __init__(
        self, body: Body, parameters: list[Parameter], workshop: Workshop, limit: int
    ) -> None:
        self.types = [m.type for m in body.media]
        self.limit = limit
        self.parameters = [
            (p, argument_name(p.name, "form"), workshop.codec(p.schema), self._convert(p))
            for p in parameters
        ]

    @staticmethod
    def _convert(parameter: Parameter) -> Callable[[list[Any]], Any]:
        if parameter.is_file:
            return lambda values: _bytes(values[0])
        if kind_of_schema(parameter.schema) == "array":
            items = target_of(parameter.schema).items
            each = scalar(items) if items is not None else _text
            if parameter.explode:
                return lambda values: [each(_text(v)) for v in values]
            separator = {"spaceDelimited": " ", "pipeDelimited": "|", "tabs": "\t"}.get(
                parameter.style, ","
            )
            return lambda values: [each(v) for v in _text(values[0]).split(separator)]
        one = scalar(parameter.schema)
        return lambda values: one(_text(values[0]))

    def prepare(self) -> None:
        for parameter, _, codec, _ in self.parameters:
            if not parameter.is_file:
                codec.prepare()

    def read(self, call: Call, problems: Problems) -> Mapping[str, Any]:
        raw = call.body()
        encoding = call.environ.get("HTTP_CONTENT_ENCODING")
        if encoding and raw:
            raw = decompressed(raw, encoding, self.limit)
        header = call.environ.get("CONTENT_TYPE", "")
        media_type = _type_of(header)
        fields: Fields = {}
        if media_type in (URLENCODED, MULTIPART) and media_type in self.types:
            fields = parse_form(raw, header, media_type)
        elif raw or media_type:
            wanted = " or ".join(self.types)
            raise UnsupportedMediaType(
                f"the body must be {wanted}, not {media_type or 'of an unnamed type'}"
            )
        arguments = {}
        for parameter, argument, codec, convert in self.parameters:
            arguments[argument] = self._one(
                parameter, codec, convert, fields.get(parameter.name), problems
            )
        return arguments

    @staticmethod
    def _one(
        parameter: Parameter,
        codec: Codec,
        convert: Callable[[list[Any]], Any],
        values: list[Any] | None,
        problems: Problems,
    ) -> Any:
        if not values:
            if parameter.required:
                problems.found.append(f"form /{parameter.name}: is required")
            default = parameter.schema.default
            return None if default is ABSENT else default
        value = convert(values)
        if parameter.is_file:
            return value
        try:
            return codec.read_data(value)
        except Invalid as error:
            for fault in error.faults:
                problems.found.append(f"form /{parameter.name}{fault.pointer}: {fault.text}")
            return None
