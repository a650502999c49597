"""What stands around the Deployment: namespace, account, Service, load balancer. Pure."""

from __future__ import annotations

import json

from pymacaron_ci.model import Release
from pymacaron_ci.targets.gke.wanted import Place, Wanted
from pymacaron_ci.targets.gke.workload import DRAIN, PORT, Manifest, labels, secret, selector

LONGEST_REQUEST = 180  # seconds: what the runtime's gunicorn allows


def before_rollout(wanted: Wanted, place: Place, release: Release) -> list[Manifest]:
    """In the order in which they need each other."""
    spot = wanted.spot(place)
    found = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": spot.namespace,
                "labels": {
                    **labels(wanted),
                    "pod-security.kubernetes.io/enforce": "restricted",
                },
            },
        },
        _service_account(wanted, place),
        secret(wanted, place, release),
        *(_balancer(wanted, place) if place == "live" else ()),
        _service(wanted, place),
    ]
    return [manifest for manifest in found if manifest]


def after_rollout(wanted: Wanted, place: Place) -> list[Manifest]:
    """Staging has one pod and no address of its own: nothing scales it or leads to it."""
    if place == "staging":
        return []
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": wanted.name}
    scaler = _object(wanted, place, "autoscaling/v2", "HorizontalPodAutoscaler")
    scaler["spec"] = {
        "scaleTargetRef": reference,
        "minReplicas": wanted.min_replicas,
        "maxReplicas": wanted.max_replicas,
        "metrics": [
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 70},
                },
            }
        ],
    }
    budget = _object(wanted, place, "policy/v1", "PodDisruptionBudget")
    budget["spec"] = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": selector(wanted)},
    }
    return [scaler, budget, *([_ingress(wanted, place)] if wanted.ingress else [])]


def _object(wanted: Wanted, place: Place, version: str, kind: str) -> Manifest:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {
            "name": wanted.name,
            "namespace": wanted.spot(place).namespace,
            "labels": labels(wanted),
        },
    }


def _service_account(wanted: Wanted, place: Place) -> Manifest:
    made = _object(wanted, place, "v1", "ServiceAccount")
    made["automountServiceAccountToken"] = False
    if wanted.service_account:
        made["metadata"]["annotations"] = {"iam.gke.io/gcp-service-account": wanted.service_account}
    return made


def _service(wanted: Wanted, place: Place) -> Manifest:
    made = _object(wanted, place, "v1", "Service")
    if _balanced(wanted, place):
        made["metadata"]["annotations"] = {
            "cloud.google.com/neg": json.dumps({"ingress": True}),
            "cloud.google.com/backend-config": json.dumps({"default": wanted.name}),
        }
    made["spec"] = {
        "type": "ClusterIP",
        "selector": selector(wanted),
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
    }
    return made


def _balanced(wanted: Wanted, place: Place) -> bool:
    """Whether Google's load balancer leads here."""
    return place == "live" and wanted.ingress and wanted.on_gke


def _balancer(wanted: Wanted, place: Place) -> list[Manifest]:
    """How Google's load balancer asks for health, drains, and speaks https."""
    if not _balanced(wanted, place):
        return []
    backend = _object(wanted, place, "cloud.google.com/v1", "BackendConfig")
    backend["spec"] = {
        "healthCheck": {
            "type": "HTTP",
            "requestPath": "/ready",
            "port": PORT,
            "checkIntervalSec": 5,
            "timeoutSec": 5,
            "healthyThreshold": 1,
            "unhealthyThreshold": 2,
        },
        "timeoutSec": LONGEST_REQUEST,
        "connectionDraining": {"drainingTimeoutSec": DRAIN},
    }
    if not wanted.certificate:
        return [backend]
    certificate = _object(wanted, place, "networking.gke.io/v1", "ManagedCertificate")
    certificate["spec"] = {"domains": [wanted.host]}
    front = _object(wanted, place, "networking.gke.io/v1beta1", "FrontendConfig")
    front["spec"] = {"redirectToHttps": {"enabled": True}}
    return [backend, certificate, front]


def _ingress(wanted: Wanted, place: Place) -> Manifest:
    made = _object(wanted, place, "networking.k8s.io/v1", "Ingress")
    backend = {"service": {"name": wanted.name, "port": {"name": "http"}}}
    if not wanted.on_gke:
        path = {"path": "/", "pathType": "Prefix", "backend": backend}
        made["spec"] = {"rules": [{"host": wanted.host, "http": {"paths": [path]}}]}
        return made
    # GKE doesn't honour spec.ingressClassName
    annotations = {"kubernetes.io/ingress.class": "gce"}
    if wanted.static_address:
        annotations["kubernetes.io/ingress.global-static-ip-name"] = wanted.static_address
    if wanted.certificate:
        annotations["networking.gke.io/managed-certificates"] = wanted.name
        annotations["networking.gke.io/v1beta1.FrontendConfig"] = wanted.name
    made["metadata"]["annotations"] = annotations
    made["spec"] = {"defaultBackend": backend}
    return made
