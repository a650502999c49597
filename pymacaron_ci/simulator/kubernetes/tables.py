"""Lists as the tables that `kubectl get` shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pymacaron_ci.simulator.kubernetes.objects import Json, age, at, terminating
from pymacaron_ci.simulator.kubernetes.resources import (
    AUTOSCALERS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    INGRESSES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICES,
    Resource,
)

Row = Callable[[Json], Sequence[Any]]
NONE = "<none>"


def table(resource: Resource, things: Sequence[Json], whole: str, *, headers: bool = True) -> Json:
    """`whole`: what of each object a row brings along: Object, Metadata or None."""
    names, row = _TABLES.get(resource, (("Name", "Age"), _plain))
    columns = [
        {
            "name": name,
            "type": "integer" if name in _NUMBERS else "string",
            "format": "name" if name == "Name" else "",
            "description": name,
            "priority": 0,
        }
        for name in names
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": columns if headers else None,
        "rows": [
            {
                "cells": list(row(thing)),
                **({} if whole == "None" else {"object": _part(thing, whole)}),
            }
            for thing in things
        ],
    }


_NUMBERS = ("Up-to-date", "Available", "Desired", "Current", "Data", "MinPods", "MaxPods")


def _part(thing: Json, whole: str) -> Json:
    if whole == "Object":
        return thing
    kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return {**kind, "metadata": thing["metadata"]}


def lasting(seconds: float) -> str:
    """As kubectl shows a time span: 45s, 3m20s, 5h, 2d."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = minutes // 60
    return f"{hours}h" if hours < 48 else f"{hours // 24}d"


def _age(thing: Json) -> str:
    return lasting(age(thing["metadata"]["creationTimestamp"]))


def _plain(thing: Json) -> Sequence[Any]:
    return thing["metadata"]["name"], _age(thing)


def _pod(pod: Json) -> Sequence[Any]:
    statuses = at(pod, "status", "containerStatuses", default=[])
    reason = at(pod, "status", "reason") or at(pod, "status", "phase", default="Unknown")
    for status in reversed(statuses):
        waiting, ended = at(status, "state", "waiting"), at(status, "state", "terminated")
        if waiting and waiting.get("reason"):
            reason = waiting["reason"]
        elif ended:
            reason = ended.get("reason") or f"ExitCode:{ended['exitCode']}"
    if terminating(pod):
        reason = "Terminating"
    restarts = sum(status["restartCount"] for status in statuses)
    ready = sum(bool(status["ready"]) for status in statuses)
    return (
        pod["metadata"]["name"],
        f"{ready}/{len(pod['spec']['containers'])}",
        reason,
        str(restarts),
        _age(pod),
    )


def _deployment(thing: Json) -> Sequence[Any]:
    status = thing.get("status") or {}
    return (
        thing["metadata"]["name"],
        f"{status.get('readyReplicas', 0)}/{at(thing, 'spec', 'replicas', default=1)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _age(thing),
    )


def _replica_set(thing: Json) -> Sequence[Any]:
    status = thing.get("status") or {}
    return (
        thing["metadata"]["name"],
        at(thing, "spec", "replicas", default=1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        _age(thing),
    )


def _service(thing: Json) -> Sequence[Any]:
    spec = thing["spec"]
    ports = ",".join(f"{p['port']}/{p.get('protocol', 'TCP')}" for p in spec.get("ports") or ())
    address = spec.get("clusterIP") or NONE
    return thing["metadata"]["name"], spec["type"], address, NONE, ports or NONE, _age(thing)


def _ingress(thing: Json) -> Sequence[Any]:
    spec = thing.get("spec") or {}
    hosts = ",".join(rule.get("host") or "*" for rule in spec.get("rules") or ()) or "*"
    addresses = at(thing, "status", "loadBalancer", "ingress", default=[])
    address = ",".join(a.get("ip") or a.get("hostname", "") for a in addresses)
    ports = "80, 443" if spec.get("tls") else "80"
    name = spec.get("ingressClassName") or NONE
    return thing["metadata"]["name"], name, hosts, address, ports, _age(thing)


def _event(thing: Json) -> Sequence[Any]:
    about = thing["involvedObject"]
    seen = lasting(age(thing["lastTimestamp"]))
    if thing.get("count", 1) > 1:
        seen = f"{seen} (x{thing['count']} over {lasting(age(thing['firstTimestamp']))})"
    what = f"{about['kind'].lower()}/{about['name']}"
    return seen, thing["type"], thing["reason"], what, thing["message"]


def _autoscaler(thing: Json) -> Sequence[Any]:
    spec, status = thing["spec"], thing.get("status") or {}
    target = spec["scaleTargetRef"]
    return (
        thing["metadata"]["name"],
        f"{target['kind']}/{target['name']}",
        "cpu: <unknown>/80%",
        spec.get("minReplicas", 1),
        spec["maxReplicas"],
        status.get("currentReplicas", 0),
        _age(thing),
    )


def _named(*path: str) -> Row:
    return lambda thing: (thing["metadata"]["name"], at(thing, *path, default=""), _age(thing))


_TABLES: Mapping[Resource, tuple[Sequence[str], Row]] = {
    PODS: (("Name", "Ready", "Status", "Restarts", "Age"), _pod),
    DEPLOYMENTS: (("Name", "Ready", "Up-to-date", "Available", "Age"), _deployment),
    REPLICA_SETS: (("Name", "Desired", "Current", "Ready", "Age"), _replica_set),
    SERVICES: (("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"), _service),
    INGRESSES: (("Name", "Class", "Hosts", "Address", "Ports", "Age"), _ingress),
    EVENTS: (("Last Seen", "Type", "Reason", "Object", "Message"), _event),
    NAMESPACES: (("Name", "Status", "Age"), _named("status", "phase")),
    NODES: (("Name", "Version", "Age"), _named("status", "nodeInfo", "kubeletVersion")),
    ENDPOINT_SLICES: (("Name", "AddressType", "Age"), _named("addressType")),
    AUTOSCALERS: (
        ("Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"),
        _autoscaler,
    ),
    SECRETS: (
        ("Name", "Type", "Data", "Age"),
        lambda t: (t["metadata"]["name"], t["type"], len(t.get("data") or {}), _age(t)),
    ),
    CONFIG_MAPS: (
        ("Name", "Data", "Age"),
        lambda t: (t["metadata"]["name"], len(t.get("data") or {}), _age(t)),
    ),
}
