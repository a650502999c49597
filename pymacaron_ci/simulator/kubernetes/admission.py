"""What is looked at, or filled in, before an object is kept: namespaces, accounts, addresses."""

from __future__ import annotations

import zlib

from pymacaron_ci.simulator.kubernetes.objects import Json, at, terminating
from pymacaron_ci.simulator.kubernetes.pod_security import violated
from pymacaron_ci.simulator.kubernetes.quotas import require_room
from pymacaron_ci.simulator.kubernetes.resources import (
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)
from pymacaron_ci.simulator.kubernetes.statuses import forbidden, not_found
from pymacaron_ci.simulator.kubernetes.store import Store

TEMPLATED = (DEPLOYMENTS, REPLICA_SETS)


class Admission:
    """Changes the object it admits. Raises 403 and 404."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def admit(self, resource: Resource, former: Json, thing: Json) -> list[str]:
        """Gives warnings."""
        metadata = thing["metadata"]
        name = metadata["name"]
        namespace: Json = {}
        if resource.namespaced:
            found = self._store.get(NAMESPACES, "", metadata["namespace"])
            if found is None:
                raise not_found(NAMESPACES, metadata["namespace"])
            namespace = found
            if not former and terminating(namespace):
                text = (
                    f"unable to create new content in namespace {metadata['namespace']} because "
                    "it is being terminated"
                )
                cause = {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {metadata['namespace']} is being terminated",
                    "field": "metadata.namespace",
                }
                raise forbidden(resource, name, text, [cause])
        if resource is NAMESPACES:
            thing.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
            thing.setdefault("status", {}).setdefault("phase", "Active")
            labels = metadata.setdefault("labels", {})
            labels["kubernetes.io/metadata.name"] = name
        if resource is SERVICES:
            self._address(thing)
        if resource is PODS:
            if not former:
                self._account(thing)
                require_room(self._store, thing)
            breach = violated(namespace, thing["spec"], "enforce")
            if breach and at(former, "spec") != thing["spec"]:
                raise forbidden(resource, name, breach.replace("violate", "violates", 1))
        if resource in TEMPLATED:
            breach = violated(namespace, at(thing, "spec", "template", "spec", default={}), "warn")
            return [f"would {breach}"] if breach else []
        return []

    def _account(self, pod: Json) -> None:
        spec, metadata = pod["spec"], pod["metadata"]
        account = spec.setdefault("serviceAccountName", "default")
        spec.setdefault("serviceAccount", account)
        if self._store.get(SERVICE_ACCOUNTS, metadata["namespace"], account) is None:
            text = (
                f"error looking up service account {metadata['namespace']}/{account}: "
                f'serviceaccount "{account}" not found'
            )
            raise forbidden(PODS, metadata["name"], text)

    @staticmethod
    def _address(service: Json) -> None:
        spec = service["spec"]
        if spec.get("clusterIP") is None and spec.get("type") != "ExternalName":
            number = zlib.crc32(service["metadata"]["uid"].encode())
            spec["clusterIP"] = f"34.118.{number // 256 % 256}.{number % 254 + 1}"
        if spec.get("clusterIP"):
            spec["clusterIPs"] = [spec["clusterIP"]]
