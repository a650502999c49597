"""Judges calls of boto3 by the whole of botocore's service model.

botocore itself checks unknown members, types, required members and minimum lengths. The same model
also declares maximum lengths, patterns and enums, and states some rules in prose only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_NAME_RULE = "letters, digits, hyphens; no hyphen at either end"
# Service and shape → pattern and what it says: rules that the model gives in its documentation.
IN_PROSE = {
    ("elasticbeanstalk", "EnvironmentName"): (_NAME, _NAME_RULE),
    ("elasticbeanstalk", "DNSCnamePrefix"): (_NAME, _NAME_RULE),
    ("elasticbeanstalk", "TagValue"): (r"[\w .:/=+@-]+", "letters, digits and _ . : / = + - @"),
    ("elasticbeanstalk", "TagKey"): (
        r"(?!aws:|elasticbeanstalk:)[\w .:/=+@-]+",
        "letters, digits and _ . : / = + - @, no reserved prefix",
    ),
}


@dataclass(frozen=True)
class Call:
    service: str
    operation: str
    parameters: dict[str, Any]


@dataclass
class Log:
    """Every call, and what is wrong with any."""

    calls: list[Call] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def attach(session: Any, log: Log) -> Log:
    """Every client made from this session from now on is watched."""

    def judge(params: dict[str, Any], model: Any, **_: Any) -> None:
        service = model.service_model.service_name
        log.calls.append(Call(service, model.name, params))
        if model.input_shape is not None:
            for problem in check(model.input_shape, params, "input", service):
                log.problems.append(f"{service}.{model.name}: {problem}")

    session.events.register("before-parameter-build.*.*", judge)
    return log


def check(shape: Any, value: Any, where: str, service: str) -> Iterator[str]:
    bounds = shape.metadata
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        for name, member in value.items():
            if name in shape.members:
                yield from check(shape.members[name], member, f"{where}.{name}", service)
    elif kind == "list" and isinstance(value, list | tuple):
        if len(value) > bounds.get("max", len(value)):
            yield f"{where}: {len(value)} items, at most {bounds['max']}"
        for number, member in enumerate(value):
            yield from check(shape.member, member, f"{where}[{number}]", service)
    elif kind == "map" and isinstance(value, dict):
        for key, member in value.items():
            yield from check(shape.key, key, f"{where} key", service)
            yield from check(shape.value, member, f"{where}.{key}", service)
    elif kind == "string" and isinstance(value, str):
        yield from _text(shape, value, where, service)
    elif kind in ("integer", "long", "float", "double") and value > bounds.get("max", value):
        yield f"{where}: {value} is over {bounds['max']}"


def _text(shape: Any, value: str, where: str, service: str) -> Iterator[str]:
    bounds = shape.metadata
    if len(value) > bounds.get("max", len(value)):
        yield f"{where}: {len(value)} characters, at most {bounds['max']} ({shape.name})"
    if shape.enum and value not in shape.enum:
        yield f"{where}: {value!r} is not one of {list(shape.enum)}"
    pattern = bounds.get("pattern")
    if pattern and not _matches(pattern, value):
        yield f"{where}: {value!r} does not match {pattern}"
    prose = IN_PROSE.get((service, shape.name))
    if prose and not re.fullmatch(prose[0], value):
        yield f"{where}: {value!r}: {prose[1]} ({shape.name})"


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True  # written for Java, and Python can't read it
