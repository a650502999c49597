"""What the deployer must be allowed in a namespace, and what of it is missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pymacaron_ci.targets.gke.refusals import Refused
from pymacaron_ci.targets.gke.resources import RESOURCES
from pymacaron_ci.targets.gke.site import Site
from pymacaron_ci.targets.gke.workload import Manifest
from pymacaron_ci.targets.preflight import Check, Finding, bad

AUTHORIZATION = "authorization.k8s.io/v1"
WRITE = ("create", "patch", "delete")  # whether we may get them, a look has told
ALL = "*"


@dataclass(frozen=True)
class Right:
    """What a verb is allowed on; `resource` may be `pods/log`."""

    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


# besides the objects themselves
READ = (
    Right("list", "apps", "replicasets"),
    Right("list", "", "pods"),
    Right("list", "", "events"),
    Right("list", "", "secrets"),
    Right("get", "", "pods/log"),
    Right("get", "", "services/proxy"),
    Right("create", "", "services/proxy"),
)


@dataclass(frozen=True)
class Denied(Finding):
    """A right that the deployer lacks; all of them become one problem."""

    right: Right | None = None
    namespace: str = ""


def checks(site: Site, manifests: Sequence[Manifest], verbs: Sequence[str]) -> Iterator[Check]:
    """One for each right that the namespace's rules don't show: Google's IAM, for one, is asked
    right by right."""
    rules = _rules(site)
    for right in needed(manifests, verbs):
        if not granted(rules, right):
            yield f"permissions in {site.namespace}", partial(_may, site, right)


def needed(manifests: Sequence[Manifest], verbs: Sequence[str]) -> list[Right]:
    found: list[Right] = []
    for kind in ["Deployment", *(m["kind"] for m in manifests)]:
        resource = RESOURCES[kind]
        group = resource.version.rpartition("/")[0]
        wanted = [v for v in verbs if resource.namespaced or v != "delete"]  # namespaces stay
        found += [Right(verb, group, resource.plural) for verb in wanted]
    return [*found, *READ]


def granted(rules: Sequence[Mapping[str, Any]], right: Right) -> bool:
    """Whether one of a SelfSubjectRulesReview's rules gives the right on every object."""
    subresource = right.resource.partition("/")[2]
    resources = {ALL, right.resource, *([f"*/{subresource}"] if subresource else [])}
    return any(
        {ALL, right.verb} & {*(rule.get("verbs") or ())}
        and {ALL, right.group} & {*(rule.get("apiGroups") or ())}
        and resources & {*(rule.get("resources") or ())}
        and not rule.get("resourceNames")
        for rule in rules
    )


def told(findings: list[Finding]) -> list[Finding]:
    """One problem per namespace in the place of one per right."""
    lacking: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        if isinstance(finding, Denied):
            lacking[finding.namespace].append(str(finding.right))
    return [
        *(f for f in findings if not isinstance(f, Denied)),
        *(
            bad(
                f"the deployer lacks permissions in the namespace {namespace}: {', '.join(what)}",
                "give it roles/container.developer, or the Role in docs/targets/gke.md",
            )
            for namespace, what in lacking.items()
        ),
    ]


def _rules(site: Site) -> Sequence[Mapping[str, Any]]:
    try:
        answer = _review(site, "SelfSubjectRulesReview", {"namespace": site.namespace})
    except Refused as error:
        if error.code in (403, 404):
            return ()
        raise
    rules: Sequence[Mapping[str, Any]] = answer.get("resourceRules") or ()
    return rules


def _may(site: Site, right: Right) -> Iterator[Finding]:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "namespace": site.namespace,  # also of the namespace itself
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
    }
    spec = {"resourceAttributes": {k: v for k, v in attributes.items() if v}}
    if not _review(site, "SelfSubjectAccessReview", spec).get("allowed"):
        yield Denied(right=right, namespace=site.namespace)


def _review(site: Site, kind: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = site.kube.ask(
        f"apis/{AUTHORIZATION}/{kind.lower()}s",
        {"apiVersion": AUTHORIZATION, "kind": kind, "spec": dict(spec)},
    )
    status: Mapping[str, Any] = answer.get("status") or {}
    return status
