"""Cuts the schemas that the simulated cluster knows out of those kubernetes-validate ships.

`python -m tests.contracts.kubernetes_schema` writes pymacaron_ci/simulator/kubernetes/schema.json.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VERSION = "1.36"
FILE = Path(__file__).parents[2] / "pymacaron_ci/simulator/kubernetes/schema.json"
CORE, APPS = "io.k8s.api.core.v1", "io.k8s.api.apps.v1"
META = "io.k8s.apimachinery.pkg.apis.meta.v1"
KINDS = (
    *(f"{CORE}.{kind}" for kind in ("Namespace", "ServiceAccount", "Secret", "ConfigMap")),
    *(f"{CORE}.{kind}" for kind in ("Service", "Endpoints", "Pod", "Event", "Node")),
    f"{CORE}.ResourceQuota",
    *(f"{APPS}.{kind}" for kind in ("Deployment", "ReplicaSet")),
    "io.k8s.api.discovery.v1.EndpointSlice",
    "io.k8s.api.networking.v1.Ingress",
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    "io.k8s.api.policy.v1.PodDisruptionBudget",
    *(f"io.k8s.api.authorization.v1.SelfSubject{what}Review" for what in ("Access", "Rules")),
    f"{META}.DeleteOptions",
)
# prose, and what the API's own documents say in another way
DROPPED = ("description", "enum", "x-kubernetes-validations", "x-kubernetes-unions")
NOTICE = (
    f"Cut out of the OpenAPI document of Kubernetes {VERSION} (Apache License 2.0, "
    "https://github.com/kubernetes/kubernetes) by tests/contracts/kubernetes_schema.py: "
    "prose left out."
)


def definitions(*, strict: bool = False) -> dict[str, Any]:
    """`strict`: unknown fields are refused."""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("kubernetes_validate")
    folder = Path(spec.origin).parent / "kubernetes-json-schema" / f"v{VERSION}.0-local"
    if strict:
        folder = folder.with_name(f"{folder.name}-strict")
    found: dict[str, Any] = json.loads((folder / "_definitions.json").read_text())["$defs"]
    return found


def cut(value: Any) -> Any:
    """A node in the form of OpenAPI 3: no null among the types, references without company."""
    if isinstance(value, list):
        return [cut(item) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("$ref"), str):
        return {"$ref": value["$ref"].replace("#/$defs/", "#/components/schemas/")}
    node = {name: cut(child) for name, child in value.items() if name not in DROPPED}
    if "properties" in value:
        node["properties"] = {name: cut(child) for name, child in value["properties"].items()}
    if isinstance(value.get("type"), list):
        (node["type"],) = (name for name in value["type"] if name != "null")
    return node


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def render() -> str:
    everything = definitions()
    wanted, schemas = list(KINDS), dict[str, Any]()
    while wanted:
        name = wanted.pop()
        if name not in schemas:
            schemas[name] = cut(everything[name])
            wanted.extend(references(schemas[name]))
    lines = ",\n".join(
        f" {json.dumps(name)}: {json.dumps(schemas[name], separators=(',', ':'))}"
        for name in sorted(schemas)
    )
    return f'{{\n"notice": {json.dumps(NOTICE)},\n"schemas": {{\n{lines}\n}}\n}}\n'


if __name__ == "__main__":
    FILE.write_text(render())
