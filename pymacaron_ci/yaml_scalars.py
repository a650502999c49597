"""What YAML 1.1 makes of a scalar, as PyYAML's safe loader does, and what of that surprises."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass

import yaml

PREFIX = "tag:yaml.org,2002:"
LONGEST_NUMBER = 100

Scalar = str | int | float | bool | None | datetime.date | datetime.datetime


@dataclass(frozen=True)
class Conversion:
    """What YAML made, in silence, of an unquoted text."""

    raw: str
    read_as: str
    hint: str


def implicit_tag(raw: str) -> str:
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers
    for tag, expression in resolvers.get(raw[:1], []):
        if expression.match(raw):
            return str(tag).removeprefix(PREFIX)
    return "str"


def is_converted(text: str) -> bool:
    """Whether a text must stand in quotes, because YAML would take it for something else."""
    return implicit_tag(text) != "str"


def construct(tag: str, raw: str) -> Scalar:
    """Raises ValueError, which says what is wrong with it."""
    if tag not in {"int", "float", "bool", "null", "timestamp"}:
        return raw
    if len(raw) > LONGEST_NUMBER:
        raise ValueError("a number this long is surely a text")
    constructor = yaml.constructor.SafeConstructor()
    try:
        made: Scalar = getattr(constructor, f"construct_yaml_{tag}")(
            yaml.ScalarNode(PREFIX + tag, raw)
        )
    except (ValueError, OverflowError, KeyError, IndexError, AttributeError, TypeError) as error:
        what = {"timestamp": "date", "int": "number", "float": "number"}.get(tag, "value")
        raise ValueError(f"this looks like a {what} but is none") from error
    return made


_QUOTES = "write it in quotes if you mean the text"
_NUMBER_LIKE = re.compile(r"[-+]?(\d+(\.\d*)?[eE][-+]?\d+|0\d+|0o[0-7]+|\d[\d,]*,\d{3})")


def conversion(tag: str, raw: str, value: Scalar) -> Conversion | None:
    if tag == "bool" and raw.lower() not in {"true", "false"}:
        read = "true" if value else "false"
        return Conversion(raw, read, f"write {read}, or '{raw}' in quotes if you mean the text")
    if tag in {"int", "float"} and ":" in raw:
        return Conversion(raw, f"the number {value} (base 60)", _QUOTES)
    if tag == "int" and re.match(r"[-+]?0[0-9_]", raw):
        plain = raw.lstrip("+-0_").replace("_", "") or "0"
        return Conversion(
            raw, f"the octal number {value}", f"write {plain}, or '{raw}' in quotes for the text"
        )
    if tag == "timestamp":
        return Conversion(raw, "a date", _QUOTES)
    if tag == "float" and isinstance(value, float) and not math.isfinite(value):
        return Conversion(raw, "a number that JSON can't hold", _QUOTES)
    if tag == "str" and _NUMBER_LIKE.fullmatch(raw):
        return Conversion(raw, "a text, not a number", "write the number in full, or use quotes")
    return None
