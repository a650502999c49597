"""What Google would refuse is said before anything is built, all of it together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pymacaron_ci.errors import DeployError
from pymacaron_ci.targets.artifact_registry import Repository, repository_of
from pymacaron_ci.targets.cloud_run.preflight import sizes
from pymacaron_ci.targets.cloud_run.wanted import SecretVersion
from tests.ci.targets.cloud_run_world import PROJECT, SERVICE, World, release, world

PLACE = Repository(project=PROJECT, location="europe-west1", name="pymacaron")
RUNTIME = "runtime@demo-project.iam.gserviceaccount.com"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("project", "wanted", "problem", "hint"),
    [
        ({"state": "DELETE_REQUESTED"}, {}, "is delete requested", "restore it"),
        (
            {"disabled_apis": ["artifactregistry.googleapis.com"]},
            {},
            "not enabled in the project demo-project: artifactregistry.googleapis.com",
            "gcloud services enable artifactregistry.googleapis.com",
        ),
        (
            {"disabled_apis": ["run.googleapis.com"]},
            {},
            "run.googleapis.com",
            "gcloud services enable",
        ),
        ({}, {"region": "mars-north1"}, "mars-north1", "gcloud run regions list"),
        (
            {"repositories": []},
            {"repository": PLACE},
            "no repository pymacaron in europe-west1",
            "create_missing: true",
        ),
        (
            {"denied_permissions": ["run.services.update", "run.revisions.list"]},
            {},
            "run.services.update, run.revisions.list",
            "roles/run.developer",
        ),
        (
            {"denied_permissions": ["run.services.setIamPolicy"]},
            {},
            "run.services.setIamPolicy",
            "roles/run.admin",
        ),
        (
            {"act_as_denied": [RUNTIME]},
            {"service_account": RUNTIME},
            f"may not let a service run as {RUNTIME}",
            "roles/iam.serviceAccountUser",
        ),
        (
            {"service_accounts": []},
            {"service_account": RUNTIME},
            f"no service account {RUNTIME}",
            "gcp_service_account",
        ),
        (
            {},
            {"secrets": {"DB": SecretVersion(name="db", version="3")}},
            "no secret db with the version 3",
            "gcloud secrets versions list db",
        ),
        (
            {"public_allowed": False},
            {},
            "forbids services that everybody",
            "gcp_check_callers: false",
        ),
        ({"exists": False}, {}, "Permission denied on resource project", "roles"),
        ({}, {"platforms": ("linux/arm64",)}, "Cloud Run runs linux/amd64", "platforms"),
    ],
)
def test_what_stands_in_the_way_is_told_before_anything_changes(
    cloud: World, project: dict[str, Any], wanted: dict[str, Any], problem: str, hint: str
) -> None:
    cloud.project(**project)
    with pytest.raises(DeployError) as refusal:
        cloud.plan(release("1"), **wanted)

    told = [p for p in refusal.value.problems if problem in p.text]
    assert told, refusal.value.problems
    assert hint in str(told[0].hint)
    assert {
        e.method for e in cloud.simulation.google.api.exchanges if "setIamPolicy" in e.target
    } == set()
    assert cloud.service() == {}


def test_all_that_is_wrong_is_told_at_once(cloud: World) -> None:
    cloud.project(
        disabled_apis=["artifactregistry.googleapis.com"],
        denied_permissions=["run.services.create"],
        act_as_denied=[RUNTIME],
    )
    with pytest.raises(DeployError) as refusal:
        cloud.plan(release("1", PORT="80"), service_account=RUNTIME)
    assert len(refusal.value.problems) == 4


def test_what_may_not_be_looked_at_is_named_and_no_obstacle(cloud: World) -> None:
    cloud.project(denied_permissions=["resourcemanager.projects.get", "serviceusage.services.get"])
    plan = cloud.plan(release("1"))
    assert any("the project" in note and "which APIs" in note for note in plan.notes)


def test_a_missing_repository_is_created_where_that_is_wished(cloud: World) -> None:
    cloud.project(repositories=[])
    target = cloud.target(repository=PLACE, create_missing=True)

    assert [str(s) for s in target.plan(release("1")).prepare] == [
        "create the image repository pymacaron"
    ]
    assert cloud.deploy(release("1"), target).status == "deployed"
    assert target.plan(release("2")).prepare == ()


def test_the_request_to_come_is_judged_by_cloud_run_itself(cloud: World) -> None:
    cloud.deploy(release("1"))
    with pytest.raises(DeployError, match="memory"):
        cloud.plan(release("2"), memory="64Mi")
    assert cloud.plan(release("2"), memory="1Gi").phases


def test_a_secret_of_secret_manager_is_pinned_to_its_version(cloud: World) -> None:
    cloud.project(secrets={"db": [{"state": "ENABLED", "data": "czNjcmV0"}]})
    cloud.deploy(release("1"), secrets={"DB": SecretVersion(name="db")})

    container = next(iter(cloud.revisions().values()))["containers"][0]
    assert {"secret": "db", "version": "1"} in [
        e["valueSource"]["secretKeyRef"] for e in container["env"] if "valueSource" in e
    ]
    assert "DB" in cloud.environment()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("K_SERVICE", "x", "Cloud Run's own variable"),
        ("BIG", "ü" * 16385, "32770 bytes"),
    ],
)
def test_an_environment_that_cloud_run_refuses_is_told_by_name(
    name: str, value: str, text: str
) -> None:
    (finding,) = sizes(SERVICE, release("1", **{name: value}))
    assert finding.problem is not None
    assert text in finding.problem.text
    assert value not in finding.problem.text or len(value) == 1


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (
            "europe-west1-docker.pkg.dev/my-project/services/hello",
            Repository(project="my-project", location="europe-west1", name="services"),
        ),
        (
            "us-docker.pkg.dev/example.com/my-project/services/hello",
            Repository(project="example.com:my-project", location="us", name="services"),
        ),
        ("docker.io/somebody/hello", None),
    ],
)
def test_the_repository_is_read_off_the_image(image: str, expected: Repository | None) -> None:
    assert repository_of(image) == expected
