"""Deployments to a simulated Cloud Run, from the first one to the one that has to be undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ci.targets.cloud_run_world import SECRET, World, release, world
from tests.matrix.prober import Prober


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def test_a_first_deployment_makes_both_services_and_proves_them(cloud: World) -> None:
    report = cloud.deploy(release("1"))

    assert (report.status, report.changed) == ("deployed", True), report
    assert cloud.answers("hello-staging") == cloud.answers("hello-live") == release("1").id
    assert cloud.traffic() == {"hello-live-000000000001": 100}
    assert cloud.tags() == set()
    assert report.url == cloud.service()["uri"]


def test_the_container_gets_exactly_its_environment(cloud: World) -> None:
    cloud.deploy(release("1", EXTRA="x=y\n'\"$"))
    assert {k: v for k, v in cloud.environment().items() if not k.startswith("K_")} == {
        "PORT": "8080",
        "PYM_ENV": "hello-live",
        "PYM_RELEASE": release("1").id,
        "A_SECRET": SECRET,
        "EXTRA": "x=y\n'\"$",
    }
    assert cloud.environment("hello-staging")["PYM_ENV"] == "hello-staging"

    cloud.deploy(release("2"))
    assert "EXTRA" not in cloud.environment()


def test_a_second_deployment_moves_the_requests_without_losing_one(cloud: World) -> None:
    cloud.deploy(release("1"))
    with Prober.at(cloud.service()["uri"]) as prober:
        report = cloud.deploy(release("2"))

    assert report.status == "deployed"
    assert report.previous is not None
    assert report.previous.id == release("1").id
    assert prober.failures == []
    assert cloud.answers() == release("2").id
    assert cloud.traffic() == {"hello-live-000000000002": 100}
    assert cloud.tags() == set()


def test_the_same_release_again_has_nothing_to_do(cloud: World) -> None:
    cloud.deploy(release("1"))
    before = cloud.service()
    report = cloud.deploy(release("1"))
    assert (report.status, report.changed, report.exit_code) == ("unchanged", False, 0)
    assert cloud.service() == before


@pytest.mark.parametrize("how", ["exits", "deaf", "tests"])
def test_a_broken_release_never_gets_requests(cloud: World, how: str) -> None:
    cloud.deploy(release("1"))
    with Prober.at(cloud.service()["uri"]) as prober:
        report = cloud.deploy(release("2", BROKEN=how))

    assert report.status == "undone", report
    assert prober.failures == []
    assert cloud.answers() == cloud.answers("hello-staging") == release("1").id
    assert cloud.tags() == set()


def test_a_broken_first_release_leaves_nothing_behind(cloud: World) -> None:
    report = cloud.deploy(release("1", BROKEN="tests"))
    assert report.status == "undone"
    assert cloud.service("hello-staging") == cloud.service("hello-live") == {}


def test_a_container_that_does_not_start_shows_its_log(cloud: World) -> None:
    cloud.deploy(release("1"))
    report = cloud.deploy(release("2", BROKEN="exits"))
    assert report.exit_code == 5
    assert any("ImportError: no module named nothing" in line for line in report.notes), report
    assert "is not ready" in report.problems[0].text
