"""What a caller may do: everything, but for what a cluster was told to deny."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pymacaron_ci.simulator.kubernetes.objects import Json
from pymacaron_ci.simulator.kubernetes.resources import Resource
from pymacaron_ci.simulator.kubernetes.statuses import KubeError, forbidden


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """`resource` may be `pods/log`; a path outside of all resources is `path`."""

    verb: str
    resource: str = ""
    group: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


def allowed(denied: Sequence[str], attempt: Attempt) -> bool:
    """`denied`: `patch deployments.apps`, `* secrets`, `create services/proxy in shop`."""
    plural, _, subresource = attempt.resource.partition("/")
    what = f"{plural}.{attempt.group}" if attempt.group else plural
    if subresource:
        what += f"/{subresource}"
    for rule in denied:
        rights, _, namespace = rule.partition(" in ")
        verb, _, pattern = rights.partition(" ")
        if (
            fnmatchcase(attempt.verb, verb)
            and fnmatchcase(what or attempt.path, pattern)
            and namespace in ("", attempt.namespace)
        ):
            return False
    return True


def review(denied: Sequence[str], body: Json) -> Json:
    """A SelfSubjectAccessReview with its answer."""
    spec = body.get("spec") or {}
    wanted = spec.get("resourceAttributes") or {}
    other = spec.get("nonResourceAttributes") or {}
    resource = wanted.get("resource", "")
    if wanted.get("subresource"):
        resource += f"/{wanted['subresource']}"
    attempt = Attempt(
        verb=wanted.get("verb") or other.get("verb", ""),
        resource=resource,
        group=wanted.get("group", ""),
        namespace=wanted.get("namespace", ""),
        name=wanted.get("name", ""),
        path=other.get("path", ""),
    )
    yes = allowed(denied, attempt)
    return _reviewed(body, {"allowed": yes, **({} if yes else {"reason": _needed(attempt)})})


def rules(denied: Sequence[str], body: Json) -> Json:
    """A SelfSubjectRulesReview with its answer: everything by a binding of cluster-admin, or, where
    something is denied, nothing, as from an authorizer that knows no rules."""
    status: Json = {"resourceRules": [], "nonResourceRules": [], "incomplete": bool(denied)}
    if denied:
        status["evaluationError"] = "webhook authorizer does not support user rule resolution"
    else:
        every = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        status["resourceRules"] = [every]
        status["nonResourceRules"] = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
    return _reviewed(body, status)


def _reviewed(body: Json, status: Json) -> Json:
    kind = {name: body.get(name, "") for name in ("apiVersion", "kind")}
    return {**kind, "metadata": {}, "spec": body.get("spec") or {}, "status": status}


def _needed(attempt: Attempt) -> str:
    plural = attempt.resource.partition("/")[0]
    verb = {"patch": "update", "watch": "list", "deletecollection": "delete"}
    right = f"container.{plural}.{verb.get(attempt.verb, attempt.verb)}"
    return f'requires one of ["{right}"] permission(s).'


def refusal(resource: Resource, attempt: Attempt, caller: str) -> KubeError:
    where = f' in the namespace "{attempt.namespace}"' if attempt.namespace else ""
    scope = where or " at the cluster scope"
    return forbidden(
        resource,
        attempt.name,
        f'User "{caller}" cannot {attempt.verb} resource "{attempt.resource}" in API group '
        f'"{attempt.group}"{scope}: {_needed(attempt)}',
    )
