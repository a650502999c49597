"""What a valid object is, beyond its schema: names, references, what never changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pymacaron_ci.simulator.kubernetes.objects import Json, at, quantity
from pymacaron_ci.simulator.kubernetes.resources import (
    AUTOSCALERS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    INGRESSES,
    NAMESPACES,
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
    duplicate,
    forbidden_field,
    invalid_value,
    required,
    unsupported,
)
from pymacaron_ci.simulator.kubernetes.strict import custom_faults

Faults = Iterator[Fault]
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    f"for validation is '{_LABEL}')"
)
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_LABEL}(\\.{_LABEL})*')"
)
DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
ENV_TEXT = (
    "a valid environment variable name must consist only of printable ASCII characters other than "
    "'='"
)
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
ANNOTATIONS_LIMIT = 256 * 1024
SECRET_LIMIT = 1024 * 1024


def faults(resource: Resource, thing: Json) -> list[Fault]:
    """All that is wrong with an object that is to be created or changed."""
    found = list(_metadata(resource, thing["metadata"]))
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


def _metadata(resource: Resource, metadata: Json) -> Faults:
    name = metadata.get("name", "")
    labels_only = {NAMESPACES: LABEL_TEXT, SERVICES: DNS1035_TEXT}.get(resource)
    pattern = r"[a-z]([-a-z0-9]*[a-z0-9])?" if resource is SERVICES else _LABEL
    if labels_only:
        if not re.fullmatch(pattern, name):
            yield invalid_value("metadata.name", name, labels_only)
        if len(name) > 63:
            yield invalid_value("metadata.name", name, "must be no more than 63 characters")
    elif not re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", name):
        yield invalid_value("metadata.name", name, SUBDOMAIN_TEXT)
    if len(name) > 253:
        yield invalid_value("metadata.name", name, "must be no more than 253 characters")
    yield from _label_values("metadata.labels", metadata.get("labels"))
    total = 0
    for key, value in (metadata.get("annotations") or {}).items():
        total += len(key) + len(str(value))
        if not _KEY.fullmatch(key.lower()):
            yield invalid_value("metadata.annotations", key, "name part must consist of " + _PART)
    if total > ANNOTATIONS_LIMIT:
        text = f"Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"
        yield Fault("FieldValueTooLong", "metadata.annotations", text)


_PART = (
    "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def _label_values(field: str, found: Mapping[str, Any] | None) -> Faults:
    for key, value in (found or {}).items():
        if not _KEY.fullmatch(key):
            yield invalid_value(field, key, "name part must consist of " + _PART)
        if len(value) > 63:
            yield invalid_value(field, value, "must be no more than 63 characters")
        if not _VALUE.fullmatch(value):
            yield invalid_value(field, value, VALUE_TEXT)


def _pod_spec(spec: Json, path: str) -> Faults:
    names: set[str] = set()
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            yield from _container(container, f"{path}.{kind}[{index}]", names, volumes)
    for name, value in (spec.get("nodeSelector") or {}).items():
        yield from _label_values(f"{path}.nodeSelector", {name: value})


def _container(container: Json, path: str, names: set[str], volumes: set[Any]) -> Faults:
    name = container.get("name")
    if not name:
        yield required(f"{path}.name")
    elif not re.fullmatch(_LABEL, name) or len(name) > 63:
        yield invalid_value(f"{path}.name", name, LABEL_TEXT)
    elif name in names:
        yield duplicate(f"{path}.name", name)
    names.add(str(name))
    if not container.get("image"):
        yield required(f"{path}.image")
    policies = ("Always", "IfNotPresent", "Never")
    if container.get("imagePullPolicy") not in (None, *policies):
        yield unsupported(f"{path}.imagePullPolicy", container["imagePullPolicy"], policies)
    for index, port in enumerate(container.get("ports") or ()):
        yield from _port(port.get("containerPort"), f"{path}.ports[{index}].containerPort")
    for index, variable in enumerate(container.get("env") or ()):
        yield from _variable(variable, f"{path}.env[{index}]")
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            field = f"{path}.volumeMounts[{index}].name"
            yield Fault("FieldValueNotFound", field, f'Not found: "{mount.get("name")}"')
    yield from _resources(container.get("resources") or {}, f"{path}.resources")
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container.get(kind)
        if probe and not any(probe.get(how) for how in ("httpGet", "tcpSocket", "exec", "grpc")):
            yield required(f"{path}.{kind}", "must specify a handler type")
        if probe and kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
            yield invalid_value(
                f"{path}.{kind}.successThreshold", probe["successThreshold"], "must be 1"
            )


def _port(port: Any, field: str) -> Faults:
    if not port:
        yield required(field)
    elif not isinstance(port, int) or not 0 < port < 65536:
        yield invalid_value(field, port, "must be between 1 and 65535, inclusive")


def _variable(variable: Json, path: str) -> Faults:
    name = variable.get("name", "")
    if not name:
        yield required(f"{path}.name")
    elif not all(" " <= c <= "~" and c != "=" for c in name):
        yield invalid_value(f"{path}.name", name, ENV_TEXT)
    if variable.get("value") and variable.get("valueFrom"):
        text = "may not be specified when `value` is not empty"
        yield invalid_value(f"{path}.valueFrom", "", text)


def _resources(found: Json, path: str) -> Faults:
    amounts: dict[str, dict[str, Any]] = {}
    for kind in ("limits", "requests"):
        for name, value in (found.get(kind) or {}).items():
            field = f"{path}.{kind}[{name}]"
            amounts.setdefault(kind, {})[name] = quantity(value)
            if amounts[kind][name] < 0:
                yield invalid_value(field, value, "must be greater than or equal to 0")
    for name, wanted in amounts.get("requests", {}).items():
        most = amounts.get("limits", {}).get(name)
        if most is not None and wanted > most:
            limit = found["limits"][name]
            text = f"must be less than or equal to {name} limit of {limit}"
            yield invalid_value(f"{path}.requests", found["requests"][name], text)


def _pod(thing: Json) -> Faults:
    yield from _pod_spec(thing.get("spec") or {}, "spec")


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
    yield from _label_values("spec.template.labels", labels)
    yield from _pod_spec(template.get("spec") or {}, "spec.template.spec")
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
        yield from _port(port.get("port"), f"{path}.port")
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
    if not at(spec, "scaleTargetRef", "name"):
        yield required("spec.scaleTargetRef.name")


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
