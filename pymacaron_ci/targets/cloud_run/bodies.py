"""The JSON that Cloud Run is sent. Pure: the tests hold it against Google's own schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymacaron_ci.model import Release, Secret
from pymacaron_ci.targets.cloud_run import names
from pymacaron_ci.targets.cloud_run.state import Service, Traffic, write_traffic
from pymacaron_ci.targets.cloud_run.wanted import Place, SecretVersion, Wanted

PORT = 8080
REVISION_TARGET = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
# Cloud Run's own annotations come with a GET and are refused in a PATCH.
_SYSTEM = ("run.googleapis.com/", "cloud.googleapis.com/", "serving.knative.dev/",
           "autoscaling.knative.dev/", "client.knative.dev/")  # fmt: skip


def environment(wanted: Wanted, place: Place, release: Release) -> dict[str, str | Secret]:
    """Everything the container finds in its environment; Cloud Run adds PORT and K_*."""
    return {
        **release.environment,
        "PYM_ENV": f"{wanted.name}-{place}",
        "PYM_RELEASE": release.id,
    }


def template(wanted: Wanted, place: Place, release: Release, revision: str) -> dict[str, Any]:
    """A revision: whole, so that what left the configuration leaves the service."""
    limits = {"memory": wanted.memory}
    if wanted.cpu:
        limits["cpu"] = wanted.cpu
    scaling: dict[str, Any] = {}
    if wanted.min_instances and place == "live":
        scaling["minInstanceCount"] = wanted.min_instances
    if wanted.max_instances:
        scaling["maxInstanceCount"] = wanted.max_instances
    body: dict[str, Any] = {
        "revision": revision,
        "labels": {**wanted.labels, **labels(release)},
        "annotations": marks(release),
        "maxInstanceRequestConcurrency": wanted.concurrency,
        "sessionAffinity": wanted.session_affinity,
        "containers": [
            {
                "image": str(release.image),
                "ports": [{"containerPort": PORT}],
                "env": [
                    *(
                        {"name": name, "value": _plain(value)}
                        for name, value in sorted(environment(wanted, place, release).items())
                    ),
                    *(
                        {"name": name, "valueSource": {"secretKeyRef": _reference(secret)}}
                        for name, secret in sorted(wanted.secrets.items())
                    ),
                ],
                # where resources are sent at all, an absent cpuIdle means false
                "resources": {
                    "limits": limits,
                    "cpuIdle": not wanted.cpu_always,
                    "startupCpuBoost": True,
                },
                "startupProbe": _startup_probe(wanted),
            }
        ],
    }
    if scaling:
        body["scaling"] = scaling
    if wanted.timeout:
        body["timeout"] = f"{wanted.timeout}s"
    if wanted.service_account:
        body["serviceAccount"] = wanted.service_account
    if wanted.execution_environment:
        body["executionEnvironment"] = wanted.execution_environment
    access = _vpc_access(wanted)
    if access:
        body["vpcAccess"] = access
    return body


def labels(release: Release) -> dict[str, str]:
    return {
        names.LABEL_MANAGED: names.MANAGED_BY,
        names.LABEL_RELEASE: names.label(release.id),
    }


def marks(release: Release) -> dict[str, str]:
    """What a revision tells of its release: enough to find it again and to bring it back."""
    told = {
        names.RELEASE: release.id,
        names.VERSION: release.version,
        names.COMMIT: release.revision,
        names.IMAGE: str(release.image),
        names.RUN_URL: release.run_url or "",
    }
    return {name: value for name, value in told.items() if value}


def creation(wanted: Wanted, place: Place, release: Release, revision: str) -> dict[str, Any]:
    """A whole new service. Its first revision gets all requests: Cloud Run knows no other way."""
    return {
        "client": names.MANAGED_BY,
        "ingress": wanted.ingress,
        "labels": {**wanted.labels, **labels(release)},
        "annotations": {names.CANDIDATE: revision},
        "template": template(wanted, place, release, revision),
        "traffic": traffic({revision: 100}),
    }


def traffic(shares: Traffic, tags: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """gcloud's normal form: a target per revision that gets requests, a target per tag."""
    return [
        *(
            {"type": REVISION_TARGET, "revision": name, "percent": percent}
            for name, percent in shares.items()
            if percent
        ),
        *(
            {"type": REVISION_TARGET, "revision": name, "tag": tag}
            for tag, name in (tags or {}).items()
        ),
    ]


def service_marks(service: Service, **changes: str | None) -> dict[str, str]:
    """The service's annotations with ours changed (None removes): a PATCH replaces them all."""
    by_key = {"proven": names.PROVEN, "previous": names.PREVIOUS, "candidate": names.CANDIDATE}
    kept = {k: v for k, v in service.annotations.items() if not k.startswith(_SYSTEM)}
    for name, value in changes.items():
        if value:
            kept[by_key[name]] = value
        else:
            kept.pop(by_key[name], None)
    return kept


def proven_marks(service: Service, serving: Traffic) -> dict[str, str]:
    """`serving` is proven; what was proven before is what a rollback brings back."""
    former = service.proven
    previous = former if former and former != dict(serving) else service.previous
    return service_marks(
        service,
        proven=write_traffic(serving),
        previous=write_traffic(previous) or None,
        candidate=None,
    )


def candidate_marks(service: Service, revision: str, stable: Traffic | None) -> dict[str, str]:
    """A deployment begins: which revision it is about and, where nobody said so yet, what works."""
    proven = service.proven or (stable if service.candidate is None else None)
    return service_marks(service, proven=write_traffic(proven or {}) or None, candidate=revision)


def service_labels(wanted: Wanted, service: Service, release: Release) -> dict[str, str]:
    """Other people's labels stay, ours follow the release."""
    return {**service.labels, **wanted.labels, **labels(release)}


def _plain(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _reference(secret: SecretVersion) -> dict[str, str]:
    return {"secret": secret.name, "version": secret.version}


def _startup_probe(wanted: Wanted) -> dict[str, Any]:
    """Asks every second; in a start of more than 240 s less often: Cloud Run counts no further."""
    period = -(-wanted.startup_seconds // 240)
    return {
        "httpGet": {"path": wanted.startup_probe, "port": PORT},
        "periodSeconds": period,
        "timeoutSeconds": period,
        "failureThreshold": -(-wanted.startup_seconds // period),
    }


def _vpc_access(wanted: Wanted) -> dict[str, Any]:
    if wanted.vpc_connector:
        connector = wanted.vpc_connector
        if "/" not in connector:
            connector = f"{wanted.location}/connectors/{connector}"
        return {"connector": connector, "egress": wanted.egress}
    if wanted.network or wanted.subnet:
        interface = {"network": wanted.network, "subnetwork": wanted.subnet}
        return {
            "networkInterfaces": [{k: v for k, v in interface.items() if v}],
            "egress": wanted.egress,
        }
    return {}
