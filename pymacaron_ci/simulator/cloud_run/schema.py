"""The fields of a Cloud Run service that a request may set: their names and JSON types, enums by
name or number.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from pymacaron_ci.simulator.google.errors import ApiError, invalid

Shape = Any  # a type's name, an Enum, a list of one Shape, or a mapping of field → Shape


class Enum(tuple[str, ...]):
    """Names in the order of their numbers."""


PROBE = {
    "initialDelaySeconds": "int",
    "timeoutSeconds": "int",
    "periodSeconds": "int",
    "failureThreshold": "int",
    "httpGet": {
        "path": "string",
        "port": "int",
        "httpHeaders": [{"name": "string", "value": "string"}],
    },
    "tcpSocket": {"port": "int"},
    "grpc": {"port": "int", "service": "string"},
}
CONTAINER = {
    "name": "string",
    "image": "string",
    "sourceCode": "any",
    "command": ["string"],
    "args": ["string"],
    "env": [
        {
            "name": "string",
            "value": "string",
            "valueSource": {"secretKeyRef": {"secret": "string", "version": "string"}},
        }
    ],
    "resources": {"limits": "map", "cpuIdle": "bool", "startupCpuBoost": "bool"},
    "ports": [{"name": "string", "containerPort": "int"}],
    "volumeMounts": [{"name": "string", "mountPath": "string", "subPath": "string"}],
    "workingDir": "string",
    "livenessProbe": PROBE,
    "startupProbe": PROBE,
    "readinessProbe": PROBE,
    "dependsOn": ["string"],
    "baseImageUri": "string",
}
EXECUTION = Enum(
    (
        "EXECUTION_ENVIRONMENT_UNSPECIFIED",
        "EXECUTION_ENVIRONMENT_GEN1",
        "EXECUTION_ENVIRONMENT_GEN2",
    )
)
TEMPLATE = {
    "revision": "string",
    "labels": "map",
    "annotations": "map",
    "scaling": {
        "minInstanceCount": "int",
        "maxInstanceCount": "int",
        "concurrencyUtilization": "number",
        "cpuUtilization": "number",
    },
    "vpcAccess": {
        "connector": "string",
        "egress": Enum(("VPC_EGRESS_UNSPECIFIED", "ALL_TRAFFIC", "PRIVATE_RANGES_ONLY")),
        "networkInterfaces": [{"network": "string", "subnetwork": "string", "tags": ["string"]}],
    },
    "timeout": "duration",
    "serviceAccount": "string",
    "containers": [CONTAINER],
    "volumes": ["any"],
    "executionEnvironment": EXECUTION,
    "encryptionKey": "string",
    "maxInstanceRequestConcurrency": "int",
    "serviceMesh": "any",
    "encryptionKeyRevocationAction": "any",
    "encryptionKeyShutdownDuration": "duration",
    "sessionAffinity": "bool",
    "healthCheckDisabled": "bool",
    "nodeSelector": "any",
    "gpuZonalRedundancyDisabled": "bool",
    "client": "string",
    "clientVersion": "string",
}
LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
TRAFFIC = [
    {
        "type": Enum(("TRAFFIC_TARGET_ALLOCATION_TYPE_UNSPECIFIED", LATEST, REVISION)),
        "revision": "string",
        "percent": "int",
        "tag": "string",
    }
]
SERVICE: Mapping[str, Shape] = {
    "description": "string",
    "labels": "map",
    "annotations": "map",
    "client": "string",
    "clientVersion": "string",
    "ingress": Enum(
        (
            "INGRESS_TRAFFIC_UNSPECIFIED",
            "INGRESS_TRAFFIC_ALL",
            "INGRESS_TRAFFIC_INTERNAL_ONLY",
            "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
            "INGRESS_TRAFFIC_NONE",
        )
    ),
    "launchStage": Enum(
        (
            "LAUNCH_STAGE_UNSPECIFIED",
            "EARLY_ACCESS",
            "ALPHA",
            "BETA",
            "GA",
            "DEPRECATED",
            "UNIMPLEMENTED",
            "PRELAUNCH",
        )
    ),
    "binaryAuthorization": "any",
    "template": TEMPLATE,
    "traffic": TRAFFIC,
    "scaling": {
        "minInstanceCount": "int",
        "maxInstanceCount": "int",
        "manualInstanceCount": "int",
        "scalingMode": Enum(("SCALING_MODE_UNSPECIFIED", "AUTOMATIC", "MANUAL")),
    },
    "invokerIamDisabled": "bool",
    "defaultUriDisabled": "bool",
    "iapEnabled": "bool",
    "multiRegionSettings": "any",
    "customAudiences": ["string"],
    "buildConfig": "any",
}
# Output-only, or taken from elsewhere: accepted in a request and not looked at, as the real service
# does.
IGNORED = {
    "name", "uid", "generation", "createTime", "updateTime", "deleteTime", "expireTime",
    "creator",
    "lastModifier",
    "observedGeneration", "terminalCondition", "conditions", "latestReadyRevision",
    "latestCreatedRevision",
    "trafficStatuses", "uri", "urls", "satisfiesPzs", "reconciling", "etag",
    "threatDetectionEnabled",
}  # fmt: skip


def settable(body: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a Service in a request that the user owns, checked. Raises ApiError."""
    own = {key: value for key, value in body.items() if key not in IGNORED}
    return _message(own, SERVICE, "service")


def _message(value: Any, shape: Mapping[str, Shape], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"Invalid value at '{where}' (type), \"{value}\"")
    checked = {}
    for key, item in value.items():
        if key not in shape:
            raise ApiError(
                "INVALID_ARGUMENT",
                f"Invalid JSON payload received. Unknown name \"{key}\" at '{where}': Cannot find "
                "field.",
            )
        if item is not None:
            checked[key] = _value(item, shape[key], f"{where}.{key}")
    # proto3 has no difference between a default and nothing; a message that is there stays there
    return {k: v for k, v in checked.items() if v not in (0, "", [], False) or v == {}}


def _value(value: Any, shape: Shape, where: str) -> Any:
    if isinstance(shape, Enum):
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(shape):
            return shape[value]
        if value in shape:
            return value
    elif isinstance(shape, Mapping):
        return _message(value, shape, where)
    elif isinstance(shape, list):
        if isinstance(value, list):
            return [_value(item, shape[0], f"{where}[{i}]") for i, item in enumerate(value)]
    elif shape == "any" or _fits(value, shape):
        return copy.deepcopy(value)
    kind = shape if isinstance(shape, str) else "type"
    raise invalid(f"Invalid value at '{where}' ({kind.upper()}), {value!r}")


def _fits(value: Any, shape: str) -> bool:
    if shape == "map":
        return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    if shape == "int":
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
    if shape == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if shape == "bool":
        return isinstance(value, bool)
    if shape == "duration":
        return isinstance(value, str) and bool(re.fullmatch(r"\d+(\.\d{1,9})?s", value))
    return isinstance(value, str)


def merge(old: Mapping[str, Any], new: Mapping[str, Any], mask: str) -> dict[str, Any]:
    """`old` with the fields that an update mask names taken from `new`. Raises ApiError for unknown
    fields.
    """
    if mask == "*":
        return copy.deepcopy(dict(new))
    merged: dict[str, Any] = copy.deepcopy(dict(old))
    for path in mask.split(","):
        parts = [
            re.sub(r"_([a-z])", lambda m: m[1].upper(), part) for part in path.strip().split(".")
        ]
        _check_path(parts, path)
        target, source = merged, new
        for part in parts[:-1]:
            target = target.setdefault(part, {})
            source = source.get(part) or {}
        if parts[-1] in source:
            target[parts[-1]] = copy.deepcopy(source[parts[-1]])
        else:
            target.pop(parts[-1], None)
    return merged


def _check_path(parts: list[str], path: str) -> None:
    shape: Shape = SERVICE
    for part in parts:
        if shape in ("map", "any"):
            return
        if not isinstance(shape, Mapping) or part not in shape:
            raise invalid(f"Invalid field mask path '{path}'.", "update_mask")
        shape = shape[part]
