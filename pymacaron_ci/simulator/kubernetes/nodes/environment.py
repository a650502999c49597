"""The environment of a container: values, Secrets, ConfigMaps, fields of its pod."""

from __future__ import annotations

import base64
import re

from pymacaron_ci.simulator.kubernetes.objects import Json, at, quantity
from pymacaron_ci.simulator.kubernetes.resources import CONFIG_MAPS, SECRETS, Resource
from pymacaron_ci.simulator.kubernetes.store import Store

_REFERENCE = re.compile(r"\$(\$|\(([-._a-zA-Z0-9]+)\))")


class ConfigError(Exception):
    """What a container needs is not there; the text is the kubelet's."""


def environment(store: Store, pod: Json, container: Json) -> dict[str, str]:
    """Raises ConfigError."""
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix", "")
        for kind, resource in (("secretRef", SECRETS), ("configMapRef", CONFIG_MAPS)):
            if kind in source:
                values = _values(store, pod, resource, source[kind])
                found |= {prefix + name: value for name, value in (values or {}).items()}
    for variable in container.get("env") or ():
        origin = variable.get("valueFrom")
        if origin is None:
            found[variable["name"]] = expanded(variable.get("value") or "", found)
            continue
        value = _referred(store, pod, container, origin)
        if value is not None:
            found[variable["name"]] = value
    return found


def expanded(text: str, values: dict[str, str]) -> str:
    """`$(NAME)` is replaced where that is known, `$$` stands for one `$`."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else values.get(match[2], match[0])

    return _REFERENCE.sub(value, text)


def _values(store: Store, pod: Json, resource: Resource, reference: Json) -> dict[str, str] | None:
    """All of a Secret or ConfigMap; None where it's missing and may be."""
    namespace, name = pod["metadata"]["namespace"], reference.get("name", "")
    thing = store.get(resource, namespace, name)
    if thing is None:
        if reference.get("optional"):
            return None
        raise ConfigError(f'{resource.kind.lower()} "{name}" not found')
    data = thing.get("data") or {}
    if resource is SECRETS:
        return {k: base64.b64decode(v).decode("utf-8", "surrogateescape") for k, v in data.items()}
    return dict(data)


def _referred(store: Store, pod: Json, container: Json, origin: Json) -> str | None:
    for kind, resource in (("secretKeyRef", SECRETS), ("configMapKeyRef", CONFIG_MAPS)):
        if kind not in origin:
            continue
        reference = origin[kind]
        values = _values(store, pod, resource, reference)
        if values is None or reference["key"] in values:
            return None if values is None else values[reference["key"]]
        if reference.get("optional"):
            return None
        place = f"{pod['metadata']['namespace']}/{reference['name']}"
        raise ConfigError(f"couldn't find key {reference['key']} in {resource.kind} {place}")
    if "fieldRef" in origin:
        return _field(pod, origin["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in origin:
        kind, _, name = origin["resourceFieldRef"]["resource"].partition(".")
        amount = at(container, "resources", kind, name)
        return str(int(quantity(amount))) if amount is not None else "0"
    return None


def _field(pod: Json, path: str) -> str:
    match = re.fullmatch(r"(metadata\.(?:labels|annotations))\['(.+)'\]", path)
    if match:
        return str(at(pod, *match[1].split("."), match[2], default=""))
    return str(at(pod, *path.split("."), default=""))
