"""Server-side apply: who owns which field, conflicts, and what goes when nobody wants it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymacaron_ci.simulator.kubernetes.fields import decoded, encoded, field_set
from pymacaron_ci.simulator.kubernetes.ownership import applied, owners, updated
from pymacaron_ci.simulator.kubernetes.resources import DEPLOYMENTS
from pymacaron_ci.simulator.kubernetes.schema import Node
from pymacaron_ci.simulator.kubernetes.statuses import KubeError
from tests.ci.simulator.kubernetes_world import (
    MANAGER,
    NAMESPACE,
    World,
    changed,
    container,
    deployment,
    env,
    secret,
)

Json = dict[str, Any]
NODE = Node.of(DEPLOYMENTS)
PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/web"
MERGE = {"Content-Type": "application/merge-patch+json"}


def config(**spec: Any) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": spec,
    }


def with_env(*variables: Json, **more: Any) -> Json:
    containers = [{"name": "web", "env": list(variables), **more}]
    return config(template={"spec": {"containers": containers}})


def owned(thing: Json, name: str) -> Json:
    for entry in thing["metadata"].get("managedFields", []):
        if entry["manager"] == name:
            found: Json = entry["fieldsV1"]
            return found
    return {}


# --- the rules by themselves


def test_the_fields_of_an_object_are_written_as_kubernetes_does() -> None:
    thing = with_env(*env(A="1"), ports=[{"containerPort": 80}], image="x")
    assert encoded(field_set(thing, NODE)) == {
        "f:spec": {
            "f:template": {
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"web"}': {
                            ".": {},
                            "f:name": {},
                            "f:image": {},
                            "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
                            "f:ports": {
                                'k:{"containerPort":80,"protocol":"TCP"}': {
                                    ".": {},
                                    "f:containerPort": {},
                                }
                            },
                        }
                    }
                }
            }
        }
    }


STEPS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"'])


@settings(deadline=None)
@given(st.frozensets(st.lists(STEPS, min_size=1, max_size=4).map(tuple), max_size=8))
def test_sets_of_fields_survive_being_written(fields: frozenset[tuple[str, ...]]) -> None:
    assert frozenset(decoded(encoded(fields))) == fields


# live, what is applied, what it becomes
MERGED: dict[str, tuple[Json, Json, Json]] = {
    "a field is added": (config(replicas=1), config(paused=True), config(replicas=1, paused=True)),
    "items are merged by name": (
        with_env(*env(A="1")),
        with_env(*env(B="2")),
        with_env(*env(A="1", B="2")),
    ),
    "a selector is replaced as a whole": (
        config(selector={"matchLabels": {"a": "b"}}),
        config(selector={"matchLabels": {"c": "d"}}),
        config(selector={"matchLabels": {"c": "d"}}),
    ),
}


@pytest.mark.parametrize("case", MERGED)
def test_what_is_applied_is_merged(case: str) -> None:
    live, wanted, result = MERGED[case]
    found = applied(live, wanted, NODE, "me", force=False)
    assert found["spec"] == result["spec"]


# what I applied first, what I apply then, what is left
LEFT: dict[str, tuple[Json, Json, Json]] = {
    "a field": (config(replicas=1, paused=True), config(replicas=1), config(replicas=1)),
    "an item": (with_env(*env(A="1", B="2")), with_env(*env(A="1")), with_env(*env(A="1"))),
    "all items": (
        with_env(*env(A="1"), image="x"),
        config(template={"spec": {"containers": [{"name": "web", "image": "x"}]}}),
        config(template={"spec": {"containers": [{"name": "web", "image": "x"}]}}),
    ),
    "a struct with what the server filled in": (
        config(strategy={"rollingUpdate": {"maxSurge": 1}}),
        config(replicas=1),
        config(replicas=1),
    ),
    "a map": (
        {**config(replicas=1), "metadata": {"name": "web", "annotations": {"a": "b"}}},
        config(replicas=1),
        config(replicas=1),
    ),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_is_not_applied_any_more_goes(case: str) -> None:
    first, then, left = LEFT[case]
    live = applied(config(), first, NODE, "me", force=False)
    if "strategy" in live["spec"]:
        live["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] = "25%"
    found = applied(live, then, NODE, "me", force=False)
    found["metadata"].pop("managedFields")
    assert found == left


def test_what_another_manager_also_wants_stays() -> None:
    live = applied(config(), with_env(*env(A="1", B="2")), NODE, "me", force=False)
    live = applied(live, with_env(*env(B="2")), NODE, "other", force=False)
    found = applied(live, with_env(*env(A="1")), NODE, "me", force=False)
    (web,) = found["spec"]["template"]["spec"]["containers"]
    assert web["env"] == env(A="1", B="2")


def test_an_update_takes_the_fields_it_changes() -> None:
    live = applied(config(), config(replicas=1, paused=True), NODE, "me", force=False)
    changed_ = {**live, "spec": {"replicas": 5, "paused": True}}
    found = updated(live, changed_, NODE, "kubectl-scale", "scale")
    assert owned(found, "me") == {"f:spec": {"f:paused": {}}}
    assert owned(found, "kubectl-scale") == {"f:spec": {"f:replicas": {}}}
    with pytest.raises(KubeError) as caught:
        applied(found, config(replicas=1, paused=True), NODE, "me", force=False)
    (cause,) = caught.value.status["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", ".spec.replicas")
    assert cause["message"].startswith(
        'conflict with "kubectl-scale" with subresource "scale" using'
    )


def test_several_conflicts_are_listed_by_manager() -> None:
    live = applied(config(), with_env(*env(A="1"), image="x"), NODE, "one", force=False)
    with pytest.raises(KubeError) as caught:
        applied(live, with_env(*env(A="2"), image="y"), NODE, "me", force=False)
    where = '.spec.template.spec.containers[name="web"]'
    assert caught.value.message == (
        'Apply failed with 2 conflicts: conflicts with "one":\n'
        f'- {where}.env[name="A"].value\n- {where}.image'
    )


def test_the_same_value_is_owned_together() -> None:
    live = applied(config(), config(replicas=1), NODE, "one", force=False)
    found = applied(live, config(replicas=1), NODE, "me", force=False)
    assert {manager.name for manager in owners(found)} == {"one", "me"}


def test_force_takes_a_field_from_its_owner() -> None:
    live = applied(config(), config(replicas=1, paused=True), NODE, "one", force=False)
    found = applied(live, config(replicas=2), NODE, "me", force=True)
    assert found["spec"] == {"replicas": 2, "paused": True}
    assert owned(found, "one") == {"f:spec": {"f:paused": {}}}
    assert owned(found, "me") == {"f:spec": {"f:replicas": {}}}


# --- over HTTP


def test_applying_creates_and_then_changes(kube: World) -> None:
    wanted = deployment(kube.image, replicas=0)
    assert kube.try_apply(wanted).status_code == 201
    answer = kube.try_apply(changed(wanted, minReadySeconds=2))
    assert answer.status_code == 200
    assert answer.json()["metadata"]["generation"] == 2
    assert answer.json()["spec"]["minReadySeconds"] == 2
    (entry,) = [e for e in answer.json()["metadata"]["managedFields"] if e["manager"] == MANAGER]
    assert (entry["operation"], entry["apiVersion"]) == ("Apply", "apps/v1")


def test_applying_the_same_again_changes_nothing(kube: World) -> None:
    first = kube.apply(secret(A="x"))
    assert kube.apply(secret(A="x")) == first


def test_a_conflict_names_the_field_and_its_manager(kube: World) -> None:
    wanted = deployment(kube.image, replicas=0)
    kube.apply(wanted)
    body = {"spec": {"progressDeadlineSeconds": 30}}
    kube.call("PATCH", PATH, body, headers=MERGE, fieldManager="somebody")
    answer = kube.try_apply(wanted)
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    (cause,) = answer.json()["details"]["causes"]
    assert cause["field"] == ".spec.progressDeadlineSeconds"
    assert cause["message"].startswith('conflict with "somebody" using apps/v1 at ')
    assert kube.apply(wanted, force="true")["spec"]["progressDeadlineSeconds"] == 60


def test_a_dry_run_applies_nothing(kube: World) -> None:
    wanted = deployment(kube.image, replicas=0)
    assert kube.try_apply(wanted, dryRun="All").status_code == 201
    assert kube.error("GET", PATH)["code"] == 404
    kube.apply(wanted)
    answer = kube.try_apply(changed(wanted, minReadySeconds=3), dryRun="All")
    assert answer.json()["spec"]["minReadySeconds"] == 3
    assert "minReadySeconds" not in kube.get(wanted)["spec"]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"replica": 1}, ".spec.replica: field not declared in schema"),
        ({"replicas": "1"}, ".spec.replicas: expected numeric (int or float), got '1'"),
        (
            {"template": {"spec": {"containers": [{"image": "x"}]}}},
            ".spec.template.spec.containers: element 0: associative list with keys has an element "
            'that omits key field "name" (and doesn\'t have default value)',
        ),
        (
            {"template": {"spec": {"containers": [{"name": "x"}, {"name": "x"}]}}},
            '.spec.template.spec.containers: duplicate entries for key [name="x"]',
        ),
    ],
)
def test_what_cannot_be_typed_is_told(kube: World, spec: Json, text: str) -> None:
    answer = kube.try_apply(changed(deployment(kube.image), **spec))
    assert answer.status_code == 500
    assert answer.json()["message"] == (
        f"failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): {text}"
    )


def test_applying_needs_a_manager(kube: World) -> None:
    answer = kube.try_apply(secret(A="x"), manager="")
    assert answer.status_code == 422
    assert "fieldManager: Required value" in answer.json()["message"]


def test_a_custom_resource_is_applied_and_judged_by_its_own_schema(kube: World) -> None:
    config_: Json = {
        "apiVersion": "networking.gke.io/v1beta1",
        "kind": "FrontendConfig",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {"redirectToHttps": {"enabled": True, "responseCodeName": "FOUND"}},
    }
    assert kube.apply(config_)["metadata"]["generation"] == 1
    config_["spec"]["redirectToHttps"] = {"enabled": True, "responseCodeName": "LOST"}
    answer = kube.try_apply(config_)
    assert answer.status_code == 422
    assert (
        'spec.redirectToHttps.responseCodeName: Unsupported value: "LOST"'
        in answer.text.replace('\\"', '"')
    )


def test_an_image_is_changed_in_place(kube: World) -> None:
    wanted = deployment(kube.image, replicas=0)
    kube.apply(wanted)
    container(wanted)["image"] = f"{kube.image.partition('@')[0]}:other"
    found = kube.apply(wanted)
    assert len(found["spec"]["template"]["spec"]["containers"]) == 1
    assert container(found)["image"].endswith(":other")
