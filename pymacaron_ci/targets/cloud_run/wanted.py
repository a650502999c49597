"""What the configuration asks of the two services. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pymacaron_ci.config import Config
from pymacaron_ci.targets.artifact_registry import Repository, repository_of

Place = Literal["staging", "live"]

INGRESS = {
    "all": "INGRESS_TRAFFIC_ALL",
    "internal": "INGRESS_TRAFFIC_INTERNAL_ONLY",
    "internal-and-cloud-load-balancing": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
    "none": "INGRESS_TRAFFIC_NONE",
}
EGRESS = {"private-ranges-only": "PRIVATE_RANGES_ONLY", "all-traffic": "ALL_TRAFFIC"}
GENERATION = {
    "gen1": "EXECUTION_ENVIRONMENT_GEN1",
    "gen2": "EXECUTION_ENVIRONMENT_GEN2",
    None: None,
}


@dataclass(frozen=True, kw_only=True)
class SecretVersion:
    """A secret of Secret Manager; `name` may be of another project: projects/p/secrets/n."""

    name: str
    version: str = "latest"

    @classmethod
    def parse(cls, text: str) -> SecretVersion:
        name, _, version = text.partition(":")
        return cls(name=name, version=version or "latest")

    def path(self, project: str) -> str:
        whole = self.name if "/" in self.name else f"projects/{project}/secrets/{self.name}"
        return f"{whole}/versions/{self.version}"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Where to deploy, and how a revision is to run."""

    name: str
    project: str
    region: str
    staging: str
    live: str
    live_url: str = ""
    memory: str = "512Mi"
    cpu: str | None = None
    concurrency: int = 80
    min_instances: int = 0
    max_instances: int | None = None
    timeout: int | None = None
    service_account: str | None = None
    vpc_connector: str | None = None
    network: str | None = None
    subnet: str | None = None
    egress: str = "PRIVATE_RANGES_ONLY"
    ingress: str = "INGRESS_TRAFFIC_ALL"
    public: bool = True
    check_callers: bool = True
    startup_probe: str = "/ping"
    startup_seconds: int = 240
    execution_environment: str | None = None
    cpu_always: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    session_affinity: bool = False
    traffic_steps: tuple[int, ...] = (100,)
    soak_seconds: int = 0
    create_missing: bool = False
    secrets: Mapping[str, SecretVersion] = field(default_factory=dict)
    repository: Repository | None = None
    platforms: tuple[str, ...] = ()

    @property
    def location(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"

    def service(self, place: Place) -> str:
        return self.live if place == "live" else self.staging

    def place(self, service: str) -> Place:
        return "live" if service == self.live else "staging"

    def path(self, service: str) -> str:
        return f"{self.location}/services/{service}"


def wanted(config: Config, project: str | None = None) -> Wanted:
    """`project`: what to use where the configuration names none."""
    chosen = config.settings
    service = config.cloud_run_service(project)
    return Wanted(
        name=chosen.name,
        project=config.project(project),
        region=chosen.gcp_region,
        staging=chosen.gcp_staging_service or f"{service}-staging",
        live=f"{service}-live",
        live_url=config.live_url,
        memory=str(chosen.gcp_memory),
        cpu=None if chosen.gcp_cpu is None else str(chosen.gcp_cpu),
        concurrency=chosen.gcp_request_concurrency,
        min_instances=chosen.gcp_min_instances,
        max_instances=chosen.gcp_max_instances,
        timeout=chosen.gcp_timeout,
        service_account=chosen.gcp_service_account,
        vpc_connector=chosen.gcp_vpc_connector,
        network=chosen.gcp_network,
        subnet=chosen.gcp_subnet,
        egress=EGRESS[chosen.gcp_vpc_egress],
        ingress=INGRESS[chosen.gcp_ingress],
        public=chosen.gcp_public,
        check_callers=chosen.gcp_check_callers,
        startup_probe=chosen.gcp_startup_probe,
        startup_seconds=chosen.gcp_startup_seconds,
        execution_environment=GENERATION[chosen.gcp_execution_environment],
        cpu_always=chosen.gcp_cpu_always,
        labels=dict(chosen.gcp_labels),
        session_affinity=chosen.gcp_session_affinity,
        traffic_steps=chosen.gcp_traffic_steps,
        soak_seconds=chosen.gcp_soak_seconds,
        create_missing=chosen.create_missing,
        secrets={n: SecretVersion.parse(text) for n, text in chosen.gcp_secrets.items()},
        repository=repository_of(config.image_repository(project)),
        platforms=chosen.platforms,
    )
