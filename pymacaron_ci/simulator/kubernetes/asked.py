"""What a request asks for besides its path: its body, and what its query and headers say."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from pymacaron_ci.simulator.kubernetes import protobuf
from pymacaron_ci.simulator.kubernetes.objects import Json
from pymacaron_ci.simulator.kubernetes.schema import Node, misfits
from pymacaron_ci.simulator.kubernetes.statuses import KubeError, bad_request, wrong_type
from pymacaron_ci.simulator.kubernetes.strict import STRICT, WARN
from pymacaron_ci.simulator.kubernetes.writing import Options
from pymacaron_ci.simulator.web import Request

DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
BODIES = ("application/json", "application/yaml")


def body_of(request: Request, *, any_type: bool = False) -> Any:
    """What a request sends: JSON, or YAML where it says so. Raises 400, 415."""
    kind = request.headers.get("Content-Type", "application/json").partition(";")[0].strip()
    data = request.body.read()
    if not any_type and kind not in (*BODIES, protobuf.TYPE, ""):
        raise wrong_type(BODIES)
    if data.startswith(protobuf.MAGIC):
        return protobuf.decoded(data)
    if not data.strip():
        return None
    try:
        return yaml.safe_load(data) if "yaml" in kind and data[:1] != b"{" else json.loads(data)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise bad_request(f"the body of the request can't be read: {error}") from error


def options_of(request: Request) -> Options:
    query = request.query
    agent = request.headers.get("User-Agent", "").partition("/")[0].partition(" ")[0]
    validation = query.get("fieldValidation") or WARN
    if validation not in (STRICT, WARN, "Ignore"):
        raise KubeError(
            422,
            "Invalid",
            f'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: '
            f'"{validation}": supported values: "", "Ignore", "Strict", "Warn"',
        )
    return Options(
        manager=query.get("fieldManager") or agent or "unknown",
        dry_run=query.get("dryRun") == "All",
        validation=validation,
        force=query.get("force", "") == "true",
    )


def deletion_of(request: Request) -> Json:
    """DeleteOptions, from the body or the query. Raises 400."""
    options = body_of(request, any_type=True) or {}
    if not isinstance(options, dict):
        raise bad_request("DeleteOptions must be an object")
    for name in ("propagationPolicy", "dryRun"):
        if name in request.query:
            options[name] = request.query[name]
    if "gracePeriodSeconds" in request.query:
        options["gracePeriodSeconds"] = number(request.query, "gracePeriodSeconds")
    misfit = next(misfits(options, Node.named(DELETE_OPTIONS)), None)
    if misfit is not None:
        raise bad_request(f"DeleteOptions: {misfit.path} is not as it should be")
    return options


def must_name_manager(manager: str) -> None:
    """Server-side apply needs one. Raises 422."""
    if not manager:
        text = "fieldManager: Required value: is required for apply patch"
        raise KubeError(
            422, "Invalid", f'PatchOptions.meta.k8s.io "" is invalid: {text}', details={}
        )


def wants_table(request: Request) -> bool:
    return "as=Table" in request.headers.get("Accept", "").partition(",")[0]


def number(query: Mapping[str, str], name: str) -> int:
    """Raises 400."""
    text = query.get(name, "")
    if text and not re.fullmatch(r"\d+", text):
        raise bad_request(f"invalid {name} {text!r}")
    return int(text or 0)


def start_of(token: str) -> list[str] | None:
    """The key after which the next page of a list begins. Raises 400."""
    if not token:
        return None
    try:
        found: list[str] = json.loads(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    return found
