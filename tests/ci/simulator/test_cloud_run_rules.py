"""What Cloud Run refuses, each in its own words, before anything is changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from pymacaron_ci.simulator.cloud_run import rules, schema
from pymacaron_ci.simulator.google.errors import ApiError
from tests.ci.simulator.world import LATEST, PLACE, World, pinned

Json = dict[str, Any]
GOOD: Json = {"template": {"containers": [{"image": "registry/image:tag"}]}}
SIZE = 2**20


def container(**fields: Any) -> Callable[[Json], None]:
    return lambda spec: spec["template"]["containers"][0].update(fields)


def template(**fields: Any) -> Callable[[Json], None]:
    return lambda spec: spec["template"].update(fields)


def top(**fields: Any) -> Callable[[Json], None]:
    return lambda spec: spec.update(fields)


def limits(cpu: str, memory: str, **fields: Any) -> Callable[[Json], None]:
    def change(spec: Json) -> None:
        spec["template"].update(fields)
        resources = {"limits": {"cpu": cpu, "memory": memory}}
        spec["template"]["containers"][0]["resources"] = resources

    return change


def checked(change: Callable[[Json], None]) -> None:
    spec = copy.deepcopy(GOOD)
    change(spec)
    rules.check(schema.settable(spec), "hello")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (template(containers=[]), "at least one container"),
        (container(image=""), "image is required"),
        (container(ports=[{"containerPort": 1}, {"containerPort": 2}]), "at most one port"),
        (container(ports=[{"containerPort": 70000}]), "between 1 and 65535"),
        (container(env=[{"name": "PORT", "value": "1"}]), "reserved env names were provided: PORT"),
        (container(env=[{"name": "K_SERVICE", "value": "1"}]), "reserved env names"),
        (container(env=[{"name": "A B"}]), "invalid environment variable name 'A B'"),
        (container(env=[{"name": "A"}, {"name": "A"}]), "given more than once"),
        (container(env=[{"name": "A", "value": "x" * 32769}]), "at most 32768 bytes"),
        (container(env=[{"name": "A", "value": "ö" * 16385}]), "at most 32768 bytes"),
        (
            container(startupProbe={"timeoutSeconds": 5, "periodSeconds": 2}),
            "timeout_seconds may not exceed period_seconds",
        ),
        (template(revision="other-1"), "must be prefixed by the service name 'hello-'"),
        (template(revision="hello-" + "x" * 58), "less than 64 characters"),
        (template(revision="hello-A"), "only lowercase"),
        (template(timeout="3601s"), "at most 3600 seconds"),
        (template(maxInstanceRequestConcurrency=1001), "between 1 and 1000"),
        (template(scaling={"minInstanceCount": 3, "maxInstanceCount": 2}), "may not exceed"),
        (template(annotations={"run.googleapis.com/x": "y"}), "is reserved"),
        (top(labels={"serving.knative.dev/x": "y"}), "is reserved"),
        (top(labels={"Upper": "x"}), "lowercase letters"),
        (top(labels={"a": "UPPER"}), "lowercase letters"),
        (top(labels={"a": "x" * 64}), "at most 63"),
        (top(description="x" * 513), "at most 512 characters"),
        (top(traffic=[{"type": LATEST, "percent": 99}]), "must sum to 100, got 99"),
        (top(traffic=[pinned("hello-1", 100, "UP")]), "lowercase"),
        (
            top(traffic=[{"type": LATEST, "percent": 100}, pinned("hello-1", 0, "t" * 42)]),
            "cannot exceed 46 characters",
        ),
        (
            top(traffic=[pinned("hello-1", 100, "a"), pinned("hello-1", 0, "a")]),
            "used by more than one target",
        ),
        (limits("3", "1Gi"), "Invalid value specified for cpu"),
        (limits("1", "512MB"), "Invalid value specified for memory"),
        (
            limits("1", "5Gi"),
            "For 1.0 CPU, memory must be between 128Mi and 4Gi inclusive.",
        ),
        (limits("4", "1Gi"), "For 4.0 CPU, memory must be between 2Gi and 16Gi inclusive."),
        (
            limits("1", "256Mi", executionEnvironment="EXECUTION_ENVIRONMENT_GEN2"),
            "with gen2 execution environment. For 1.0 CPU, memory must be between 512Mi",
        ),
        (limits("0.5", "256Mi", maxInstanceRequestConcurrency=2), "with concurrency > 1"),
        (template(tiemout="3s"), "Unknown name \"tiemout\" at 'service.template'"),
        (template(timeout=60), "DURATION"),
        (top(ingress="all"), "Invalid value at 'service.ingress'"),
        (container(env=[{"name": "A", "value": 1}]), "containers[0].env[0].value"),
    ],
)
def test_a_wrong_service_is_refused_in_the_words_of_cloud_run(
    change: Callable[[Json], None], text: str
) -> None:
    with pytest.raises(ApiError) as refusal:
        checked(change)
    assert refusal.value.code == "INVALID_ARGUMENT"
    assert text in refusal.value.message


@pytest.mark.parametrize(
    "change",
    [
        container(env=[{"name": "A", "value": "x" * 32768}]),
        template(revision="hello-" + "x" * 57),
        top(traffic=[{"type": LATEST, "percent": 100}, pinned("hello-1", 0, "t" * 41)]),
        top(ingress=1),
        limits("0.5", "256Mi", maxInstanceRequestConcurrency=1),
        limits("8", "32Gi"),
        limits("1000m", "1G"),
        container(workingDir="/x", dependsOn=[]),
    ],
)
def test_a_service_at_its_limits_is_taken(change: Callable[[Json], None]) -> None:
    checked(change)


@pytest.mark.parametrize(
    ("text", "size"), [("512Mi", 512 * SIZE), ("1Gi", 1024 * SIZE), ("1G", 10**9), ("100", 100)]
)
def test_memory_is_counted_in_bytes(text: str, size: int) -> None:
    assert rules.parse_memory(text) == size


@pytest.mark.parametrize("name", ["", "Hello", "1hello", "hello-", "x" * 50, "hello_world"])
def test_a_wrong_service_id_is_refused(google: World, name: str) -> None:
    query = {"serviceId": name} if name else {}
    answer = google.session.post(
        f"{google.run}/v2/{PLACE}/services", json=google.body(), params=query, timeout=5
    )
    google.recorder.problems.clear()  # a missing serviceId is what is tried here
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert "service_id" in answer.json()["error"]["message"]


def test_an_enum_may_come_as_its_number() -> None:
    assert schema.settable({"ingress": 2}) == {"ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY"}


def test_a_refused_change_leaves_the_service_as_it_was(google: World) -> None:
    google.create()
    before = google.service()
    body = google.body("r2")
    body["template"]["timeout"] = "9999s"
    google.error("PATCH", f"/v2/{PLACE}/services/hello", body)
    assert google.service() == before


def test_the_deployer_must_be_allowed_to_act_as_the_runtime_account(google: World) -> None:
    account = "runner@p.iam.gserviceaccount.com"
    google.google.projects.change("p", act_as_denied=[account])
    body = google.body()
    body["template"]["serviceAccount"] = account
    error = google.error("POST", f"/v2/{PLACE}/services", body, serviceId="hello")
    assert error["status"] == "PERMISSION_DENIED"
    assert "Permission 'iam.serviceaccounts.actAs' denied on service account" in error["message"]


def test_a_disabled_api_is_told_with_the_address_to_enable_it(google: World) -> None:
    google.google.projects.change("p", disabled_apis=["run.googleapis.com"])
    error = google.error("GET", f"/v2/{PLACE}/services")
    assert error["details"][0]["reason"] == "SERVICE_DISABLED"
    assert "Cloud Run Admin API has not been used in project" in error["message"]


def test_a_missing_permission_is_named(google: World) -> None:
    google.google.projects.change("p", denied_permissions=["run.services.create"])
    error = google.error("POST", f"/v2/{PLACE}/services", google.body(), serviceId="hello")
    assert error["status"] == "PERMISSION_DENIED"
    assert "Permission 'run.services.create' denied" in error["message"]


def test_a_project_that_is_not_there_is_denied(google: World) -> None:
    google.google.projects.change("p", exists=False)
    assert google.error("GET", f"/v2/{PLACE}/services")["status"] == "PERMISSION_DENIED"
