"""What a cluster would refuse is said before anything is built, all of it together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Secret
from pymacaron_ci.simulator.faults import Fault
from pymacaron_ci.targets.gke.preflight import sizes
from pymacaron_ci.targets.gke.wanted import Spot
from tests.ci.targets.gke_world import World, release, serving


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Release 1 is live; what a test takes away from the cluster, it gives back."""
    with serving(tmp_path_factory.mktemp("cloud")) as made:
        yield made


@pytest.fixture
def lacking(cloud: World) -> Iterator[World]:
    yield cloud
    cloud.cluster(
        exists=True, status="RUNNING", version="1.36.1", public=True, dns=True, missing=[],
        denied=[],
    )  # fmt: skip


def refused(cloud: World, number: str = "2", **wanted: Any) -> str:
    with pytest.raises(DeployError) as caught:
        cloud.plan(release(number), **wanted)
    return "\n".join(map(str, caught.value.problems))


@pytest.mark.parametrize(
    ("settings", "wanted", "texts"),
    [
        ({"status": "PROVISIONING"}, {}, ["the cluster main is provisioning", "wait until"]),
        ({"status": "ERROR"}, {}, ["the cluster main is error"]),
        ({"version": "1.24.3"}, {}, ["v1.24.3; 1.25 is the oldest"]),
        ({"dns": False}, {"endpoint": "dns"}, ["no DNS endpoint", "--enable-dns-access"]),
        (
            {"denied": ["patch deployments.apps", "* secrets in hello", "get pods/log"]},
            {},
            [
                "lacks permissions in the namespace hello: patch deployments, get secrets",
                "in the namespace hello-staging: patch deployments, get pods/log",
                "docs/targets/gke.md",
            ],
        ),
        (
            {"missing": ["backendconfigs.cloud.google.com"]},
            {},
            ["knows nothing of cloud.google.com/v1", "HttpLoadBalancing"],
        ),
    ],
)
def test_what_is_wrong_with_a_cluster_is_told(
    lacking: World, settings: dict[str, Any], wanted: dict[str, Any], texts: list[str]
) -> None:
    lacking.cluster(**settings)
    told = refused(lacking, **wanted)
    for text in texts:
        assert text in told


def test_a_cluster_that_is_not_there_is_told_beside_those_that_are(cloud: World) -> None:
    cloud.cluster("other", exists=False)
    told = refused(cloud, live=Spot("other", "hello"))
    assert "has no cluster other in europe-west1" in told
    assert "there are main in europe-west1" in told


def test_a_cluster_that_we_may_not_look_at_leads_to_the_targets_page(cloud: World) -> None:
    cloud.fail(Fault(kind="403", path="clusters/main$"))
    assert "the roles that docs/targets/gke.md lists" in refused(cloud)


def test_a_usable_but_troubled_cluster_is_a_note(lacking: World) -> None:
    lacking.cluster(status="RECONCILING")
    assert "the cluster main is reconciling" in lacking.plan(release("2")).notes


def test_an_api_that_does_not_answer_is_told_with_what_may_keep_it_closed(cloud: World) -> None:
    class Deaf(requests.Session):
        def request(self, method: Any, url: Any, **options: Any) -> requests.Response:  # type: ignore[override]
            if "/clusters/demo" in str(url):
                raise requests.ConnectTimeout
            return super().request(method, url, **options)

    cloud.make_http = Deaf
    try:
        told = refused(cloud)
    finally:
        cloud.make_http = requests.Session
    assert "the cluster main gave no usable answer (ConnectTimeout)" in told
    assert "--enable-dns-access" in told


def test_objects_that_the_api_server_would_not_take_are_told_together(cloud: World) -> None:
    told = refused(cloud, memory="much", labels={"bad value": "x"})
    assert "Deployment hello in hello" in told
    assert "Deployment hello in hello-staging" in told


def test_a_deployment_with_another_selector_is_told(cloud: World) -> None:
    cloud.call("DELETE", "apis/apps/v1/namespaces/hello-old/deployments/hello")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "hello-old"}}
    pod = {
        "metadata": {"labels": {"app": "hello"}},
        "spec": {"containers": [{"name": "hello", "image": "hello"}]},
    }
    old = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "hello", "namespace": "hello-old"},
        "spec": {"selector": {"matchLabels": {"app": "hello"}}, "template": pod, "replicas": 0},
    }
    json_type = {"Content-Type": "application/json"}
    cloud.call("POST", "api/v1/namespaces", namespace, headers=json_type)
    made = cloud.call(
        "POST", "apis/apps/v1/namespaces/hello-old/deployments", old, headers=json_type
    )
    assert made.status_code == 201, made.text
    told = refused(cloud, live=Spot("main", "hello-old"), take_over=True)
    assert "immutable" in told


def test_what_may_not_be_looked_at_is_a_note(cloud: World) -> None:
    cloud.fail(Fault(kind="403", path="selfsubject", times=500))
    try:
        notes = cloud.plan(release("2")).notes
    finally:
        assert cloud.server
        cloud.server.faults.clear()
    assert any("not checked, we may not look: permissions in hello" in n for n in notes)


def test_secrets_that_no_object_can_hold_are_told() -> None:
    big = {"BIG": Secret("BIG", "x" * 2**20)}
    (found,) = sizes(replace(release("1"), environment=big))
    assert found.problem is not None
    assert "1048579 bytes" in found.problem.text
    assert list(sizes(release("1"))) == []
