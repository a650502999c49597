"""Deployments to a simulated cluster: from nothing to a rollback, and all that goes wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Image, Release, Secret, Step
from pymacaron_ci.targets.gke import Gke, workload
from pymacaron_ci.targets.gke.resources import path
from pymacaron_ci.targets.gke.steps import BringBack, RollOut
from tests.ci.targets.cloud_run_world import Builder
from tests.ci.targets.gke_world import KUBECTL, SECRET, World, release, serving, world
from tests.matrix.prober import Prober


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("empty")) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Release 1 is live. Tests leave the cluster such that the next one can deploy to it."""
    with serving(tmp_path_factory.mktemp("shared")) as made:
        yield made


def test_a_first_deployment_proves_staging_then_live(empty: World) -> None:
    report = empty.deploy(release("1"))
    assert report.status == "deployed", report
    assert report.url == empty.public_url()
    assert empty.answers() == release("1").id
    assert empty.running("staging") == release("1").id
    assert empty.marks() == {"proven": release("1").id}
    assert empty.environment()["A_SECRET"] == SECRET
    assert empty.environment()["PYM_ENV"] == "live"
    assert empty.deploy(release("1")).status == "unchanged"


def test_values_reach_the_container_byte_for_byte(shared: World) -> None:
    value = "a=b $(HOME) $$ \"quoted\" 'x'\nsecond line, ü, \\n"
    new = release("2", PLAIN=value)
    assert shared.deploy(new).status == "deployed"
    assert shared.environment()["PLAIN"] == value


def test_a_secret_is_nowhere_but_in_its_object(shared: World) -> None:
    encoded = shared.call("GET", path("Secret", "hello")).json()["items"]
    assert any(SECRET in s.values() for s in shared.secrets().values())
    assert encoded[0]["immutable"] is True
    for kind in ("Deployment", "ReplicaSet", "Pod", "Service", "Event", "Ingress"):
        assert SECRET not in json.dumps(shared.every(kind))
    assert SECRET not in "\n".join(shared.said)


def test_a_release_that_fails_its_tests_is_undone_and_live_never_notices(shared: World) -> None:
    before, template = shared.answers(), shared.template("staging")
    with Prober.at(shared.public_url()) as prober:
        report = shared.deploy(release("3", BROKEN="tests"))
    assert report.status == "undone", report
    assert report.exit_code == 6
    assert shared.answers() == before
    assert shared.template("staging") == template
    assert prober.failures == []
    assert shared.plan(release("3")).current is not None


def test_a_broken_live_rollout_is_undone_under_traffic(shared: World) -> None:
    before, template = shared.answers(), shared.template()
    with Prober.at(shared.public_url()) as prober:
        target = shared.target()
        original = target.verify

        def verify(phase: Any, changes: Any) -> Any:
            verdict = original(phase, changes)
            return replace(verdict, ok=False, reason="no") if phase.name == "live" else verdict

        target.verify = verify  # type: ignore[method-assign]
        report = shared.deploy(release("4"), target)
    assert report.status == "undone", report
    assert shared.answers() == before
    assert shared.template() == template
    assert prober.failures == []


@pytest.mark.parametrize(
    ("broken", "text", "detail"),
    [
        ("exits", "the container ended (Error, exit code 1)", "ImportError: no module"),
        ("down", "Startup probe failed: HTTP probe failed with statuscode: 503", "not ready"),
        ("deaf", "Startup probe failed", "connection refused"),
    ],
)
def test_pods_that_never_start_are_told_with_their_last_words(
    shared: World, broken: str, text: str, detail: str
) -> None:
    before = shared.answers()
    report = shared.deploy(release("5", BROKEN=broken), startup_seconds=2, progress_seconds=7)
    assert report.status == "undone", report
    assert text in report.problems[0].text
    assert report.problems[0].hint
    assert detail in "\n".join(report.notes)
    assert shared.answers() == before


def test_an_image_that_is_not_there_is_told_at_once(shared: World) -> None:
    class Unpushed(Builder):
        def push(self, image: Image) -> Image:
            return replace(image, repository=f"{self.registry}/none", digest="sha256:" + "0" * 64)

    report = shared.deploy(release("6"), builder=Unpushed(shared.registry))
    assert report.status == "undone"
    assert "ImagePull" in report.problems[0].text
    assert "read the image's repository" in (report.problems[0].hint or "")
    # the next run makes the image right
    assert shared.deploy(release("6")).status == "deployed"


def test_a_pod_that_no_node_has_room_for_is_told(shared: World) -> None:
    report = shared.deploy(release("7"), memory="900Gi")
    assert "no node has room for it" in report.problems[0].text
    assert report.status == "undone"


def test_fields_that_somebody_else_manages_stop_the_plan(shared: World) -> None:
    body = {"metadata": {"labels": {"app.kubernetes.io/version": "mine"}}}
    where = path("Deployment", "hello", "hello")
    shared.call("PATCH", where, body, headers=KUBECTL, params={"fieldManager": "kubectl-edit"})
    with pytest.raises(DeployError) as caught:
        shared.plan(release("8"))
    text = caught.value.problems[0].text
    assert "others manage fields of it" in text
    assert "kubectl-edit" in text
    assert "app.kubernetes.io/version" in text
    assert shared.deploy(release("8"), take_over=True).status == "deployed"
    assert shared.deploy(release("9")).status == "deployed"


def test_a_rollback_brings_the_former_release_back_and_forth(shared: World) -> None:
    shared.deploy(release("1", WORD="one"))
    shared.deploy(release("2", WORD="two", NEW="yes"))
    for expected, word in (("1", "one"), ("2", "two")):
        live = shared.target().live()
        assert live.previous is not None
        assert live.proven
        with Prober.at(shared.public_url()) as prober:
            report = shared.deploy(live.previous)
        assert report.status == "deployed", report
        assert prober.failures == []
        assert shared.answers() == release(expected).id
        assert shared.environment()["WORD"] == word
        assert ("NEW" in shared.environment()) == (expected == "2")


def test_a_rollback_to_what_is_gone_says_so(shared: World) -> None:
    gone = replace(release("99"), kept=True)
    with pytest.raises(DeployError, match="no release 000000000099 in its history"):
        shared.plan(gone)


def test_secrets_of_releases_that_are_gone_from_the_history_are_removed(
    shared: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "HISTORY", 1)
    for number in range(20, 24):
        secret = {"A_SECRET": Secret("A_SECRET", f"{SECRET}-{number}")}
        new = replace(release(f"{number}"), environment=secret)
        assert shared.deploy(new).status == "deployed"
    kept = sorted(v["A_SECRET"] for v in shared.secrets().values())
    assert kept == [f"{SECRET}-22", f"{SECRET}-23"]


def test_a_run_that_died_while_live_rolled_out_is_undone_before_another_release(
    shared: World,
) -> None:
    before = shared.answers()
    die(shared, release("31"))
    assert shared.running() == release("31").id
    plan = shared.plan(release("32"))
    assert [p.name for p in plan.phases] == ["recover", "staging", "live", "finish"]
    assert isinstance(plan.phases[0].steps[0], BringBack)
    assert any(f"{release('31').id} is not proven" in note for note in plan.notes)
    assert shared.deploy(release("32", BROKEN="tests")).status == "undone"
    assert shared.running() == shared.answers() == before
    die(shared, release("33"))
    assert shared.deploy(release("33")).status == "deployed"
    assert shared.marks() == {"proven": release("33").id, "previous": before}


def die(cloud: World, new: Release) -> None:
    """A run that rolls its release out on live, and is never heard of again."""
    target = cloud.target()
    made = replace(new, image=Builder(cloud.registry).push(new.image))
    for phase in target.plan(made).phases:
        for step in phase.steps:
            target.apply(step, made)
            if isinstance(step, RollOut) and step.place == "live":
                return


def test_somebody_elses_change_stops_the_deployment_and_stays(shared: World) -> None:
    class Meddled(Gke):
        def apply(self, step: Step, release: Release) -> Any:
            if isinstance(step, RollOut) and step.place == "live":
                body = {"spec": {"template": {"metadata": {"annotations": {"by": "hand"}}}}}
                where = path("Deployment", "hello", "hello")
                shared.call("PATCH", where, body, headers=KUBECTL, params={"fieldManager": "me"})
            return super().apply(step, release)

    target = shared.target()
    target.__class__ = Meddled
    report = shared.deploy(release("41"), target)
    assert "somebody else changed the Deployment" in report.problems[0].text
    assert shared.template()["metadata"]["annotations"]["by"] == "hand"
    assert shared.deploy(release("42")).status == "deployed"


def test_of_two_runs_at_once_one_stops_and_live_is_proven(shared: World) -> None:
    reports: list[Any] = []
    threads = [
        threading.Thread(target=lambda n=n: reports.append(shared.deploy(release(n))))
        for n in ("51", "52")
    ]
    with Prober.at(shared.public_url()) as prober:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    assert prober.failures == []
    assert len(reports) == 2
    done = [r.release.id for r in reports if r.status == "deployed"]
    assert len(done) <= 1 or shared.answers() == done[-1]
    assert shared.deploy(release("52")).exit_code == 0
    assert shared.answers() == shared.running("staging") == release("52").id


def test_a_first_deployment_that_fails_leaves_nothing_but_namespaces(tmp_path: Path) -> None:
    with world(tmp_path) as cloud:
        report = cloud.deploy(release("1", BROKEN="tests"))
        assert report.status == "undone", report
        for place in ("staging", "live"):
            for kind in ("Deployment", "Secret", "Service", "Ingress", "ServiceAccount"):
                left = [o["metadata"]["name"] for o in cloud.every(kind, place)]
                assert left in ([], ["default"]), kind
        assert cloud.deploy(release("2")).status == "deployed"
