"""Which pods are behind a Service: Endpoints and EndpointSlices."""

from __future__ import annotations

from typing import Any

from pymacaron_ci.simulator.kubernetes.control.pods import active, ready
from pymacaron_ci.simulator.kubernetes.objects import Json, at, owner_reference, terminating
from pymacaron_ci.simulator.kubernetes.resources import (
    ENDPOINT_SLICES,
    ENDPOINTS,
    PODS,
    SERVICES,
    Resource,
)
from pymacaron_ci.simulator.kubernetes.selectors import selects
from pymacaron_ci.simulator.kubernetes.store import Store
from pymacaron_ci.simulator.kubernetes.writing import Options, Writer, suffix

SERVICE_NAME = "kubernetes.io/service-name"
OPTIONS = Options(manager="kube-controller-manager")


def backing(store: Store, service: Json) -> list[Json]:
    """The pods that a service selects and that take requests."""
    selector = at(service, "spec", "selector")
    if not selector:
        return []
    pods = store.list(PODS, service["metadata"]["namespace"])
    return [p for p in pods if selects({"matchLabels": selector}, p) and active(p) and ready(p)]


def pod_port(pod: Json, target: int | str) -> int | None:
    """The number of a port that a service or a probe means."""
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if port.get("name") == target:
                return int(port["containerPort"])
    return None


class EndpointSlices:
    def __init__(self, writer: Writer) -> None:
        self._writer, self._store = writer, writer.store

    def reconcile(self) -> None:
        for service in self._store.list(SERVICES):
            if at(service, "spec", "selector") and not terminating(service):
                self._sync(service)
        known = {
            (s["metadata"]["namespace"], s["metadata"]["name"]) for s in self._store.list(SERVICES)
        }
        for found in self._store.list(ENDPOINTS):
            key = (found["metadata"]["namespace"], found["metadata"]["name"])
            if key not in known:
                self._store.remove(ENDPOINTS, *key)

    def _sync(self, service: Json) -> None:
        metadata = service["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        selector = {"matchLabels": service["spec"]["selector"]}
        pods = [
            pod
            for pod in self._store.list(PODS, namespace)
            if selects(selector, pod) and at(pod, "status", "podIP")
        ]
        slices = [
            found
            for found in self._store.list(ENDPOINT_SLICES, namespace)
            if at(found, "metadata", "labels", SERVICE_NAME) == name
        ]
        mark = {SERVICE_NAME: name, "endpointslice.kubernetes.io/managed-by": MANAGED_BY}
        wanted: Json = {
            "addressType": "IPv4",
            "endpoints": [_endpoint(pod) for pod in pods],
            "ports": self._ports(service, pods),
        }
        slice_name = slices[0]["metadata"]["name"] if slices else f"{name[:56]}-{suffix()}"
        owned = {"ownerReferences": [owner_reference(service)], "labels": mark}
        self._put(ENDPOINT_SLICES, namespace, slice_name, wanted, owned)
        subsets = self._subsets(service, pods)
        self._put(ENDPOINTS, namespace, name, {"subsets": subsets} if subsets else {}, {})

    @staticmethod
    def _ports(service: Json, pods: list[Json]) -> list[Json]:
        ports = []
        for port in service["spec"].get("ports") or ():
            number = pod_port(pods[0], port["targetPort"]) if pods else None
            if number is not None:
                shown = {"name": port.get("name", ""), "port": number}
                ports.append({**shown, "protocol": port.get("protocol", "TCP")})
        return ports

    def _subsets(self, service: Json, pods: list[Json]) -> list[Json]:
        ports = [{k: v for k, v in p.items() if v != ""} for p in self._ports(service, pods)]
        if not pods or not ports:
            return []
        subset: Json = {"ports": ports}
        takers = [p for p in pods if ready(p) and active(p)]
        others = [p for p in pods if not ready(p) and active(p)]
        for kind, found in (("addresses", takers), ("notReadyAddresses", others)):
            if found:
                subset[kind] = [
                    {
                        "ip": p["status"]["podIP"],
                        "nodeName": p["spec"]["nodeName"],
                        "targetRef": _reference(p),
                    }
                    for p in found
                ]
        return [subset] if takers or others else []

    def _put(
        self, resource: Resource, namespace: str, name: str, wanted: Json, metadata: Json
    ) -> None:
        def change(thing: Json) -> None:
            for key in ("endpoints", "ports", "addressType", "subsets"):
                thing.pop(key, None)
            thing.update(wanted)

        if self._writer.change(resource, namespace, name, change) is None:
            body: dict[str, Any] = {"metadata": {"name": name, **metadata}, **wanted}
            self._writer.create(resource, namespace, body, OPTIONS)


MANAGED_BY = "endpointslice-controller.k8s.io"


def _reference(pod: Json) -> Json:
    metadata = pod["metadata"]
    return {
        "kind": "Pod",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def _endpoint(pod: Json) -> Json:
    ends = terminating(pod)
    takes = ready(pod)
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": takes and not ends, "serving": takes, "terminating": ends},
        "nodeName": pod["spec"]["nodeName"],
        "targetRef": _reference(pod),
    }
