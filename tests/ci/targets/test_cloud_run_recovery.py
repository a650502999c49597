"""Whatever happens on the way: the next run converges, and people keep what they changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pymacaron_ci import pipeline
from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Image, Plan, Release
from pymacaron_ci.targets.cloud_run import CloudRun
from pymacaron_ci.targets.cloud_run.steps import MarkProven, ServiceStep, ShiftTraffic
from tests.ci.fakes import FakeReporter
from tests.ci.targets.cloud_run_world import (
    PROJECT,
    Builder,
    Checks,
    World,
    release,
    world,
)
from tests.matrix.prober import Prober

STEPS = (10, 50, 100)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def die(cloud: World, new: Release, until: Callable[[ServiceStep], bool], **wanted: Any) -> None:
    """A run that makes the plan's steps up to one, and is never heard of again."""
    target = cloud.target(**wanted)
    builder = Builder(cloud.simulation.endpoints.registry)
    made = Release(**{**vars(new), "image": builder.push(new.image)})
    for phase in target.plan(made).phases:
        for step in phase.steps:
            assert isinstance(step, ServiceStep)
            target.apply(step, made)
            if until(step):
                return


def half_way(step: ServiceStep) -> bool:
    return isinstance(step, ShiftTraffic) and step.percent == 50


def whole_way(step: ServiceStep) -> bool:
    return isinstance(step, ShiftTraffic) and step.percent == 100


def names(plan: Plan) -> list[str]:
    return [phase.name for phase in plan.phases]


def test_a_run_that_died_half_way_is_finished_by_the_same_release(cloud: World) -> None:
    cloud.deploy(release("1"))
    die(cloud, release("2"), half_way, traffic_steps=STEPS)
    assert cloud.traffic() == {"hello-live-000000000001": 50, "hello-live-000000000002": 50}

    plan = cloud.plan(release("2"), traffic_steps=STEPS)
    assert names(plan) == ["staging", "candidate", "live at 50 %", "live", "finish"]
    assert plan.current is not None
    assert plan.current.id == release("1").id
    report = cloud.deploy(release("2"), traffic_steps=STEPS)
    assert report.status == "deployed"
    assert cloud.traffic() == {"hello-live-000000000002": 100}
    assert cloud.tags() == set()


@pytest.mark.parametrize("until", [half_way, whole_way])
def test_requests_on_an_unproven_release_go_back_before_another_is_deployed(
    cloud: World, until: Callable[[ServiceStep], bool]
) -> None:
    cloud.deploy(release("1"))
    die(cloud, release("2"), until, traffic_steps=STEPS)

    plan = cloud.plan(release("3"))
    assert names(plan)[0] == "recover"
    assert any("hello-live-000000000002 is not proven (https://ci.test/1)" in n for n in plan.notes)
    assert cloud.deploy(release("3", BROKEN="tests")).status == "undone"
    assert cloud.answers() == release("1").id
    assert cloud.traffic() == {"hello-live-000000000001": 100}
    assert cloud.tags() == set()


def test_deploying_the_proven_release_again_ends_what_a_dead_run_began(cloud: World) -> None:
    cloud.deploy(release("1"))
    die(cloud, release("2"), half_way, traffic_steps=STEPS)

    assert names(cloud.plan(release("1"))) == ["live", "finish"]
    assert cloud.deploy(release("1")).status == "deployed"
    assert cloud.traffic() == {"hello-live-000000000001": 100}
    assert cloud.tags() == set()
    assert cloud.plan(release("1")).phases == ()


def test_a_release_that_did_not_start_is_tried_again_under_another_name(cloud: World) -> None:
    cloud.deploy(release("1"))
    for attempt in ("2", "3"):
        assert cloud.deploy(release("2", BROKEN="exits")).status == "undone", attempt
    assert sorted(cloud.revisions("hello-staging")) == [
        "hello-staging-000000000001",
        "hello-staging-000000000002",
        "hello-staging-000000000002-2",
    ]
    assert cloud.deploy(release("2")).status == "deployed"
    assert cloud.traffic("hello-staging") == {"hello-staging-000000000002-3": 100}


def test_a_release_whose_tests_failed_is_proven_anew_with_the_same_revision(cloud: World) -> None:
    cloud.deploy(release("1"))
    assert cloud.deploy(release("2", BROKEN="tests")).status == "undone"
    assert cloud.deploy(release("2", BROKEN="tests")).status == "undone"
    assert len(cloud.revisions("hello-staging")) == 2


def test_another_image_of_the_same_release_is_another_revision(cloud: World) -> None:
    cloud.deploy(release("1"))
    die(cloud, release("2"), half_way, traffic_steps=STEPS)
    name = cloud.revisions()["hello-live-000000000002"]["containers"][0]["image"]

    class OtherImage(Builder):
        def push(self, image: Image) -> Image:
            pushed = super().push(image)
            return Image(**{**vars(pushed), "tag": "other", "repository": pushed.repository + "2"})

    from tests.ci.simulator.images import push

    push(cloud.simulation.endpoints.registry, "demo-project/pymacaron/hello2")
    report = pipeline.run(
        pipeline.Job(
            release=release("2"),
            target=cloud.target(),
            builder=OtherImage(cloud.simulation.endpoints.registry),
            checks=Checks(cloud.clock),
            reporter=FakeReporter(cloud.said),
        )
    )
    assert report.status == "deployed", report
    assert cloud.traffic() == {"hello-live-000000000002-2": 100}
    assert cloud.revisions()["hello-live-000000000002-2"]["containers"][0]["image"] != name


def test_a_rollback_brings_the_former_release_back_and_forth(cloud: World) -> None:
    cloud.deploy(release("1", WORD="one"))
    cloud.deploy(release("2", WORD="two"))
    for expected, word in (("1", "one"), ("2", "two")):
        live = cloud.target().live()
        assert live.previous is not None
        assert live.proven
        with Prober.at(cloud.service()["uri"]) as prober:
            report = cloud.deploy(live.previous)
        assert report.status == "deployed", report
        assert prober.failures == []
        assert cloud.answers() == release(expected).id
        assert cloud.environment()["WORD"] == word
        assert cloud.tags() == set()


def test_a_rollback_to_what_is_gone_says_so(cloud: World) -> None:
    cloud.deploy(release("1"))
    gone = Release(**{**vars(release("9")), "kept": True})
    with pytest.raises(DeployError, match="no revision of the release 000000000009 that works"):
        cloud.plan(gone)


def patch(cloud: World, mask: str, **fields: Any) -> None:
    """Somebody else's change."""
    path = f"v2/projects/{PROJECT}/locations/europe-west1/services/hello-live"
    url = f"{cloud.simulation.google.url}/{path}"
    answer = requests.patch(url, params={"updateMask": mask}, json=fields, timeout=10)
    assert answer.status_code == 200, answer.text
    while cloud.service().get("reconciling"):
        threading.Event().wait(0.02)


def to(revision: str, percent: int) -> dict[str, Any]:
    kind = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
    return {"type": kind, "revision": revision, "percent": percent}


@pytest.mark.parametrize("after", ["plan", "AddRevision"])
def test_somebody_elses_change_stops_the_deployment_and_stays(cloud: World, after: str) -> None:
    cloud.deploy(release("1"))
    cloud.deploy(release("2"))

    class Meddled(CloudRun):
        def apply(self, step: Any, release: Release) -> Any:
            change = super().apply(step, release)
            if step.service == "hello-live" and type(step).__name__ == after:
                patch(cloud, "traffic", traffic=[to("hello-live-000000000001", 100)])
            return change

        def plan(self, release: Release) -> Plan:
            plan = super().plan(release)
            if after == "plan":
                patch(cloud, "traffic", traffic=[to("hello-live-000000000001", 100)])
            return plan

    target = Meddled(cloud.wanted, cloud.session(), progress=cloud.said.append)
    report = cloud.deploy(release("3"), target)
    assert report.exit_code != 0
    assert "somebody else changed hello-live" in report.problems[0].text
    assert cloud.traffic() == {"hello-live-000000000001": 100}
    assert cloud.tags() == set()


def test_a_service_made_by_other_means_is_taken_over_and_put_back(cloud: World) -> None:
    cloud.deploy(release("1"))
    marks = cloud.service()["annotations"]
    patch(
        cloud,
        "annotations,labels,traffic",
        annotations={"team": "web"},
        labels={"cost": "7"},
        traffic=[
            {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100},
            {**to("hello-live-000000000001", 0), "tag": "keep-me"},
        ],
    )
    assert marks
    assert cloud.deploy(release("2", BROKEN="tests")).status == "undone"
    assert cloud.answers() == release("1").id

    report = cloud.deploy(release("3"))
    assert report.status == "deployed"
    service = cloud.service()
    assert service["annotations"]["team"] == "web"
    assert service["labels"]["cost"] == "7"
    assert cloud.tags() == {"keep-me"}
    assert cloud.traffic() == {"hello-live-000000000003": 100}
    live = cloud.target().live()
    assert live.previous is not None
    assert live.previous.id == release("1").id


def test_traffic_that_a_person_shifted_by_hand_is_what_a_failure_goes_back_to(cloud: World) -> None:
    cloud.deploy(release("1"))
    cloud.deploy(release("2"))
    patch(cloud, "traffic", traffic=[to("hello-live-000000000001", 100)])
    assert cloud.deploy(release("3", BROKEN="tests")).status == "undone"
    assert cloud.traffic() == {"hello-live-000000000001": 100}


def test_of_two_runs_at_once_one_stops_and_live_is_proven(cloud: World) -> None:
    cloud.deploy(release("1"))
    reports: list[Any] = []
    threads = [
        threading.Thread(target=lambda n=n: reports.append(cloud.deploy(release(n))))
        for n in ("2", "3")
    ]
    with Prober.at(cloud.service()["uri"]) as prober:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert prober.failures == []
    done = [r for r in reports if r.status == "deployed"]
    assert len(reports) == 2
    assert cloud.answers() in {release("1").id, *(r.release.id for r in done)}
    assert cloud.deploy(release("3")).exit_code == 0
    assert cloud.answers() == cloud.answers("hello-staging") == release("3").id
    assert cloud.tags() == set()


def test_finishing_is_repeated_by_the_next_run_when_it_failed(cloud: World) -> None:
    cloud.deploy(release("1"))

    class Forgetful(CloudRun):
        def apply(self, step: Any, release: Release) -> Any:
            if isinstance(step, MarkProven):
                raise DeployError("no more")
            return super().apply(step, release)

    target = Forgetful(cloud.wanted, cloud.session(), progress=cloud.said.append)
    assert cloud.deploy(release("2"), target).status == "deployed"
    assert cloud.tags() != set()
    assert cloud.deploy(release("2")).status == "deployed"
    assert cloud.tags() == set()
    assert cloud.deploy(release("2")).status == "unchanged"
