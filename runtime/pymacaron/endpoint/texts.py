"""What a request says in texts: decoded, and turned into the values they stand for."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from pymacaron.model.build import is_model, parts, target_of
from pymacaron.openapi import Schema

NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
MAX_DIGITS = 1000


class Undecodable(ValueError):
    """Percent-encoded bytes that are no UTF-8."""


def decode(text: str) -> str:
    """A query component as text. Raises Undecodable."""
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text if text.isascii() else latin(text)
    try:
        return unquote_to_bytes(text.encode("latin-1", "replace")).decode()
    except UnicodeDecodeError as error:
        raise Undecodable from error


def latin(text: str) -> str:
    """WSGI hands on bytes as Latin-1."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError as error:
        raise Undecodable from error


def query_of(environ: dict[str, Any]) -> dict[str, list[str]]:
    """The query's names with their values as they were sent, still encoded."""
    text = environ.get("QUERY_STRING", "")
    found: dict[str, list[str]] = {}
    if not text:
        return found
    for pair in text.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        try:
            key = decode(name)
        except Undecodable:
            continue
        found.setdefault(key, []).append(value)
    return found


def cookies_of(environ: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pair in environ.get("HTTP_COOKIE", "").split(";"):
        name, equals, value = pair.strip().partition("=")
        if equals:
            found.setdefault(name, []).append(value.strip('"'))
    return found


def scalar_types(schema: Schema) -> set[str]:
    """The JSON types that a schema may take, as far as it says; empty: it does not say."""
    types: set[str] = set()
    for part in parts(target_of(schema)):
        if part.types:
            types |= part.types
        for branch in (*part.one_of, *part.any_of):
            types |= scalar_types(branch)
        if part.enum and not part.types:
            types |= {_type_of(v) for v in part.enum}
        if part.nullable:
            types.add("null")
    return types


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return {int: "integer", float: "number", str: "string"}.get(type(value), "null")


def scalar(schema: Schema) -> Callable[[str], Any]:
    """Text → the value it stands for, by the types a schema takes; the text itself where it stands
    for none."""
    types = scalar_types(schema)
    number = bool(types & {"integer", "number"})
    boolean = "boolean" in types
    null = "null" in types and "string" not in types

    def convert(text: str) -> Any:
        if number and len(text) < MAX_DIGITS:
            found = NUMBER.fullmatch(text)
            if found is not None:
                return int(text) if found.lastindex is None else float(text)
        if boolean and text in ("true", "false"):
            return text == "true"
        if null and text in ("", "null"):
            return None
        return text

    return convert if number or boolean or null else same


def same(text: str) -> str:
    return text


def kind_of_schema(schema: Schema) -> str:
    types = scalar_types(schema) - {"null"}
    if types == {"array"}:
        return "array"
    end = target_of(schema)
    if types == {"object"} or (is_model(end) and not types - {"object"}):
        return "object"
    return "scalar"


def properties_of(schema: Schema) -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for part in parts(target_of(schema)):
        found |= part.properties
    return found
