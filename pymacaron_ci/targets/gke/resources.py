"""Where the API server keeps the objects of each kind. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Resource:
    """Where objects of a kind are found."""

    version: str
    plural: str
    namespaced: bool = True


RESOURCES: Mapping[str, Resource] = {
    "Namespace": Resource("v1", "namespaces", namespaced=False),
    "ResourceQuota": Resource("v1", "resourcequotas"),
    "ServiceAccount": Resource("v1", "serviceaccounts"),
    "Secret": Resource("v1", "secrets"),
    "Service": Resource("v1", "services"),
    "Pod": Resource("v1", "pods"),
    "Event": Resource("v1", "events"),
    "Deployment": Resource("apps/v1", "deployments"),
    "ReplicaSet": Resource("apps/v1", "replicasets"),
    "HorizontalPodAutoscaler": Resource("autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": Resource("policy/v1", "poddisruptionbudgets"),
    "Ingress": Resource("networking.k8s.io/v1", "ingresses"),
    "ManagedCertificate": Resource("networking.gke.io/v1", "managedcertificates"),
    "FrontendConfig": Resource("networking.gke.io/v1beta1", "frontendconfigs"),
    "BackendConfig": Resource("cloud.google.com/v1", "backendconfigs"),
}


def path(kind: str, namespace: str, name: str = "") -> str:
    """`apis/apps/v1/namespaces/hello/deployments/hello`"""
    resource = RESOURCES[kind]
    parts = ["apis" if "/" in resource.version else "api", resource.version]
    if resource.namespaced:
        parts += ["namespaces", namespace]
    parts.append(resource.plural)
    return "/".join([*parts, name] if name else parts)


def path_of(manifest: Mapping[str, Any]) -> str:
    metadata = manifest["metadata"]
    return path(manifest["kind"], metadata.get("namespace", ""), metadata["name"])
