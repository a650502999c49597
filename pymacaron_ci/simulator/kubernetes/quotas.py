"""What a namespace's pods and objects use, as resource quotas count, and pods that find no room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

from pymacaron_ci.simulator.kubernetes.control.pods import active
from pymacaron_ci.simulator.kubernetes.objects import Json, at, quantity
from pymacaron_ci.simulator.kubernetes.resources import PODS, QUOTAS, RESOURCES
from pymacaron_ci.simulator.kubernetes.statuses import forbidden
from pymacaron_ci.simulator.kubernetes.store import Store

Amounts = dict[str, Decimal]


def used(store: Store, namespace: str) -> Amounts:
    found: Counter[str] = Counter()
    for resource in RESOURCES:
        count = len(store.list(resource, namespace)) if resource.namespaced else 0
        found[f"count/{resource.qualified}"] = count
        if not resource.group:
            found[resource.plural] = count
    total = {name: Decimal(count) for name, count in found.items()}
    pods = [pod for pod in store.list(PODS, namespace) if active(pod)]
    total |= dict.fromkeys(("pods", "count/pods"), Decimal(len(pods)))
    for pod in pods:
        for name, amount in of_pod(pod).items():
            total[name] = total.get(name, Decimal(0)) + amount
    return total


def of_pod(pod: Json) -> Amounts:
    found: Amounts = {}
    for container in pod["spec"]["containers"]:
        for kind in ("requests", "limits"):
            for name, amount in at(container, "resources", kind, default={}).items():
                found[f"{kind}.{name}"] = found.get(f"{kind}.{name}", Decimal(0)) + quantity(amount)
    for name in ("cpu", "memory"):  # short for what is requested
        if f"requests.{name}" in found:
            found[name] = found[f"requests.{name}"]
    return found


def require_room(store: Store, pod: Json) -> None:
    """Raises 403 where a quota leaves none for a pod."""
    namespace = pod["metadata"]["namespace"]
    asked = of_pod(pod) | {"pods": Decimal(1), "count/pods": Decimal(1)}
    for quota in store.list(QUOTAS, namespace):
        hard = at(quota, "spec", "hard", default={})
        counted = used(store, namespace)
        over = [
            name
            for name in sorted(asked)
            if name in hard and counted.get(name, Decimal(0)) + asked[name] > quantity(hard[name])
        ]
        if over:
            requested, limited = told(asked, over), told(hard, over)
            text = (
                f"exceeded quota: {quota['metadata']['name']}, requested: {requested}, "
                f"used: {told(counted, over)}, limited: {limited}"
            )
            raise forbidden(PODS, pod["metadata"]["name"], text)


def told(amounts: Mapping[str, Decimal | str], names: Sequence[str]) -> str:
    return ",".join(f"{name}={shown(quantity(str(amounts.get(name, 0))))}" for name in names)


def shown(amount: Decimal) -> str:
    if amount == amount.to_integral():
        return f"{amount.to_integral():f}"
    return f"{(amount * 1000).to_integral():f}m"
