"""Private and public services, traffic in steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ci.targets.cloud_run_world import World, release, world
from tests.matrix.prober import Prober


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def test_a_private_service_is_proven_with_an_identity(cloud: World) -> None:
    assert cloud.deploy(release("1"), public=False).status == "deployed"
    assert cloud.answers() == cloud.answers("hello-staging") == "403"
    assert cloud.deploy(release("2"), public=False).status == "deployed"

    report = cloud.deploy(release("3", BROKEN="tests"), public=False)
    assert (report.status, report.exit_code) == ("undone", 6), report
    headers = cloud.target(public=False).live().headers
    assert cloud.answers(headers=headers) == release("2").id


@pytest.mark.parametrize(("first", "then"), [(True, False), (False, True)])
def test_a_service_changes_between_public_and_private_with_its_release(
    cloud: World, first: bool, then: bool
) -> None:
    assert cloud.deploy(release("1"), public=first).status == "deployed"
    assert cloud.deploy(release("2", BROKEN="tests"), public=then).status == "undone"
    assert (cloud.answers() == "403") is not first

    report = cloud.deploy(release("3"), public=then)
    assert report.status == "deployed", report
    assert (cloud.answers() == "403") is not then


def test_where_nobody_may_look_up_the_policy_the_refusal_comes_before_live(cloud: World) -> None:
    cloud.project(public_allowed=False, denied_permissions=["orgpolicy.policy.get"])
    report = cloud.deploy(release("1"))
    assert report.status == "undone"
    assert "gcp_check_callers" in str(report.problems[0].hint)
    assert cloud.service() == cloud.service("hello-staging") == {}


def test_a_service_is_public_without_a_policy_where_callers_are_not_checked(cloud: World) -> None:
    cloud.project(public_allowed=False)
    assert cloud.deploy(release("1"), check_callers=False).status == "deployed"
    assert cloud.answers() == release("1").id
    assert cloud.plan(release("1"), check_callers=False).phases == ()


def test_traffic_moves_in_steps_and_each_is_watched(cloud: World) -> None:
    cloud.deploy(release("1"))
    shares: list[dict[str, int]] = []

    class Watching(list[str]):
        def append(self, text: str) -> None:
            if text.startswith("watching"):
                shares.append(cloud.traffic())
            super().append(text)

    cloud.said = Watching()
    with Prober.at(cloud.service()["uri"]) as prober:
        report = cloud.deploy(release("2"), traffic_steps=(10, 50, 100), soak_seconds=2)
    assert report.status == "deployed"
    assert [s.get("hello-live-000000000002") for s in shares] == [10, 50, 100]
    assert prober.failures == []


def test_a_step_in_which_real_callers_fail_sends_all_requests_back(cloud: World) -> None:
    """The checks see nothing: /ping answers, tests pass. The request log tells."""
    cloud.deploy(release("1"))
    with Prober.at(cloud.service()["uri"], path="/sometimes") as prober:
        report = cloud.deploy(
            release("2", BROKEN="callers"), traffic_steps=(50, 100), soak_seconds=30
        )
    assert report.status == "undone", report
    assert "of the" in report.problems[0].text
    assert "requests that reached it" in report.problems[0].text
    assert set(prober.failures) == {"500"}
    assert cloud.traffic() == {"hello-live-000000000001": 100}


def test_a_second_step_that_turns_bad_sends_all_requests_back(cloud: World) -> None:
    cloud.deploy(release("1"))

    class TurningBad(list[str]):
        """The release breaks once it has half of the requests."""

        def append(self, text: str) -> None:
            if text.startswith("watching") and cloud.traffic()["hello-live-000000000002"] == 50:
                for instance in cloud.simulation.runner.started:  # type: ignore[attr-defined]
                    if instance.environment["PYM_RELEASE"] == release("2").id:
                        instance.broken = "down"
            super().append(text)

    cloud.said = TurningBad()
    report = cloud.deploy(release("2"), traffic_steps=(10, 50, 100), soak_seconds=4)

    assert report.status == "undone", report
    assert "stopped answering" in report.problems[0].text
    assert cloud.traffic() == {"hello-live-000000000001": 100}
    assert cloud.traffic("hello-staging") == {"hello-staging-000000000001": 100}
    assert cloud.tags() == set()
