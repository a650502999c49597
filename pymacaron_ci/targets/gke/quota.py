"""Whether a namespace's quotas leave room for a rollout, and the region's for more nodes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from pymacaron_ci.targets.gcp import ApiError, GoogleSession
from pymacaron_ci.targets.gke.resources import RESOURCES
from pymacaron_ci.targets.gke.site import Site
from pymacaron_ci.targets.gke.wanted import Wanted
from pymacaron_ci.targets.gke.workload import SURGE, Manifest
from pymacaron_ci.targets.preflight import Finding, bad

Body = Mapping[str, Any]
# pods of ours have requests and limits, and no deadline: quotas for others don't count them
OTHERS = {"Terminating", "BestEffort"}
_UNITS = {
    "": Decimal(1), "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** n for n, unit in enumerate("kMGTP", 1)},
    **{f"{unit}i": Decimal(1024) ** n for n, unit in enumerate("KMGTP", 1)},
}  # fmt: skip


def of_namespace(site: Site, release: str, manifests: Sequence[Manifest]) -> Iterator[Finding]:
    """A problem for each quota that the rollout would exceed at its peak."""
    needs = needed(site, release, manifests)
    for quota in site.kube.items("ResourceQuota", site.namespace):
        short = lacking(quota, needs)
        if short:
            yield bad(
                f"the quota {quota['metadata']['name']} in {site.namespace} has no room for the "
                f"rollout: {'; '.join(short)}",
                "raise it (kubectl edit resourcequota), or lower cpu_count, gcp_memory or "
                "gke_min_replicas",
            )


def of_region(session: GoogleSession, wanted: Wanted, sites: Sequence[Site]) -> Iterator[Finding]:
    """A note: the nodes that are there may have room."""
    region = re.sub(r"-[a-z]$", "", wanted.location)
    try:
        place = f"compute/v1/projects/{wanted.project}/regions/{region}"
        found = session.read("compute", place, query={"fields": "quotas"})
    except ApiError as error:
        if error.code in (400, 403, 404):  # few deployers may look, and few need to
            return
        raise
    cpus = sum(more_pods(site) * wanted.cpu for site in sites)
    for quota in found.get("quotas") or ():
        left = quota.get("limit", 0) - quota.get("usage", 0)
        if quota.get("metric") == "CPUS" and left < cpus:
            yield Finding(
                note=f"the region {region} has {left:g} of {quota['limit']:g} CPUs left: where the "
                f"nodes have no room for {cpus} more, none is added (gcloud compute regions "
                f"describe {region})"
            )


def needed(site: Site, release: str, manifests: Sequence[Manifest]) -> dict[str, Decimal]:
    """What a rollout adds at its peak, as quotas name it."""
    found: Counter[str] = Counter()
    for kind in ("Deployment", *(m["kind"] for m in manifests)):
        resource = RESOURCES[kind]
        group = resource.version.rpartition("/")[0]
        there = site.before.deployment if kind == "Deployment" else site.before.objects.get(kind)
        if there is None and resource.namespaced:
            found[f"count/{resource.plural}" + (f".{group}" if group else "")] += 1
            found[resource.plural] += 1
    needs = {name: Decimal(count) for name, count in found.items()}
    if site.before.running == release:  # its pods are there already
        return needs
    pods = more_pods(site)
    cpu, memory = pods * Decimal(site.wanted.cpu), pods * amount(site.wanted.memory)
    needs |= {"pods": Decimal(pods), "count/pods": Decimal(pods)}
    needs |= dict.fromkeys(("cpu", "requests.cpu", "limits.cpu"), cpu)
    return needs | dict.fromkeys(("memory", "requests.memory", "limits.memory"), memory)


def more_pods(site: Site) -> int:
    """Beside those that run."""
    deployment = site.before.deployment
    now = 0 if deployment is None else int((deployment.get("spec") or {}).get("replicas", 1))
    most = max(now, site.wanted.min_replicas if site.place == "live" else 1)
    return most + (math.ceil(most * SURGE / 100) if now else 0) - now


def lacking(quota: Body, needs: Mapping[str, Decimal]) -> list[str]:
    """What a quota is short of. Pure."""
    spec, status = quota.get("spec") or {}, quota.get("status") or {}
    selected = (spec.get("scopeSelector") or {}).get("matchExpressions")
    if selected or OTHERS & {*(spec.get("scopes") or ())}:
        return []
    hard, used = status.get("hard") or {}, status.get("used") or {}
    return [
        f"{name} is {hard[name]}, of which {used.get(name, '0')} are used, "
        f"and it needs {shown(name, need)} more"
        for name, need in needs.items()
        if name in hard and need and amount(used.get(name, "0")) + need > amount(hard[name])
    ]


def shown(name: str, value: Decimal) -> str:
    return f"{math.ceil(value / 1024**2)}Mi" if "memory" in name else f"{value.normalize():f}"


def amount(quantity: str) -> Decimal:
    """A quantity as the API server writes it: `500m`, `1Gi`, `2`, `1e3`; of what is none it says
    so itself, when it is asked to take the pod: that counts as nothing here."""
    found = re.fullmatch(r"([0-9.]+)([numkKMGTP]i?)?", quantity)
    if found and (found[2] or "") in _UNITS:
        return Decimal(found[1]) * _UNITS[found[2] or ""]
    try:
        return Decimal(quantity)
    except InvalidOperation:
        return Decimal(0)
