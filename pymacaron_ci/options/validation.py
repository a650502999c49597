"""Values of known settings against their rules: Cerberus judges, this module says it in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import cerberus
from cerberus import errors as codes

from pymacaron_ci.document import Where
from pymacaron_ci.options import OPTIONS, Complaint, Option
from pymacaron_ci.options.spelling import nearest
from pymacaron_ci.quoting import quoted
from pymacaron_ci.yaml_scalars import implicit_tag, is_converted

_KINDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
    "dict": "a mapping",
}

_PLAIN = {"boolean": ("bool",), "integer": ("int",), "number": ("int", "float")}


class _Validator(cerberus.Validator):  # type: ignore[misc]
    """Cerberus takes true for a whole number, and lets a line break pass at a regex's end."""

    types_mapping: ClassVar[dict[str, cerberus.TypeDefinition]] = {
        **cerberus.Validator.types_mapping,
        "integer": cerberus.TypeDefinition("integer", (int,), (bool,)),
    }

    def _validate_regex(self, pattern: str, field: Any, value: object) -> None:
        """{'type': 'string'}"""
        if isinstance(value, str) and not re.fullmatch(pattern, value):
            self._error(field, codes.REGEX_MISMATCH)


def cerberus_schema(names: Mapping[str, object] | None = None) -> dict[str, dict[str, Any]]:
    """Cerberus's schema of all settings, or of those named (building it costs time for each)."""
    return {n: o.rule() for n, o in OPTIONS.items() if names is None or n in names}


def complaints(known: Mapping[str, object]) -> Iterator[tuple[Where, Complaint]]:
    """All that is wrong with values of known settings, each with the path of its value."""
    plain = {name: whole(OPTIONS[name], value) for name, value in known.items()}
    placeholders = {n for n, v in plain.items() if _is_placeholder(v)}
    for name in sorted(placeholders):
        yield (
            (name,),
            Complaint(
                text=f"{name} is still the placeholder of the documentation", hint=such_as(name)
            ),
        )
    judged = {n: v for n, v in plain.items() if n not in placeholders}
    validator = _Validator(cerberus_schema(judged), allow_unknown=False)
    validator.validate(judged, normalize=False)  # no rule changes a value
    bad = set()
    for error in _leaves(validator._errors):
        name = error.document_path[0]
        bad.add(name)
        empty = error.value == "" and len(error.document_path) == 1
        if error.rule == "regex" and empty and OPTIONS[name].rule().get("minlength"):
            continue  # said already: it is empty
        closer = _checked(OPTIONS[name], error.value) if error.rule == "type" else None
        yield tuple(error.document_path), closer or _in_words(OPTIONS[name], error)
    for name, value in judged.items():
        complaint = None if name in bad else _checked(OPTIONS[name], value)
        if complaint:
            yield (name,), complaint


def _checked(option: Option, value: object) -> Complaint | None:
    """What the setting's own check says; a number is looked at as the text it was written as."""
    check = option.facts.check
    if not check or value is None or isinstance(value, bool):
        return None
    if option.is_text:
        if not isinstance(value, (str, int, float)):
            return None
        value = str(value)
    elif not isinstance(value, list) or any(type(v) is not int for v in value):
        return None
    found = check(value)
    if not found:
        return None
    return Complaint(text=f"{option.name}: {found.text}", hint=found.hint, severity=found.severity)


def whole(option: Option, value: object) -> object:
    """80.0 is a whole number to JSON Schema, and so to us."""
    if "integer" in option.rule()["type"] and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _leaves(found: list[Any]) -> Iterator[Any]:
    for error in found:
        if error.is_group_error:
            yield from _leaves(error.child_errors)
        else:
            yield error


def _in_words(option: Option, error: Any) -> Complaint:
    path = error.document_path
    name = ".".join(
        [str(path[0])] + [str(p + 1) if isinstance(p, int) else str(p) for p in path[1:]]
    )
    rule, limit, value = error.rule, error.constraint, error.value
    hint: str | None = such_as(option.name)
    if option.facts.form:
        hint = f"{option.facts.form}; {hint}"
    if rule == "nullable":
        return Complaint(text=f"{name} has no value", hint=hint)
    if rule == "type":
        wanted = limit if isinstance(limit, str) else limit[0]
        if option.is_text and not isinstance(value, (list, Mapping)):
            hint = f"write it in quotes; {hint}"
        elif isinstance(value, str) and implicit_tag(value.lower()) in _PLAIN.get(wanted, ()):
            hint = f"write it without quotes; {hint}"
        return Complaint(
            text=f"{name} must be {_KINDS[wanted]}, not {_kind(option, value)}", hint=hint
        )
    if rule == "allowed":
        choices = [str(c) for c in limit]
        near = nearest(str(value), choices)
        return Complaint(
            text=f"{name} can't be {_shown(option, value)}",
            hint=f"did you mean {near}?" if near else f"write one of {', '.join(choices)}",
        )
    if rule == "regex":
        return Complaint(text=f"{name} can't be {_shown(option, value)}", hint=hint)
    if rule == "min":
        return Complaint(text=f"{name} must be at least {limit}, not {value}", hint=None)
    if rule == "max":
        return Complaint(text=f"{name} must be at most {limit}, not {value}", hint=None)
    if rule in {"minlength", "maxlength"}:
        unit = "characters" if isinstance(value, str) else "entries"
        if not value:
            return Complaint(text=f"{name} is empty", hint=hint)
        bound = "less" if rule == "minlength" else "more"
        return Complaint(text=f"{name} has {bound} than {limit} {unit}", hint=hint)
    return Complaint(text=f"{name} is not right ({rule})", hint=hint)


def _kind(option: Option, value: object) -> str:
    """What a value is; shown where it tells more and is no secret."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "nothing"
    for types, word in (
        ((str,), "a text"),
        ((int, float), "a number" if _discreet(option) else f"the number {value}"),
        ((list, tuple), "a list"),
        ((Mapping,), "a mapping"),
    ):
        if isinstance(value, types):
            return word
    return "a date"


def _discreet(option: Option) -> bool:
    """Whether a wrong value may be a secret: people write them into env_secrets, too."""
    return option.facts.sensitive or option.name == "env_secrets"


def _shown(option: Option, value: object) -> str:
    if _discreet(option):
        return "that"
    return quoted(value)


def such_as(name: str) -> str:
    return f"for example `{name}: {written(OPTIONS[name].facts.example)}`"


def written(value: object) -> str:
    """A value as one writes it in YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(written, value))}]"
    return f'"{value}"' if isinstance(value, str) and is_converted(value) else str(value)


def _is_placeholder(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"<[A-Za-z0-9_ -]+>", value) is not None
