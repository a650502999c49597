"""What a pod's spec must be like, on its own and inside of a template."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pymacaron_ci.simulator.kubernetes.names import LABEL, LABEL_TEXT, label_faults
from pymacaron_ci.simulator.kubernetes.objects import Json, quantity
from pymacaron_ci.simulator.kubernetes.statuses import (
    Fault,
    duplicate,
    invalid_value,
    required,
    unsupported,
)

ENV_TEXT = (
    "a valid environment variable name must consist only of printable ASCII characters other than "
    "'='"
)


def pod_faults(spec: Json, path: str) -> Iterator[Fault]:
    names: set[str] = set()
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            yield from _container(container, f"{path}.{kind}[{index}]", names, volumes)
    for name, value in (spec.get("nodeSelector") or {}).items():
        yield from label_faults(f"{path}.nodeSelector", {name: value})


def _container(container: Json, path: str, names: set[str], volumes: set[Any]) -> Iterator[Fault]:
    name = container.get("name")
    if not name:
        yield required(f"{path}.name")
    elif not re.fullmatch(LABEL, name) or len(name) > 63:
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
        yield from port_faults(port.get("containerPort"), f"{path}.ports[{index}].containerPort")
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


def port_faults(port: Any, field: str) -> Iterator[Fault]:
    if not port:
        yield required(field)
    elif not isinstance(port, int) or not 0 < port < 65536:
        yield invalid_value(field, port, "must be between 1 and 65535, inclusive")


def _variable(variable: Json, path: str) -> Iterator[Fault]:
    name = variable.get("name", "")
    if not name:
        yield required(f"{path}.name")
    elif not all(" " <= c <= "~" and c != "=" for c in name):
        yield invalid_value(f"{path}.name", name, ENV_TEXT)
    if variable.get("value") and variable.get("valueFrom"):
        text = "may not be specified when `value` is not empty"
        yield invalid_value(f"{path}.valueFrom", "", text)


def _resources(found: Json, path: str) -> Iterator[Fault]:
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
