"""Which keys are there: missing, misspelt, of another target, without a value."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pymacaron_ci.findings import Case, error, warning
from pymacaron_ci.model import Location, Problem
from pymacaron_ci.options import OPTIONS, TARGETS, Option, Target
from pymacaron_ci.options.declare import AWS
from pymacaron_ci.options.spelling import nearest
from pymacaron_ci.options.validation import such_as

# What people write for a setting whose name they don't remember, from the vendors' own terms.
SYNONYMS = {
    "app_name": "name",
    "service_name": "name",
    "target": "deploy_target",
    "url": "live_url",
    "host": "live_host",
    "memory": "gcp_memory",
    "region": "gcp_region",
    "project": "gcp_project",
    "gcp_project_id": "gcp_project",
    "concurrency": "gcp_request_concurrency",
    "gcp_concurrency": "gcp_request_concurrency",
    "instance_type": "aws_instance_type",
    "keypair": "aws_keypair",
    "aws_key_pair": "aws_keypair",
    "aws_certificate_arn": "aws_cert_arn",
    "gke_region": "gcp_region",
    "gke_project": "docker_repo",
}


def find(case: Case) -> Iterator[Problem]:
    misspelt = _misspelt(case)
    yield from _missing(case, misspelt)
    for key, meant in misspelt.items():
        if _is_missing(OPTIONS[meant], case):
            continue  # told already, at this place
        if case.target and not OPTIONS[meant].used_by(case.target):
            hint = f"did you mean {meant}? it is a setting of {_names(OPTIONS[meant])} only"
        else:
            hint = f"did you mean {meant}?"
        yield warning(
            f"{key} is no known setting, and counts as your own key", hint, case.at_key(key)
        )
    yield from _without_value(case)
    yield from _of_another_target(case)


def _misspelt(case: Case) -> dict[str, str]:
    """Own keys that look like a setting; like one that the file lacks rather than one it has."""
    data = case.document.data
    absent = [n for n in OPTIONS if n not in data]
    present = [n for n in OPTIONS if n in data]
    found = {}
    for key in data:
        if key not in OPTIONS:
            meant = nearest(key, absent) or nearest(
                key, [n for n in present if not _varies(key, n)]
            )
            other = SYNONYMS.get(key.lower().replace("-", "_"))
            if not meant and other in absent and _is_missing(OPTIONS[other], case):
                meant = other
            if meant:
                found[key] = meant
    return found


def _varies(key: str, name: str) -> bool:
    """`live_urls` or `live_url_2` beside `live_url`: somebody's own, made after ours."""
    return key.startswith(name) and re.fullmatch("s|_?[0-9]+", key[len(name) :]) is not None


def _missing(case: Case, misspelt: dict[str, str]) -> Iterator[Problem]:
    data = case.document.data
    if _is_missing(OPTIONS["deploy_target"], case):
        near = _slip("deploy_target", misspelt, case)
        place = _place("deploy_target", misspelt, case)
        if case.target != AWS:
            yield error("deploy_target is missing", near, place)
        else:
            otherwise = f"add `deploy_target: {AWS}`, or one of {', '.join(TARGETS[1:])}"
            yield warning(f"no deploy_target: {AWS} is assumed", near or otherwise, place)
    if _is_missing(OPTIONS["live_url"], case):
        yield error(
            "live_url is missing: every service needs it, or live_host",
            _slip("live_url", misspelt, case) or _add("live_url"),
            _place("live_url", misspelt, case),
        )
    for name, option in OPTIONS.items():
        if name in {"deploy_target", "live_url"} or not _is_missing(option, case):
            continue
        who = "every service" if option.mandatory else case.target
        hint = _slip(name, misspelt, case) or _add(name)
        place = case.at_key(name) if name in data else _place(name, misspelt, case)
        if option.facts.assumed:
            yield warning(f"no {name}, which {who} needs: {option.default} is used", hint, place)
        else:
            yield error(f"{name} is missing: {who} needs it", hint, place)


def _add(name: str) -> str:
    return f"add it, {such_as(name)}: {OPTIONS[name].facts.help}"


def _is_missing(option: Option, case: Case) -> bool:
    data = case.document.data
    if option.name == "live_url":
        return data.get("live_url") is None and data.get("live_host") is None
    # A mandatory key without a value is reported where its rule forbids that.
    if option.mandatory:
        return option.name not in data
    needed = option.name == "deploy_target" or _needed(option, case.target)
    return needed and data.get(option.name) is None


def _slip(name: str, misspelt: dict[str, str], case: Case) -> str | None:
    for key, meant in misspelt.items():
        if meant == name:
            return f"line {case.at_key(key).line} has {key}: did you mean {name}?"
    return None


def _place(name: str, misspelt: dict[str, str], case: Case) -> Location:
    return next((case.at_key(k) for k, m in misspelt.items() if m == name), case.at_target())


def _without_value(case: Case) -> Iterator[Problem]:
    for name, value in case.document.data.items():
        option = OPTIONS.get(name)
        if value is None and option and not (option.mandatory or _is_missing(option, case)):
            default = "" if option.default in (None, "", ()) else f" and is {option.default}"
            yield warning(
                f"{name} has no value: it counts as not given{default}",
                "remove the line, or give it a value",
                case.at_key(name),
            )


def _needed(option: Option, target: Target | None) -> bool:
    return target is not None and target in option.facts.required


def _of_another_target(case: Case) -> Iterator[Problem]:
    for name in case.document.data:
        option = OPTIONS.get(name)
        if option and case.target and not option.used_by(case.target):
            yield warning(
                f"{name} does nothing here: it is a setting of {_names(option)}, "
                f"and deploy_target is {case.target}",
                "remove it, or change deploy_target",
                case.at_key(name),
            )


def _names(option: Option) -> str:
    return " and ".join(option.facts.targets)
