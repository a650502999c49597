"""What the configuration asks of the cluster. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from pymacaron_ci.config import Config
from pymacaron_ci.options import Settings
from pymacaron_ci.targets.artifact_registry import Repository, repository_of

Place = Literal["staging", "live"]
EndpointChoice = Literal["auto", "dns", "address"]

# What the runtime's processes need, in MiB; tests/agreement holds it against the runtime.
SERVER_WORKER = 250
TASK_WORKER = 150
MASTER = 50


@dataclass(frozen=True)
class Spot:
    """A namespace in a cluster: where staging or live is."""

    cluster: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.namespace} ({self.cluster})"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Where to deploy, and how a pod is to run.

    `on_gke` is False for a cluster that a kubeconfig file names: it has none of Google's own
    objects.
    """

    name: str
    live: Spot
    staging: Spot
    project: str = ""
    location: str = ""
    on_gke: bool = True
    endpoint: EndpointChoice = "auto"
    environment: str = "live"
    live_url: str = ""
    cpu: int = 1
    memory: str = "800Mi"
    min_replicas: int = 2
    max_replicas: int = 4
    ingress: bool = True
    static_address: str | None = None
    certificate: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    service_account: str | None = None
    startup_seconds: int = 240
    progress_seconds: int = 600
    take_over: bool = False
    create_missing: bool = False
    repository: Repository | None = None
    platforms: tuple[str, ...] = ()

    def spot(self, place: Place) -> Spot:
        return self.live if place == "live" else self.staging

    @property
    def host(self) -> str:
        return urlsplit(self.live_url).hostname or ""


def wanted(config: Config) -> Wanted:
    chosen = config.settings
    environment = config.environment
    cluster = chosen.gke_cluster or (f"{chosen.name}-{environment}" if environment else chosen.name)
    staging = chosen.gke_staging_cluster or cluster
    if chosen.kubeconfig:
        cluster = staging = chosen.kube_context or "the kubeconfig's cluster"
    namespace = chosen.gke_namespace or chosen.name
    cpu = chosen.cpu_count or 1
    return Wanted(
        name=chosen.name,
        live=Spot(cluster, namespace),
        staging=Spot(staging, f"{namespace}-staging"),
        project=config.project(),
        location=chosen.gke_location or chosen.gcp_region,
        on_gke=not chosen.kubeconfig,
        endpoint=chosen.gke_endpoint,
        environment=environment or "live",
        live_url=config.live_url,
        cpu=cpu,
        memory=str(chosen.gcp_memory) if config.data.get("gcp_memory") else memory(chosen, cpu),
        min_replicas=chosen.gke_min_replicas,
        max_replicas=chosen.gke_max_replicas,
        ingress=chosen.gke_ingress,
        static_address=chosen.gke_static_address,
        certificate=chosen.gke_managed_certificate and not chosen.kubeconfig,
        labels=dict(chosen.gke_labels),
        annotations=dict(chosen.gke_annotations),
        node_selector=dict(chosen.gke_node_selector),
        service_account=chosen.gke_service_account,
        startup_seconds=chosen.gke_startup_seconds,
        progress_seconds=chosen.gke_progress_seconds,
        take_over=chosen.gke_take_over,
        create_missing=chosen.create_missing,
        repository=repository_of(config.image_repository()),
        platforms=chosen.platforms,
    )


def memory(chosen: Settings, cpu: int) -> str:
    """What the processes need that the runtime starts on so many CPUs."""
    tasks = (chosen.worker_count or max(2, 2 * cpu)) if chosen.with_async else 0
    return f"{MASTER + (2 * cpu + 1) * SERVER_WORKER + tasks * TASK_WORKER}Mi"
