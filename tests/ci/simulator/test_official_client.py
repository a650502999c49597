"""Google's own client library works against the simulated Cloud Run, and sees the same state."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials as Anonymous
from google.cloud import run_v2
from google.cloud.run_v2.services.revisions.transports.rest import RevisionsRestTransport
from google.cloud.run_v2.services.services.transports.rest import ServicesRestTransport

from tests.ci.simulator.world import PLACE, World

REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION


def anonymous() -> Any:
    return Anonymous()  # type: ignore[no-untyped-call]


def result(operation: Any) -> Any:
    return operation.result(timeout=20)


@pytest.fixture
def client(google: World) -> run_v2.ServicesClient:
    host = google.run.removeprefix("http://")
    transport = ServicesRestTransport(host=host, url_scheme="http", credentials=anonymous())
    return run_v2.ServicesClient(transport=transport)


def wanted(google: World, release: str) -> run_v2.Service:
    env = [run_v2.EnvVar(name="PYM_RELEASE", value=release)]
    container = run_v2.Container(image=google.image, env=env)
    template = run_v2.RevisionTemplate(revision=f"hello-{release}", containers=[container])
    return run_v2.Service(template=template)


def test_a_service_lives_its_life(google: World, client: run_v2.ServicesClient) -> None:
    made = result(
        client.create_service(parent=PLACE, service=wanted(google, "r1"), service_id="hello")
    )
    assert made.terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED
    assert made.uri == google.service()["uri"]
    service = wanted(google, "r2")
    service.name = made.name
    service.traffic = [
        run_v2.TrafficTarget(type_=REVISION, revision="hello-r1", percent=100),
        run_v2.TrafficTarget(type_=REVISION, revision="hello-r2", tag="c-2"),
    ]
    changed = result(client.update_service(service=service))
    assert changed.latest_ready_revision.endswith("/hello-r2")
    assert [t.percent for t in changed.traffic] == [100, 0]
    assert changed.generation == 2
    moved = result(
        client.update_service(
            service=run_v2.Service(
                name=made.name,
                traffic=[run_v2.TrafficTarget(type_=REVISION, revision="hello-r2", percent=100)],
            ),
            update_mask={"paths": ["traffic"]},
        )
    )
    assert [t.revision for t in moved.traffic_statuses] == ["hello-r2"]
    assert [s.name for s in client.list_services(parent=PLACE)] == [made.name]
    result(client.delete_service(name=made.name))
    with pytest.raises(exceptions.NotFound):
        client.get_service(name=made.name)


def test_errors_become_its_exceptions(google: World, client: run_v2.ServicesClient) -> None:
    with pytest.raises(exceptions.BadRequest, match="service_id"):
        client.create_service(parent=PLACE, service=run_v2.Service(), service_id="Bad")
    google.create()
    with pytest.raises(exceptions.Conflict, match="already exists"):
        client.create_service(parent=PLACE, service=wanted(google, "r1"), service_id="hello")
    stale = wanted(google, "r2")
    stale.name, stale.etag = f"{PLACE}/services/hello", '"MQ"'
    with pytest.raises(exceptions.Conflict, match="Conflict for resource"):
        client.update_service(service=stale)


def test_a_failed_operation_is_raised(google: World, client: run_v2.ServicesClient) -> None:
    service = wanted(google, "r1")
    service.template.containers[0].env.append(run_v2.EnvVar(name="BROKEN", value="exits"))
    operation = client.create_service(parent=PLACE, service=service, service_id="hello")
    with pytest.raises(exceptions.GoogleAPICallError, match="failed to start and listen"):
        result(operation)


def test_revisions_are_read(google: World) -> None:
    google.create(body=google.candidate("r1"))
    host = google.run.removeprefix("http://")
    revisions = run_v2.RevisionsClient(
        transport=RevisionsRestTransport(host=host, url_scheme="http", credentials=anonymous())
    )
    found = list(revisions.list_revisions(parent=f"{PLACE}/services/hello"))
    assert [r.name.rpartition("/")[2] for r in found] == ["hello-r1"]
    states = {c.type_: c.state for c in found[0].conditions}
    assert states["Ready"] == run_v2.Condition.State.CONDITION_SUCCEEDED


def test_public_access_is_granted(google: World, client: run_v2.ServicesClient) -> None:
    google.create()
    name = f"{PLACE}/services/hello"
    policy = client.get_iam_policy(request={"resource": name})
    policy.bindings.add(role="roles/run.invoker", members=["allUsers"])
    client.set_iam_policy(request={"resource": name, "policy": policy})
    assert client.get_iam_policy(request={"resource": name}).bindings[0].members == ["allUsers"]
