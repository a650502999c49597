"""Values of known settings against their rules: Cerberus judges, this module says it in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import cerberus
from cerberus import errors as codes

from pymacaron_ci.document import Where
from pymacaron_ci.options import OPTIONS, Complaint, Option
from pymacaron_ci.options.spelling import nearest

_KINDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
    "dict": "a mapping",
}


class _Validator(cerberus.Validator):  # type: ignore[misc]
    """Cerberus's own regex rule lets a line break pass at the end."""

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
    validator.validate(judged)
    bad = set()
    for error in _leaves(validator._errors):
        name = error.document_path[0]
        bad.add(name)
        yield tuple(error.document_path), _in_words(OPTIONS[name], error)
    for name, value in judged.items():
        check = OPTIONS[name].facts.check
        if check and name not in bad and value is not None:
            complaint = check(str(value) if OPTIONS[name].is_text else value)
            if complaint:
                text = f"{name}: {complaint.text}"
                yield (
                    (name,),
                    Complaint(text=text, hint=complaint.hint, severity=complaint.severity),
                )


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
        return Complaint(text=f"{name} must be {_KINDS[wanted]}, not {kind(value)}", hint=hint)
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


def kind(value: object) -> str:
    """What a value is, without showing it."""
    if isinstance(value, bool):
        return "true or false"
    if value is None:
        return "nothing"
    for types, word in (
        ((str,), "a text"),
        ((int, float), "a number"),
        ((list, tuple), "a list"),
        ((Mapping,), "a mapping"),
    ):
        if isinstance(value, types):
            return word
    return "a date"


def _shown(option: Option, value: object) -> str:
    if option.facts.sensitive:
        return "that"
    text = str(value)
    return f"`{text[:60]}{'…' if len(text) > 60 else ''}`".replace("\n", "⏎")


def such_as(name: str) -> str:
    example = OPTIONS[name].facts.example
    if isinstance(example, Mapping):
        example = "{" + ", ".join(f"{k}: {v}" for k, v in example.items()) + "}"
    elif isinstance(example, list):
        example = f"[{', '.join(map(str, example))}]"
    elif isinstance(example, bool):
        example = str(example).lower()
    return f"for example `{name}: {example}`"


def _is_placeholder(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"<[A-Za-z0-9_ -]+>", value) is not None
