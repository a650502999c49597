"""The restricted Pod Security Standard, where a namespace enforces it.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pymacaron_ci.simulator.kubernetes.objects import Json, at, labels_of

PREFIX = "pod-security.kubernetes.io/"
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip


def violated(namespace: Json, spec: Json, mode: str) -> str | None:
    """What of a pod the namespace's `enforce` or `warn` label forbids."""
    found = labels_of(namespace)
    level = found.get(PREFIX + mode, "privileged")
    if level == "privileged":
        return None
    checks = [*_baseline(spec), *(_restricted(spec) if level == "restricted" else ())]
    if not checks:
        return None
    version = found.get(f"{PREFIX}{mode}-version", "latest")
    return f'violate PodSecurity "{level}:{version}": {", ".join(checks)}'


def _containers(spec: Json) -> list[Json]:
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _named(containers: list[Json]) -> str:
    names = ", ".join(f'"{c["name"]}"' for c in containers)
    return f"container{'s' if len(containers) > 1 else ''} {names}"


def _context(container: Json, *path: str) -> Any:
    return at(container, "securityContext", *path)


def _baseline(spec: Json) -> Iterator[str]:
    hosts = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if hosts:
        yield f"host namespaces ({', '.join(hosts)})"
    bad = [c for c in _containers(spec) if _context(c, "privileged")]
    if bad:
        yield f"privileged ({_named(bad)} must not set securityContext.privileged=true)"


def _restricted(spec: Json) -> Iterator[str]:
    everyone = _containers(spec)
    bad = [c for c in everyone if _context(c, "allowPrivilegeEscalation") is not False]
    if bad:
        rule = "must set securityContext.allowPrivilegeEscalation=false"
        yield f"allowPrivilegeEscalation != false ({_named(bad)} {rule})"
    bad = [c for c in everyone if "ALL" not in (_context(c, "capabilities", "drop") or ())]
    if bad:
        rule = 'must set securityContext.capabilities.drop=["ALL"]'
        yield f"unrestricted capabilities ({_named(bad)} {rule})"
    volumes = [v for v in spec.get("volumes") or () if not VOLUMES & v.keys()]
    if volumes:
        names = ", ".join(f'"{v["name"]}"' for v in volumes)
        yield f"restricted volume types (volume {names} uses a restricted volume type)"
    pod = spec.get("securityContext") or {}
    default = pod.get("runAsNonRoot")
    bad = [
        c
        for c in everyone
        if (default if (own := _context(c, "runAsNonRoot")) is None else own) is not True
    ]
    if bad:
        rule = "must set securityContext.runAsNonRoot=true"
        yield f"runAsNonRoot != true (pod or {_named(bad)} {rule})"
    bad = [c for c in everyone if _context(c, "runAsUser") == 0]
    if bad or pod.get("runAsUser") == 0:
        who = _named(bad) if bad else "pod"
        yield f"runAsUser=0 ({who} must not set runAsUser=0)"
    default = at(pod, "seccompProfile", "type")
    bad = [
        c
        for c in everyone
        if (_context(c, "seccompProfile", "type") or default) not in ("RuntimeDefault", "Localhost")
    ]
    if bad:
        rule = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        yield f"seccompProfile (pod or {_named(bad)} {rule})"
