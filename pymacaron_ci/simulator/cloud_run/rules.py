"""What Cloud Run accepts: names, limits, pairs of memory and CPU, reserved names; and the defaults
it fills in.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pymacaron_ci.simulator.cloud_run.schema import LATEST, REVISION
from pymacaron_ci.simulator.google.errors import ApiError, invalid

Json = dict[str, Any]
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
TAG = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL_KEY = re.compile(r"[a-z][-_a-z0-9/.]{0,62}")
LABEL_VALUE = re.compile(r"[-_a-z0-9]{0,63}")
ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
RESERVED_ENV = ("PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION")
RESERVED_KEYS = (
    "run.googleapis.com/",
    "cloud.googleapis.com/",
    "serving.knative.dev/",
    "autoscaling.knative.dev/",
)
UNITS = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
MI, GI = 2**20, 2**30
# whole CPUs → least and most memory
MEMORY_OF_CPU = {
    1: (128 * MI, 4 * GI),
    2: (128 * MI, 8 * GI),
    4: (2 * GI, 16 * GI),
    6: (4 * GI, 24 * GI),
    8: (4 * GI, 32 * GI),
}
CONTAINERS = "template.containers"


def check_service_id(name: str) -> None:
    if not name:
        raise invalid("service_id is required.", "service_id")
    if not NAME.fullmatch(name) or len(name) >= 50:
        raise invalid(
            "only lowercase, digits, and hyphens; must begin with letter, and cannot end with "
            "hyphen; must be less "
            "than 50 characters",
            "service_id",
        )


def check(spec: Mapping[str, Any], service: str) -> None:
    """The rules of one service; traffic is checked against the revisions elsewhere. Raises
    ApiError.
    """
    template = spec.get("template") or {}
    if len(spec.get("description", "")) > 512:
        raise invalid("must be at most 512 characters", "description")
    for where, holder in (("", spec), ("template.", template)):
        _check_keys(holder.get("annotations") or {}, f"{where}annotations")
        _check_labels(holder.get("labels") or {}, f"{where}labels")
    _check_template(template, service)
    check_traffic(spec.get("traffic") or [], service)


def _check_keys(values: Mapping[str, str], where: str) -> None:
    for key in values:
        if key.startswith(RESERVED_KEYS):
            raise invalid(f"annotation key {key!r} is reserved for the system.", where)


def _check_labels(values: Mapping[str, str], where: str) -> None:
    _check_keys(values, where)
    if len(values) > 64:
        raise invalid("at most 64 labels are allowed", where)
    for key, value in values.items():
        if not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(value):
            raise invalid(
                f"label {key!r}={value!r}: keys and values can contain only lowercase letters, "
                "numeric characters, "
                "underscores, and dashes, and at most 63 of them; keys must start with a letter",
                where,
            )


def _check_template(template: Mapping[str, Any], service: str) -> None:
    containers = template.get("containers") or []
    if not containers:
        raise invalid("Revision template should contain at least one container.", CONTAINERS)
    revision = template.get("revision")
    if revision:
        if not revision.startswith(f"{service}-"):
            raise invalid(f"must be prefixed by the service name '{service}-'", "template.revision")
        if not NAME.fullmatch(revision) or len(revision) > 63:
            raise invalid(
                "only lowercase, digits, and hyphens; must begin with letter, and may not end "
                "with hyphen; must be "
                "less than 64 characters",
                "template.revision",
            )
    timeout = float(template.get("timeout", "300s").rstrip("s"))
    if not 0 < timeout <= 3600:
        raise invalid("must be greater than zero and at most 3600 seconds", "template.timeout")
    concurrency = template.get("maxInstanceRequestConcurrency", 1)
    if not 1 <= concurrency <= 1000:
        raise invalid("must be between 1 and 1000", "template.max_instance_request_concurrency")
    scaling = template.get("scaling") or {}
    if scaling.get("minInstanceCount", 0) > scaling.get("maxInstanceCount", 2**31):
        raise invalid("min_instance_count may not exceed max_instance_count", "template.scaling")
    for index, container in enumerate(containers):
        _check_container(container, template, f"{CONTAINERS}[{index}]")


def _check_container(container: Mapping[str, Any], template: Mapping[str, Any], where: str) -> None:
    if not container.get("image"):
        raise invalid("image is required", f"{where}.image")
    if len(container.get("ports") or ()) > 1:
        raise invalid("at most one port can be specified", f"{where}.ports")
    for port in container.get("ports") or ():
        if not 1 <= port.get("containerPort", 8080) <= 65535:
            raise invalid("must be between 1 and 65535", f"{where}.ports[0].container_port")
        if port.get("name", "http1") not in ("http1", "h2c"):
            raise invalid("must be one of http1, h2c", f"{where}.ports[0].name")
    _check_env(container.get("env") or [], f"{where}.env")
    limits = (container.get("resources") or {}).get("limits") or {}
    _check_resources(limits, template, f"{where}.resources.limits")
    for kind in ("startupProbe", "livenessProbe"):
        probe = container.get(kind) or {}
        if probe.get("timeoutSeconds", 1) > probe.get("periodSeconds", 10):
            field = re.sub("([A-Z])", lambda m: f"_{m[1].lower()}", kind)
            raise invalid("timeout_seconds may not exceed period_seconds", f"{where}.{field}")


def _check_env(env: Sequence[Mapping[str, Any]], where: str) -> None:
    seen = set()
    for index, variable in enumerate(env):
        name, field = variable.get("name", ""), f"{where}[{index}]"
        if not ENV_NAME.fullmatch(name):
            raise invalid(f"invalid environment variable name {name!r}", f"{field}.name")
        if name in RESERVED_ENV:
            raise invalid(f"The following reserved env names were provided: {name}", where)
        if name in seen:
            raise invalid(f"environment variable {name!r} is given more than once", where)
        seen.add(name)
        if "value" in variable and "valueSource" in variable:
            raise invalid("only one of value and value_source may be set", field)
        if len(variable.get("value", "").encode("utf-8", "surrogatepass")) > 32768:
            raise invalid("must be at most 32768 bytes", f"{field}.value")


def _check_resources(limits: Mapping[str, Any], template: Mapping[str, Any], where: str) -> None:
    for name in limits:
        if name not in ("cpu", "memory", "nvidia.com/gpu"):
            raise invalid(f"unsupported resource {name!r}", where)
    cpu = parse_cpu(str(limits.get("cpu", "1")), f"{where}.cpu")
    memory = parse_memory(str(limits.get("memory", "512Mi")), f"{where}.memory")
    gen2 = template.get("executionEnvironment") == "EXECUTION_ENVIRONMENT_GEN2"
    if cpu < 1:
        if gen2:
            raise invalid(
                "Invalid value specified for cpu. Total cpu < 1 is not supported with gen2 "
                "execution environment.",
                f"{where}.cpu",
            )
        if template.get("maxInstanceRequestConcurrency", 1) != 1:
            raise invalid(
                "Invalid value specified for cpu. Total cpu < 1 is not supported with concurrency "
                "> 1.",
                f"{where}.cpu",
            )
        least, most = 128 * MI, GI if cpu > 0.5 else 512 * MI
    else:
        least, most = MEMORY_OF_CPU[int(cpu)]
    least = max(least, 512 * MI) if gen2 else least
    if not least <= memory <= most:
        kind = " with gen2 execution environment" if gen2 else ""
        raise invalid(
            f"Invalid value specified for memory{kind}. For {cpu:.1f} CPU, memory must be between "
            f"{_size(least)} and {_size(most)} inclusive.",
            f"{where}.memory",
        )


def parse_memory(text: str, field: str = "memory") -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(k|M|G|Ki|Mi|Gi|)", text)
    if not match:
        raise invalid(f"Invalid value specified for memory: {text!r}.", field)
    return int(float(match[1]) * UNITS[match[2]])


def parse_cpu(text: str, field: str = "cpu") -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(m?)", text)
    cpu = float(match[1]) / (1000 if match[2] else 1) if match else 0.0
    if not 0.08 <= cpu < 1 and cpu not in MEMORY_OF_CPU:
        raise invalid(
            f"Invalid value specified for cpu: {text!r}. The following are the valid values: 1, "
            "2, 4, 6, 8, or between "
            "0.08 and 1.",
            field,
        )
    return cpu


def _size(size: int) -> str:
    return f"{size // GI}Gi" if size % GI == 0 else f"{size // MI}Mi"


def check_traffic(traffic: Sequence[Mapping[str, Any]], service: str) -> None:
    tags = set()
    for index, target in enumerate(traffic):
        where = f"traffic[{index}]"
        kind = target.get("type", LATEST)
        if kind == REVISION and not target.get("revision"):
            raise invalid("revision is required for this type of target", f"{where}.revision")
        if kind == LATEST and target.get("revision"):
            raise invalid("revision may not be set for a target of the latest one", where)
        if not 0 <= target.get("percent", 0) <= 100:
            raise invalid("must be between 0 and 100", f"{where}.percent")
        tag = target.get("tag")
        if not tag:
            continue
        if not TAG.fullmatch(tag):
            raise invalid("only lowercase, digits, and hyphens are allowed", f"{where}.tag")
        if len(tag) + len(service) > 46:
            raise ApiError(
                "INVALID_ARGUMENT",
                f"spec.traffic.tag: traffic tag '{tag}' and service name '{service}' together are "
                "too long. Combined "
                "traffic tag and service name cannot exceed 46 characters.",
            )
        if tag in tags:
            raise invalid(f"tag '{tag}' is used by more than one target", f"{where}.tag")
        tags.add(tag)
    total = sum(target.get("percent", 0) for target in traffic)
    if traffic and total != 100:
        raise invalid(f"percentages must sum to 100, got {total}", "traffic")


def with_defaults(spec: Mapping[str, Any], account: str) -> Json:
    """What a GET shows for what was sent."""
    full: Json = copy.deepcopy(dict(spec))
    full.setdefault("ingress", "INGRESS_TRAFFIC_ALL")
    full.setdefault("launchStage", "GA")
    full["traffic"] = full.get("traffic") or [{"type": LATEST, "percent": 100}]
    for target in full["traffic"]:
        target.setdefault("type", REVISION if target.get("revision") else LATEST)
    template = full["template"]
    template.setdefault("timeout", "300s")
    template.setdefault("serviceAccount", account)
    template.setdefault("scaling", {}).setdefault("maxInstanceCount", 100)
    for index, container in enumerate(template["containers"]):
        # sent at all, but without cpuIdle, means CPU is always allocated: no field on read
        resources = container.setdefault("resources", {"cpuIdle": True, "startupCpuBoost": True})
        limits = resources.setdefault("limits", {})
        limits.setdefault("cpu", "1000m")
        limits.setdefault("memory", "512Mi")
        if index == 0:
            ports = container.setdefault("ports", [{}])
            ports[0].setdefault("name", "http1")
            ports[0].setdefault("containerPort", 8080)
            container.setdefault(
                "startupProbe",
                {
                    "timeoutSeconds": 240,
                    "periodSeconds": 240,
                    "failureThreshold": 1,
                    "tcpSocket": {"port": ports[0]["containerPort"]},
                },
            )
    cpu = parse_cpu(template["containers"][0]["resources"]["limits"]["cpu"])
    template.setdefault("maxInstanceRequestConcurrency", 80 if cpu >= 1 else 1)
    return full
