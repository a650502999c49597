"""Google's own client reads what a deployment left as the deployment meant it."""

from __future__ import annotations

from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import run_v2
from google.cloud.run_v2.services.services.transports.rest import ServicesRestTransport

from tests.ci.targets.cloud_run_world import PROJECT, release, world


def test_googles_own_client_sees_the_proven_release(tmp_path: Path) -> None:
    with world(tmp_path) as cloud:
        cloud.deploy(release("1"))
        cloud.deploy(release("2"), memory="1Gi")
        client = run_v2.ServicesClient(
            transport=ServicesRestTransport(
                host=cloud.simulation.google.url.removeprefix("http://"),
                url_scheme="http",
                credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            )
        )
        place = f"projects/{PROJECT}/locations/europe-west1/services"
        service = client.get_service(name=f"{place}/hello-live")

        assert [(t.revision, t.percent, t.tag) for t in service.traffic] == [
            ("hello-live-000000000002", 100, "")
        ]
        assert service.annotations["pymacaron-ci/proven"] == "hello-live-000000000002=100"
        assert service.annotations["pymacaron-ci/previous"] == "hello-live-000000000001=100"
        assert service.labels["pymacaron-release"] == release("2").id
        assert service.terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED
        container = service.template.containers[0]
        assert container.resources.limits["memory"] == "1Gi"
        assert container.resources.cpu_idle
        assert "@sha256:" in container.image
