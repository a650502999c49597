"""The Deployment that Kubernetes is sent. Pure; its pods pass the restricted Pod Security Standard.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from pymacaron_ci.model import Release, Secret
from pymacaron_ci.targets.gke import names
from pymacaron_ci.targets.gke.wanted import Place, Wanted

Manifest = dict[str, Any]

PORT = 8080
USER = 10001  # as our images have it; a number, so that Kubernetes can tell it isn't root
SURGE = 25  # percent of the pods that a rollout starts before it ends others
DRAIN = 10  # seconds between the news that a pod goes and its end: balancers need a moment
GRACE = DRAIN + 20
HISTORY = 5  # former releases that a rollback can bring back


def selector(wanted: Wanted) -> dict[str, str]:
    """What finds a service's pods. A Deployment's can't be changed later."""
    return {names.NAME: wanted.name, names.INSTANCE: wanted.name}


def labels(wanted: Wanted, release: Release | None = None) -> dict[str, str]:
    """Labels of any object; those of a release only where they may change with each one."""
    told = {**wanted.labels, **selector(wanted), names.MANAGED_BY: names.MANAGER}
    if release:
        told[names.VERSION] = names.label(release.version)
        told[names.LABEL_RELEASE] = names.label(release.id)
    return told


def labels_of_ours(wanted: Wanted) -> dict[str, str]:
    """What finds the objects of this service that this tool made."""
    return {names.INSTANCE: wanted.name, names.MANAGED_BY: names.MANAGER}


def marks(release: Release) -> dict[str, str]:
    """What pods tell of their release. Not the run: another run of it must not change the pods."""
    told = {
        names.RELEASE: release.id,
        names.TOLD_VERSION: release.version,
        names.COMMIT: release.revision,
        names.IMAGE: str(release.image),
    }
    return {name: value for name, value in told.items() if value}


def deployment(wanted: Wanted, place: Place, release: Release) -> Manifest:
    """Without a number of replicas where the autoscaler has it in hand."""
    run = {names.RUN_URL: release.run_url} if release.run_url else {}
    spec: Manifest = {
        "selector": {"matchLabels": selector(wanted)},
        "progressDeadlineSeconds": wanted.progress_seconds,
        "revisionHistoryLimit": HISTORY,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": f"{SURGE}%"},
        },
        "template": template(wanted, place, release),
    }
    if place == "staging":
        spec["replicas"] = 1
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": wanted.name,
            "namespace": wanted.spot(place).namespace,
            "labels": labels(wanted, release),
            "annotations": {**marks(release), **run},
        },
        "spec": spec,
    }


def template(wanted: Wanted, place: Place, release: Release) -> Manifest:
    spec: Manifest = {
        "serviceAccountName": wanted.name,
        "automountServiceAccountToken": False,
        # a Service called `port` would otherwise give the container a variable PORT
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(wanted)},
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        "containers": [_container(wanted, place, release)],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    if wanted.node_selector:
        spec["nodeSelector"] = dict(wanted.node_selector)
    return {
        "metadata": {
            "labels": labels(wanted, release),
            "annotations": {**wanted.annotations, **marks(release)},
        },
        "spec": spec,
    }


def environment(wanted: Wanted, place: Place, release: Release) -> dict[str, str | Secret]:
    """Everything the container finds in its environment."""
    return {
        **release.environment,
        "PORT": str(PORT),
        "PYM_ENV": wanted.environment if place == "live" else "staging",
        "PYM_RELEASE": release.id,
    }


def secret(wanted: Wanted, place: Place, release: Release) -> Manifest | None:
    """The one object with secret values; None for a release without any."""
    if not release.secrets:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": names.secret(wanted.name, release),
            "namespace": wanted.spot(place).namespace,
            "labels": labels(wanted),
        },
        "type": "Opaque",
        "immutable": True,
        "data": {
            s.name: base64.b64encode(s.reveal().encode("utf-8", "surrogateescape")).decode()
            for s in release.secrets
        },
    }


def _container(wanted: Wanted, place: Place, release: Release) -> Manifest:
    amount = {"cpu": str(wanted.cpu), "memory": wanted.memory}
    return {
        "name": wanted.name,
        "image": str(release.image),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "env": _env(wanted, place, release),
        # the runtime sizes its workers by the limits; equal to the requests, pods are evicted last
        "resources": {"requests": amount, "limits": dict(amount)},
        "startupProbe": {
            **_ask("/ping"),
            "periodSeconds": 1,
            "timeoutSeconds": 5,
            "failureThreshold": wanted.startup_seconds,
        },
        "readinessProbe": {
            **_ask("/ready"),
            "periodSeconds": 5,
            "timeoutSeconds": 5,
            "failureThreshold": 2,
        },
        "livenessProbe": {
            **_ask("/ping"),
            "periodSeconds": 10,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
        # python is in every image of ours; /bin/sleep is not in every base
        "lifecycle": {
            "preStop": {"exec": {"command": ["python3", "-c", f"import time; time.sleep({DRAIN})"]}}
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }


def _ask(path: str) -> Manifest:
    return {"httpGet": {"path": path, "port": "http"}}


def _env(wanted: Wanted, place: Place, release: Release) -> list[Manifest]:
    return [
        _from_secret(wanted, release, name)
        if isinstance(value, Secret)
        # Kubernetes puts other variables' values in the place of $(NAME); $$ is a $ to it
        else {"name": name, "value": value.replace("$", "$$")}
        for name, value in sorted(environment(wanted, place, release).items())
    ]


def _from_secret(wanted: Wanted, release: Release, name: str) -> Manifest:
    reference = {"name": names.secret(wanted.name, release), "key": name}
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def secrets_of(template: Mapping[str, Any]) -> set[str]:
    """The Secrets that a pod template needs."""
    found = set()
    for container in (template.get("spec") or {}).get("containers") or []:
        for variable in container.get("env") or []:
            reference = (variable.get("valueFrom") or {}).get("secretKeyRef") or {}
            found.add(str(reference.get("name", "")))
    return found - {""}
