"""What quotas leave no room for is told before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Secret
from pymacaron_ci.simulator.faults import Fault
from pymacaron_ci.targets.gke.quota import amount, lacking
from tests.ci.targets.cloud_run_world import PROJECT
from tests.ci.targets.gke_world import World, release, serving

JSON = {"Content-Type": "application/json"}
QUOTAS = "api/v1/namespaces/hello/resourcequotas"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Release 1 is live: two pods of one CPU and 100 MiB each."""
    with serving(tmp_path_factory.mktemp("cloud")) as made:
        yield made


@pytest.fixture
def limited(cloud: World) -> Iterator[World]:
    yield cloud
    cloud.call("DELETE", f"{QUOTAS}/small")


def limit(cloud: World, **hard: str) -> None:
    """A quota, and its use told."""
    spec = {"hard": {name.replace("_", "."): value for name, value in hard.items()}}
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": "hello"},
        "spec": spec,
    }
    assert cloud.call("POST", QUOTAS, quota, headers=JSON).status_code == 201
    while "status" not in cloud.call("GET", f"{QUOTAS}/small").json():
        cloud.clock.sleep(0.1)


@pytest.mark.parametrize(
    ("hard", "told"),
    [
        ({"requests_cpu": "2"}, "requests.cpu is 2, of which 2 are used, and it needs 1 more"),
        ({"limits_memory": "250Mi"}, "limits.memory is 250Mi, of which 209715200 are used"),
        ({"pods": "2", "cpu": "9"}, "pods is 2, of which 2 are used, and it needs 1 more"),
        ({"secrets": "1"}, "secrets is 1, of which 1 are used, and it needs 1 more"),
    ],
)
def test_a_quota_without_room_for_a_rollout_is_told_once(
    limited: World, hard: dict[str, str], told: str
) -> None:
    limit(limited, **hard)
    with pytest.raises(DeployError) as caught:
        limited.plan(replace(release("2"), environment={"A": Secret("A", "another, 0123456789")}))
    (problem,) = caught.value.problems
    assert told in problem.text
    assert "the quota small in hello has no room for the rollout" in problem.text


def test_a_quota_that_is_large_enough_stays_silent(limited: World) -> None:
    limit(limited, requests_cpu="3", limits_memory="300Mi", pods="3", secrets="2")
    assert limited.deploy(release("2")).status == "deployed"


def test_a_pod_that_a_quota_refuses_is_told_where_quotas_may_not_be_read(limited: World) -> None:
    limit(limited, pods="2")
    assert limited.server
    # However often it is asked: on a busy machine an answer may be lost, and is asked for again.
    limited.fail(Fault(kind="403", method="GET", path="resourcequotas", times=100))
    with pytest.raises(DeployError, match="exceeded quota: small, requested: pods=1, used: pods=2"):
        limited.plan(release("3"))
    limited.server.faults.clear()


def test_a_region_without_cpus_for_more_nodes_is_a_note(cloud: World) -> None:
    assert cloud.server
    cloud.server.projects.change(PROJECT, cpu_quota=[71, 72])
    (note,) = [n for n in cloud.plan(release("4")).notes if "CPUs" in n]
    assert "the region europe-west1 has 1 of 72 CPUs left" in note
    cloud.server.projects.change(PROJECT, denied_permissions=["compute.regions.get"])
    assert not [n for n in cloud.plan(release("4")).notes if "CPUs" in n or "quota" in n]


def quota(name: str, hard: str, used: str = "0", **spec: Any) -> dict[str, Any]:
    status = {"hard": {name: hard}, "used": {name: used}}
    return {"metadata": {"name": "q"}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("found", "short"),
    [
        (quota("limits.cpu", "4", "2"), False),
        (quota("limits.cpu", "3500m", "2"), True),
        (quota("limits.cpu", "3500m", "2", scopes=["NotTerminating"]), True),
        (quota("limits.cpu", "3500m", "2", scopes=["BestEffort"]), False),
        (quota("limits.cpu", "1", "1", scopeSelector={"matchExpressions": [{}]}), False),
        (quota("requests.storage", "0"), False),
        ({"metadata": {"name": "new"}}, False),
    ],
)
def test_a_quota_counts_for_pods_like_ours(found: dict[str, Any], short: bool) -> None:
    assert bool(lacking(found, {"limits.cpu": Decimal(2)})) is short


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        ("1Gi", 2**30),
        ("1.5k", 1500),
        ("1e3", 1000),
        ("3M", 3 * 10**6),
        ("much", 0),
    ],
)
def test_quantities_are_read_as_kubernetes_writes_them(text: str, value: Any) -> None:
    assert amount(text) == Decimal(value)
