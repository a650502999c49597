"""Label and field selectors, as requests and objects write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pymacaron_ci.simulator.kubernetes.objects import Json, at, labels_of
from pymacaron_ci.simulator.kubernetes.statuses import bad_request

Matches = Callable[[Json], bool]
_SET = re.compile(r"\s*(\S+)\s+(in|notin)\s*\(([^)]*)\)\s*")
_EQUAL = re.compile(r"\s*([^\s!=]+)\s*(==|!=|=)\s*([^\s]*)\s*")
_EXISTS = re.compile(r"\s*(!?)\s*([^\s!=,()]+)\s*")


def by_labels(text: str) -> Matches:
    """`app=x,tier!=y,env in (a,b),!gone`. Raises 400."""
    tests = [_label_test(part) for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    return lambda thing: all(test(labels_of(thing)) for test in tests)


def _label_test(part: str) -> Callable[[Mapping[str, str]], bool]:
    if match := _SET.fullmatch(part):
        key, verb = match[1], match[2]
        values = {value.strip() for value in match[3].split(",")}
        if verb == "in":
            return lambda found: found.get(key) in values
        return lambda found: found.get(key) not in values
    if match := _EQUAL.fullmatch(part):
        key, verb, value = match[1], match[2], match[3]
        if verb == "!=":
            return lambda found: found.get(key) != value
        return lambda found: found.get(key) == value
    if match := _EXISTS.fullmatch(part):
        absent, key = bool(match[1]), match[2]
        return lambda found: (key in found) != absent
    raise bad_request(f"unable to parse requirement: found '{part}'")


def by_fields(text: str) -> Matches:
    """`metadata.name=x,status.phase!=Running`. Raises 400."""
    tests: list[Matches] = []
    for part in filter(None, text.split(",")):
        match = _EQUAL.fullmatch(part)
        if match is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        path, equal, value = match[1].split("."), match[2] != "!=", match[3]
        tests.append(
            lambda thing, path=path, equal=equal, value=value: (  # type: ignore[misc]
                (str(at(thing, *path, default="")) == value) == equal
            )
        )
    return lambda thing: all(test(thing) for test in tests)


def selects(selector: Mapping[str, Any] | None, thing: Json) -> bool:
    """A LabelSelector of an object; none selects nothing, an empty one everything."""
    if selector is None:
        return False
    found = labels_of(thing)
    if any(found.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for rule in selector.get("matchExpressions") or ():
        value, values = found.get(rule["key"]), rule.get("values") or ()
        holds = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[rule["operator"]]
        if not holds:
            return False
    return True
