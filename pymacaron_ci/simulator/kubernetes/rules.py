"""What a valid object is, beyond its schema: names, references, what never changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from pymacaron_ci.simulator.kubernetes.names import label_faults, metadata_faults
from pymacaron_ci.simulator.kubernetes.objects import Json, at
from pymacaron_ci.simulator.kubernetes.pod_rules import pod_faults, port_faults
from pymacaron_ci.simulator.kubernetes.resources import (
    AUTOSCALERS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    INGRESSES,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICES,
    Resource,
)
from pymacaron_ci.simulator.kubernetes.schema import Node
from pymacaron_ci.simulator.kubernetes.selectors import selects
from pymacaron_ci.simulator.kubernetes.statuses import (
    Fault,
    forbidden_field,
    invalid_value,
    required,
    unsupported,
)
from pymacaron_ci.simulator.kubernetes.strict import custom_faults

Faults = Iterator[Fault]
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
SECRET_LIMIT = 1024 * 1024


def faults(resource: Resource, thing: Json) -> list[Fault]:
    """All that is wrong with an object that is to be created or changed."""
    found = list(metadata_faults(resource, thing["metadata"]))
    rule = _RULES.get(resource)
    if rule is not None:
        found += rule(thing)
    if resource.custom:
        found += custom_faults(thing, Node.of(resource))
    return found


def changes(resource: Resource, former: Json, thing: Json) -> list[Fault]:
    """What may not be changed, and was."""
    rule = _FIXED.get(resource)
    return list(rule(former, thing)) if rule else []


def _pod(thing: Json) -> Faults:
    yield from pod_faults(thing.get("spec") or {}, "spec")


def _replicated(thing: Json) -> Faults:
    spec = thing.get("spec") or {}
    selector = spec.get("selector")
    if spec.get("replicas", 1) < 0:
        text = "must be greater than or equal to 0"
        yield invalid_value("spec.replicas", spec["replicas"], text)
    template = spec.get("template") or {}
    if not selector:
        yield required("spec.selector")
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid_value("spec.selector", selector, "empty selector is invalid for deployment")
    elif not selects(selector, template):
        found = at(template, "metadata", "labels", default={})
        text = "`selector` does not match template `labels`"
        yield invalid_value("spec.template.metadata.labels", found, text)
    labels = at(template, "metadata", "labels", default={})
    yield from label_faults("spec.template.labels", labels)
    yield from pod_faults(template.get("spec") or {}, "spec.template.spec")
    policy = at(template, "spec", "restartPolicy", default="Always")
    if policy != "Always":
        yield unsupported("spec.template.spec.restartPolicy", policy, ["Always"])


def _deployment(thing: Json) -> Faults:
    yield from _replicated(thing)
    spec = thing.get("spec") or {}
    strategy = spec.get("strategy") or {}
    kinds = ("Recreate", "RollingUpdate")
    if strategy.get("type", "RollingUpdate") not in kinds:
        yield unsupported("spec.strategy.type", strategy["type"], kinds)
    rolling = strategy.get("rollingUpdate") or {}
    if strategy.get("type") == "Recreate" and rolling:
        text = "may not be specified when strategy `type` is 'Recreate'"
        yield forbidden_field("spec.strategy.rollingUpdate", text)
    zero = [rolling.get(name) in (0, "0%") for name in ("maxUnavailable", "maxSurge")]
    if rolling and all(zero):
        text = "may not be 0 when `maxSurge` is 0"
        field = "spec.strategy.rollingUpdate.maxUnavailable"
        yield invalid_value(field, rolling["maxUnavailable"], text)
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds", 0)
    if deadline is not None and deadline <= ready:
        text = "must be greater than minReadySeconds"
        yield invalid_value("spec.progressDeadlineSeconds", deadline, text)


def _service(thing: Json) -> Faults:
    spec = thing.get("spec") or {}
    kinds = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    if spec.get("type") not in kinds:
        yield unsupported("spec.type", spec.get("type"), kinds)
    ports = spec.get("ports") or ()
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        yield from port_faults(port.get("port"), f"{path}.port")
        if len(ports) > 1 and not port.get("name"):
            yield required(f"{path}.name")


def _data(thing: Json) -> Faults:
    total = 0
    for kind in ("data", "binaryData"):
        for key, value in (thing.get(kind) or {}).items():
            total += len(str(value))
            if not _DATA_KEY.fullmatch(key):
                text = (
                    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
                    "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation "
                    "is '[-._a-zA-Z0-9]+')"
                )
                yield invalid_value(f"{kind}[{key}]", key, text)
    if total > SECRET_LIMIT * 4 / 3:
        text = f"Too long: may not be more than {SECRET_LIMIT} bytes"
        yield Fault("FieldValueTooLong", "data", text)


def _ingress(thing: Json) -> Faults:
    spec = thing.get("spec") or {}
    if not spec.get("rules") and not spec.get("defaultBackend"):
        yield invalid_value("spec", {}, "either `defaultBackend` or `rules` must be specified")
    for index, rule in enumerate(spec.get("rules") or ()):
        for number, path in enumerate(at(rule, "http", "paths", default=[])):
            field = f"spec.rules[{index}].http.paths[{number}]"
            if not path.get("pathType"):
                yield required(f"{field}.pathType", "pathType must be specified")
            if not at(path, "backend", "service", "name"):
                yield required(f"{field}.backend.service.name")


def _autoscaler(thing: Json) -> Faults:
    spec = thing.get("spec") or {}
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    if most < 1:
        yield invalid_value("spec.maxReplicas", most, "must be greater than 0")
    if least > most:
        text = "must be greater than or equal to `minReplicas`"
        yield invalid_value("spec.maxReplicas", most, text)
    for name in ("kind", "name"):
        if not at(spec, "scaleTargetRef", name):
            yield required(f"spec.scaleTargetRef.{name}")


_RULES: Mapping[Resource, Callable[[Json], Faults]] = {
    PODS: _pod,
    DEPLOYMENTS: _deployment,
    REPLICA_SETS: _replicated,
    SERVICES: _service,
    SECRETS: _data,
    CONFIG_MAPS: _data,
    INGRESSES: _ingress,
    AUTOSCALERS: _autoscaler,
}


def _selector_stays(former: Json, thing: Json) -> Faults:
    selector = at(thing, "spec", "selector")
    if selector != at(former, "spec", "selector"):
        yield invalid_value("spec.selector", selector, "field is immutable")


def _data_stays(former: Json, thing: Json) -> Faults:
    if former.get("type") != thing.get("type"):
        yield invalid_value("type", thing.get("type"), "field is immutable")
    if not former.get("immutable"):
        return
    why = "field is immutable when `immutable` is set"
    if not thing.get("immutable"):
        yield forbidden_field("immutable", why)
    for kind in ("data", "binaryData"):
        if (former.get(kind) or {}) != (thing.get(kind) or {}):
            yield forbidden_field(kind, why)


def _address_stays(former: Json, thing: Json) -> Faults:
    had, has = at(former, "spec", "clusterIP"), at(thing, "spec", "clusterIP")
    if had and had != has:
        text = "may not change once set"
        yield invalid_value("spec.clusterIPs[0]", [has] if has else None, text)


def _pod_stays(former: Json, thing: Json) -> Faults:
    if _fixed_spec(former) != _fixed_spec(thing):
        yield forbidden_field(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
            "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to "
            "be set to 1 if it was previously negative)",
        )


def _fixed_spec(pod: Json) -> Json:
    spec = {k: v for k, v in pod["spec"].items() if k != "nodeName"}
    return {**spec, "containers": [{**c, "image": ""} for c in spec.get("containers") or ()]}


_FIXED: Mapping[Resource, Callable[[Json, Json], Faults]] = {
    DEPLOYMENTS: _selector_stays,
    REPLICA_SETS: _selector_stays,
    SECRETS: _data_stays,
    CONFIG_MAPS: _data_stays,
    SERVICES: _address_stays,
    PODS: _pod_stays,
}
