"""The values that an API server fills in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pymacaron_ci.simulator.kubernetes.objects import Json, at
from pymacaron_ci.simulator.kubernetes.resources import (
    AUTOSCALERS,
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICES,
    Resource,
)


def _set(thing: Json, **values: Any) -> None:
    for name, value in values.items():
        if thing.get(name) is None:
            thing[name] = value


def _probe(probe: Json) -> None:
    _set(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    if "httpGet" in probe:
        _set(probe["httpGet"], path="/", scheme="HTTP")
    if "grpc" in probe:
        _set(probe["grpc"], service="")


def _container(container: Json) -> None:
    image = str(container.get("image", ""))
    name = image.rpartition("/")[2]
    latest = "@" not in name and (":" not in name or name.endswith(":latest"))
    _set(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy="Always" if latest else "IfNotPresent",
    )
    for port in container.get("ports") or ():
        _set(port, protocol="TCP")
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        if container.get(kind):
            _probe(container[kind])
    for hook in at(container, "lifecycle", default={}).values():
        if "httpGet" in hook:
            _set(hook["httpGet"], path="/", scheme="HTTP")
    for variable in container.get("env") or ():
        if variable.get("value") == "":
            del variable["value"]
        field = at(variable, "valueFrom", "fieldRef")
        if field:
            _set(field, apiVersion="v1")
    limits = at(container, "resources", "limits", default={})
    if limits:
        container["resources"] = {**container["resources"]}
        requests = container["resources"].get("requests") or {}
        container["resources"]["requests"] = {**limits, **requests}


def _pod_spec(spec: Json) -> None:
    _set(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    if spec.get("serviceAccountName"):
        _set(spec, serviceAccount=spec["serviceAccountName"])
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        _container(container)
    for volume in spec.get("volumes") or ():
        for kind in ("secret", "configMap", "projected"):
            if volume.get(kind) is not None:
                _set(volume[kind], defaultMode=420)


def _pod(thing: Json) -> None:
    spec = thing.setdefault("spec", {})
    _pod_spec(spec)
    _set(spec, enableServiceLinks=True)


def _template(thing: Json) -> None:
    spec = thing.setdefault("spec", {})
    _set(spec, replicas=1)
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    _pod_spec(template.setdefault("spec", {}))


def _deployment(thing: Json) -> None:
    _template(thing)
    spec = thing["spec"]
    _set(spec, strategy={}, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec["strategy"]
    _set(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _set(strategy, rollingUpdate={})
        _set(strategy["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")


def _service(thing: Json) -> None:
    spec = thing.setdefault("spec", {})
    _set(spec, type="ClusterIP", sessionAffinity="None")
    if spec["type"] != "ExternalName":
        _set(spec, internalTrafficPolicy="Cluster")
        _set(spec, ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    for port in spec.get("ports") or ():
        _set(port, protocol="TCP", targetPort=port.get("port"))


def _autoscaler(thing: Json) -> None:
    spec = thing.setdefault("spec", {})
    usage = {"type": "Utilization", "averageUtilization": 80}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": usage}}
    _set(spec, minReplicas=1, metrics=[metric])


def _secret(thing: Json) -> None:
    import base64

    _set(thing, type="Opaque")
    texts = thing.pop("stringData", None) or {}
    if texts:
        data = {k: base64.b64encode(str(v).encode()).decode() for k, v in texts.items()}
        thing["data"] = {**(thing.get("data") or {}), **data}


_DEFAULTS: Mapping[Resource, Callable[[Json], None]] = {
    PODS: _pod,
    DEPLOYMENTS: _deployment,
    REPLICA_SETS: _template,
    SERVICES: _service,
    AUTOSCALERS: _autoscaler,
    SECRETS: _secret,
}


def fill_in(resource: Resource, thing: Json) -> None:
    """Changes an object that nobody else has."""
    fill = _DEFAULTS.get(resource)
    if fill is not None:
        fill(thing)
