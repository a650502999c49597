"""Google's simulated cloud, put together."""

from __future__ import annotations

from pathlib import Path

from pymacaron_ci.simulator.cloud_run.access import Access
from pymacaron_ci.simulator.cloud_run.iam import Policies
from pymacaron_ci.simulator.cloud_run.invokers import Invokers
from pymacaron_ci.simulator.cloud_run.operations import Operations
from pymacaron_ci.simulator.cloud_run.records import Records
from pymacaron_ci.simulator.cloud_run.revisions import Revisions
from pymacaron_ci.simulator.cloud_run.rollout import Rollouts, Timing
from pymacaron_ci.simulator.cloud_run.services import Services
from pymacaron_ci.simulator.files import read_json, write_json
from pymacaron_ci.simulator.google.api import GoogleApi
from pymacaron_ci.simulator.google.login import Login
from pymacaron_ci.simulator.google.logs import Logs
from pymacaron_ci.simulator.google.lookups import ArtifactRegistry, ResourceManager, ServiceUsage
from pymacaron_ci.simulator.google.policies import OrganisationPolicies
from pymacaron_ci.simulator.google.projects import Projects
from pymacaron_ci.simulator.google.secrets import SecretManager
from pymacaron_ci.simulator.google.tokens import TokenDesk
from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import Runner
from pymacaron_ci.waiting import Clock

LOCATIONS = (
    "africa-south1", "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2",
    "asia-northeast3",
    "asia-south1", "asia-south2", "asia-southeast1", "asia-southeast2", "australia-southeast1",
    "australia-southeast2", "europe-central2", "europe-north1", "europe-north2",
    "europe-southwest1",
    "europe-west1", "europe-west10", "europe-west12", "europe-west2", "europe-west3",
    "europe-west4",
    "europe-west6", "europe-west8", "europe-west9", "me-central1", "me-central2", "me-west1",
    "northamerica-northeast1", "northamerica-northeast2", "northamerica-south1",
    "southamerica-east1",
    "southamerica-west1", "us-central1", "us-east1", "us-east4", "us-east5", "us-south1",
    "us-west1",
    "us-west2",
    "us-west3", "us-west4",
)  # fmt: skip


class GoogleCloud:
    """One server for all APIs; its state lies in `folder`. `projects`, `tokens`, `api.faults` are
    for tests.
    """

    def __init__(
        self,
        folder: Path,
        runner: Runner,
        images: Images,
        *,
        clock: Clock,
        timing: Timing,
        strict_tokens: bool = False,
    ) -> None:
        self._ports = folder / "port.json"
        self.projects = Projects(folder / "projects.json")
        self.tokens = TokenDesk(folder / "key.json", strict=strict_tokens)
        self.secrets = SecretManager(self.projects)
        self.rollouts = Rollouts(
            Records(folder / "cloud_run.json"),
            runner,
            images,
            invokers=Invokers(self.projects, self.tokens),
            secrets=self.secrets.value,
            clock=clock,
            timing=timing,
        )
        access = Access(self.rollouts.records, self.projects, LOCATIONS)
        parts = (
            Services(access, self.rollouts, self.projects, images),
            Revisions(access),
            Operations(access),
            Policies(access, self.rollouts, self.projects),
            self.secrets,
            ResourceManager(self.projects),
            ServiceUsage(self.projects),
            OrganisationPolicies(self.projects),
            ArtifactRegistry(self.projects, images.store),
            Login(self.projects, self.tokens),
            Logs(self.projects, self.rollouts.records, runner, self.rollouts.urls.requests),
        )
        self.api = GoogleApi(
            [route for part in parts for route in part.routes()], self.tokens, clock
        )
        port = read_json(self._ports)
        self._server = self.api.serve(port if isinstance(port, int) else 0)
        write_json(self._ports, self._server.port)
        self.url = self._server.url
        self.rollouts.resume()

    def services(self) -> list[dict[str, object]]:
        """Each Cloud Run service: its name, URL, the revision with most of its traffic."""
        with self.rollouts.records.lock:
            return [
                {
                    "name": service.name,
                    "url": service.url,
                    "revision": max(
                        service.serving, key=lambda t: int(t.get("percent", 0)), default={}
                    ).get("revision"),
                    "instances": self.rollouts.instances(service),
                }
                for service in self.rollouts.records.services.values()
            ]

    def close(self) -> None:
        self._server.stop()
        self.rollouts.close()
