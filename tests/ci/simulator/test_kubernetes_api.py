"""The simulated API server: objects, lists, watches, patches and errors as Kubernetes has them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import requests

from pymacaron_ci.simulator.faults import Fault
from tests.ci.simulator.kubernetes_world import (
    NAMESPACE,
    World,
    changed,
    deployment,
    env,
    namespace,
    secret,
    service,
)

Json = dict[str, Any]
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


def idle(kube: World, **container: Any) -> Json:
    """A deployment without pods."""
    return deployment(kube.image, replicas=0, **container)


def test_the_server_tells_its_version_groups_and_resources(kube: World) -> None:
    assert kube.call("GET", "/version")["minor"] == "36"
    groups = {group["name"] for group in kube.call("GET", "/apis")["groups"]}
    assert {"apps", "networking.k8s.io", "networking.gke.io", "cloud.google.com"} <= groups
    found = kube.call("GET", "/apis/apps/v1")["resources"]
    assert {"deployments", "deployments/status", "deployments/scale"} <= {r["name"] for r in found}
    paths = kube.call("GET", "/openapi/v3")["paths"]
    document = kube.call("GET", paths["apis/apps/v1"]["serverRelativeURL"])
    assert "io.k8s.api.apps.v1.Deployment" in document["components"]["schemas"]


def test_a_cluster_may_lack_custom_resources(kube: World) -> None:
    path = "/apis/cloud.google.com/v1"
    assert kube.call("GET", path)["resources"][0]["kind"] == "BackendConfig"
    kube.server.settings.change("p/europe-west1/main", missing=["backendconfigs.cloud.google.com"])
    assert kube.error("GET", path)["reason"] == "NotFound"
    assert kube.error("GET", f"{path}/namespaces/{NAMESPACE}/backendconfigs/x")["code"] == 404
    assert kube.call("GET", "/apis/networking.gke.io/v1")["resources"]


def test_an_object_that_was_made_has_what_the_server_adds(kube: World) -> None:
    made = kube.create(idle(kube))
    assert made["metadata"]["generation"] == 1
    assert made["metadata"]["uid"]
    assert made["spec"]["revisionHistoryLimit"] == 10
    assert made["spec"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst"
    assert kube.create(service())["spec"]["clusterIP"].startswith("34.118.")
    assert kube.create(secret(A="x"))["type"] == "Opaque"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no match": (
        {"selector": {"matchLabels": {"app": "other"}}},
        'Deployment.apps "web" is invalid: spec.template.metadata.labels: Invalid value: '
        '{"app":"web"}: `selector` does not match template `labels`',
    ),
    "deadline": (
        {"progressDeadlineSeconds": 5, "minReadySeconds": 5},
        'Deployment.apps "web" is invalid: spec.progressDeadlineSeconds: Invalid value: 5: must be '
        "greater than minReadySeconds",
    ),
    "standstill": (
        {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
        'Deployment.apps "web" is invalid: spec.strategy.rollingUpdate.maxUnavailable: Invalid '
        "value: 0: may not be 0 when `maxSurge` is 0",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_an_invalid_object_is_refused_with_its_causes(kube: World, case: str) -> None:
    spec, message = BAD[case]
    error = kube.error("POST", DEPLOYMENTS, changed(idle(kube), **spec))
    assert (error["code"], error["reason"], error["message"]) == (422, "Invalid", message)
    assert error["details"]["causes"][0]["reason"] == "FieldValueInvalid"


@pytest.mark.parametrize(
    ("container", "field", "text"),
    [
        ({"imagePullPolicy": "Sometimes"}, "imagePullPolicy", "Unsupported value"),
        (
            {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
            "resources.requests",
            "must be less than or equal to cpu limit of 1",
        ),
        ({"image": ""}, "image", "Required value"),
        ({"name": "Web"}, "name", "a lowercase RFC 1123 label must consist"),
        ({"volumeMounts": [{"name": "x", "mountPath": "/x"}]}, "volumeMounts[0].name", "Not found"),
        ({"ports": [{"containerPort": 99999}]}, "ports[0].containerPort", "must be between"),
    ],
)
def test_containers_are_checked(kube: World, container: Json, field: str, text: str) -> None:
    wrong = idle(kube)
    wrong["spec"]["template"]["spec"]["containers"][0] |= container
    error = kube.error("POST", DEPLOYMENTS, wrong)
    (cause,) = error["details"]["causes"]
    assert cause["field"] == f"spec.template.spec.containers[0].{field}"
    assert text in cause["message"]


def test_an_unknown_field_is_an_error_or_a_warning(kube: World) -> None:
    wrong = changed(idle(kube), replica=1)
    error = kube.error("POST", DEPLOYMENTS, wrong, fieldValidation="Strict")
    assert error["message"] == (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
        'unknown field "spec.replica"'
    )
    answer = kube.try_call("POST", DEPLOYMENTS, wrong)
    assert answer.headers["Warning"] == '299 - "unknown field \\"spec.replica\\""'
    assert "replica" not in answer.json()["spec"]


def test_a_wrong_type_is_refused(kube: World) -> None:
    error = kube.error("POST", DEPLOYMENTS, idle(kube, env=env(A=1)))  # type: ignore[arg-type]
    assert error["code"] == 400
    assert "json: cannot unmarshal number into Go struct field" in error["message"]
    assert error["message"].endswith("containers.env.value of type string")
    wrong = idle(kube, resources={"limits": {"memory": "1 gigabyte"}})
    assert "quantities must match the regular" in kube.error("POST", DEPLOYMENTS, wrong)["message"]


def test_a_missing_namespace_is_told(kube: World) -> None:
    error = kube.error("POST", SECRETS.replace(NAMESPACE, "gone"), {"metadata": {"name": "x"}})
    assert (error["code"], error["message"]) == (404, 'namespaces "gone" not found')
    assert error["details"] == {"name": "gone", "kind": "namespaces"}


def test_names_are_taken_once(kube: World) -> None:
    kube.create(secret(A="x"))
    error = kube.error("POST", SECRETS, secret(A="x"))
    assert (error["reason"], error["message"]) == ("AlreadyExists", 'secrets "keys" already exists')
    error = kube.error("GET", f"{DEPLOYMENTS}/none")
    assert error["message"] == 'deployments.apps "none" not found'
    assert error["details"] == {"name": "none", "group": "apps", "kind": "deployments"}


def test_an_older_version_is_not_put_over_a_newer(kube: World) -> None:
    old = kube.create(idle(kube))
    kube.call("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"minReadySeconds": 1}}, headers=MERGE)
    error = kube.error("PUT", f"{DEPLOYMENTS}/web", old)
    assert error["reason"] == "Conflict"
    assert error["message"].startswith('Operation cannot be fulfilled on deployments.apps "web": ')


def test_what_is_immutable_stays(kube: World) -> None:
    kube.create({**secret(A="x"), "immutable": True})
    error = kube.error("PATCH", f"{SECRETS}/keys", {"data": {"A": "eQ=="}}, headers=MERGE)
    assert error["message"] == (
        'Secret "keys" is invalid: data: Forbidden: field is immutable when `immutable` is set'
    )
    kube.create(idle(kube))
    labels = {"app": "web", "tier": "front"}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}
    error = kube.error("PATCH", f"{DEPLOYMENTS}/web", {"spec": spec}, headers=MERGE)
    assert error["details"]["causes"][0]["field"] == "spec.selector"
    assert error["message"].endswith("field is immutable")


def test_only_a_changed_spec_counts_as_a_generation(kube: World) -> None:
    made = kube.create(idle(kube))
    path = f"{DEPLOYMENTS}/web"
    labelled = kube.call("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, headers=MERGE)
    assert labelled["metadata"]["generation"] == 1
    changed_ = kube.call("PATCH", path, {"spec": {"minReadySeconds": 1}}, headers=MERGE)
    assert changed_["metadata"]["generation"] == 2
    versions = [int(thing["metadata"]["resourceVersion"]) for thing in (made, labelled, changed_)]
    assert versions == sorted(set(versions))


def test_a_write_that_changes_nothing_is_none(kube: World) -> None:
    made = kube.create(secret(A="x"))
    patch = {"data": made["data"]}
    assert kube.call("PATCH", f"{SECRETS}/keys", patch, headers=MERGE) == made


def test_a_strategic_patch_merges_lists_by_their_keys(kube: World) -> None:
    kube.create(idle(kube, env=env(A="1", B="2")))
    variables = [{"name": "B", "value": "3"}, {"name": "A", "$patch": "delete"}, *env(C="4")]
    containers = [{"name": "web", "env": variables}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    found = kube.call("PATCH", f"{DEPLOYMENTS}/web", patch, headers=STRATEGIC)
    assert found["spec"]["template"]["spec"]["containers"][0]["env"] == env(B="3", C="4")
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == kube.image


def test_a_json_patch_is_done_step_by_step(kube: World) -> None:
    kube.create(idle(kube, env=env(A="1")))
    where = "/spec/template/spec/containers/0/env"
    patch = [
        {"op": "test", "path": f"{where}/0/name", "value": "A"},
        {"op": "add", "path": f"{where}/-", "value": {"name": "B", "value": "2"}},
        {"op": "remove", "path": f"{where}/0"},
    ]
    found = kube.call("PATCH", f"{DEPLOYMENTS}/web", patch, headers=JSON_PATCH)
    assert found["spec"]["template"]["spec"]["containers"][0]["env"] == env(B="2")
    patch = [{"op": "test", "path": f"{where}/0/name", "value": "Z"}]
    assert kube.error("PATCH", f"{DEPLOYMENTS}/web", patch, headers=JSON_PATCH)["code"] == 422


def test_an_unknown_kind_of_patch_is_refused(kube: World) -> None:
    kube.create(idle(kube))
    error = kube.error("PATCH", f"{DEPLOYMENTS}/web", {}, headers={"Content-Type": "text/x"})
    assert error["reason"] == "UnsupportedMediaType"


def test_a_dry_run_changes_nothing(kube: World) -> None:
    assert kube.create(secret(A="x"), dryRun="All")["type"] == "Opaque"
    assert kube.error("GET", f"{SECRETS}/keys")["code"] == 404
    assert kube.error("POST", SECRETS, secret(**{"a b": "x"}), dryRun="All")["code"] == 422


def test_lists_are_selected_and_paged(kube: World) -> None:
    for name in ("a", "b", "c"):
        made = secret(name, A="x")
        made["metadata"]["labels"] = {"which": name}
        kube.create(made)

    def names(**query: Any) -> list[str]:
        return [item["metadata"]["name"] for item in kube.call("GET", SECRETS, **query)["items"]]

    assert names(labelSelector="which in (a,b)") == ["a", "b"]
    assert names(labelSelector="which!=a") == ["b", "c"]
    assert names(fieldSelector="metadata.name=c") == ["c"]
    first = kube.call("GET", SECRETS, limit=2)
    assert first["metadata"]["remainingItemCount"] == 1
    token = first["metadata"]["continue"]
    rest = kube.call("GET", SECRETS, limit=2, **{"continue": token})
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c"]


def watched(kube: World, **query: Any) -> requests.Response:
    return requests.get(
        kube.base + SECRETS, params={"watch": "true", **query}, stream=True, timeout=20
    )


def test_a_watch_tells_what_changes(kube: World) -> None:
    version = kube.call("GET", SECRETS)["metadata"]["resourceVersion"]
    with watched(kube, resourceVersion=version, timeoutSeconds=5) as answer:
        lines = answer.iter_lines()
        kube.create(secret(A="x"))
        kube.call("PATCH", f"{SECRETS}/keys", {"data": {"A": "eQ=="}}, headers=MERGE)
        kube.delete(secret())
        told = [json.loads(next(lines)) for _ in range(3)]
    assert [event["type"] for event in told] == ["ADDED", "MODIFIED", "DELETED"]
    assert told[1]["object"]["data"] == {"A": "eQ=="}


def test_a_watch_that_starts_with_everything_marks_where_that_ends(kube: World) -> None:
    kube.create(secret(A="x"))
    query = {"sendInitialEvents": "true", "allowWatchBookmarks": "true", "timeoutSeconds": 5}
    with watched(kube, resourceVersionMatch="NotOlderThan", **query) as answer:
        lines = answer.iter_lines()
        added, mark = json.loads(next(lines)), json.loads(next(lines))
    assert added["object"]["metadata"]["name"] == "keys"
    assert mark["type"] == "BOOKMARK"
    annotations = mark["object"]["metadata"]["annotations"]
    assert annotations == {"k8s.io/initial-events-end": "true"}


def test_a_watch_of_a_forgotten_version_has_expired(kube: World) -> None:
    version = kube.call("GET", SECRETS)["metadata"]["resourceVersion"]
    kube.create(secret(A="x"))
    kube.cluster.store.forget_changes()
    answer = watched(kube, resourceVersion=version)
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")


def test_deleted_owners_take_what_they_own_along(kube: World) -> None:
    made = kube.create(deployment(kube.image))
    kube.rolled_out(made)
    assert kube.delete(made, propagationPolicy="Foreground")["kind"] == "Deployment"
    kube.until(lambda: not kube.pods())
    kube.until(lambda: kube.try_call("GET", f"{DEPLOYMENTS}/web").status_code == 404)


def test_a_namespace_ends_with_all_that_is_in_it(kube: World) -> None:
    kube.create(secret(A="x"))
    kube.delete(namespace())
    path = f"/api/v1/namespaces/{NAMESPACE}"
    kube.until(lambda: kube.try_call("GET", path).status_code == 404)
    assert kube.error("GET", f"{SECRETS}/keys")["code"] == 404


@pytest.mark.parametrize(
    ("denied", "attributes", "allowed"),
    [
        ([], {"verb": "patch", "group": "apps", "resource": "deployments"}, True),
        (
            ["patch deployments.apps"],
            {"verb": "patch", "group": "apps", "resource": "deployments"},
            False,
        ),
        (
            ["patch deployments.apps"],
            {"verb": "get", "group": "apps", "resource": "deployments"},
            True,
        ),
        (["* secrets in shop"], {"verb": "get", "resource": "secrets", "namespace": "shop"}, False),
        (["* secrets in shop"], {"verb": "get", "resource": "secrets", "namespace": "x"}, True),
        (
            ["* services/proxy"],
            {"verb": "get", "resource": "services", "subresource": "proxy"},
            False,
        ),
        (["* services/proxy"], {"verb": "get", "resource": "services"}, True),
    ],
)
def test_access_is_reviewed(
    kube: World, denied: list[str], attributes: Json, allowed: bool
) -> None:
    kube.server.settings.change("p/europe-west1/main", denied=denied)
    body = {"spec": {"resourceAttributes": attributes}}
    assert kube.call("POST", REVIEWS, body)["status"]["allowed"] is allowed


def test_what_a_review_denies_is_forbidden(kube: World) -> None:
    kube.server.settings.change("p/europe-west1/main", denied=["patch deployments.apps"])
    error = kube.error("PATCH", f"{DEPLOYMENTS}/web", {}, headers=MERGE)
    assert error["reason"] == "Forbidden"
    assert error["message"] == (
        'deployments.apps "web" is forbidden: User "deployer@simulated.invalid" cannot patch '
        'resource "deployments" in API group "apps" in the namespace "shop": requires one of '
        '["container.deployments.update"] permission(s).'
    )


def test_an_expired_token_is_unauthorized(kube: World) -> None:
    token = kube.server.tokens.issue({"email": "x@y.z", "scope": "all"}, lifetime=-1)
    error = kube.error("GET", SECRETS, headers={"Authorization": f"Bearer {token}"})
    assert (error["code"], error["reason"]) == (401, "Unauthorized")


@pytest.mark.parametrize("acted", [False, True])
def test_faults_are_answered_in_kubernetes_form(kube: World, acted: bool) -> None:
    kube.server.faults.add(Fault(kind="503", method="POST", path="secrets", acted=acted))
    error = kube.error("POST", SECRETS, secret(A="x"))
    assert error["reason"] == "ServiceUnavailable"
    assert kube.try_call("GET", f"{SECRETS}/keys").status_code == (200 if acted else 404)
    order = [{"kind": "429", "path": "secrets", "retry_after": 2}]
    requests.post(f"{kube.server.url}/_simulator/faults", json=order, timeout=5)
    answer = kube.try_call("GET", SECRETS)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")


def test_pods_of_a_restricted_namespace_are_held_to_its_standard(kube: World) -> None:
    kube.apply(namespace(**{"pod-security.kubernetes.io/enforce": "restricted"}))
    lax = deployment(kube.image, securityContext={})
    kube.create(lax)
    failure = kube.until(lambda: kube.condition(lax, "ReplicaFailure"))
    assert (failure["status"], failure["reason"]) == ("True", "FailedCreate")
    assert failure["message"].endswith(
        'is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false '
        '(container "web" must set securityContext.allowPrivilegeEscalation=false), unrestricted '
        'capabilities (container "web" must set securityContext.capabilities.drop=["ALL"])'
    )
    assert kube.events("FailedCreate")[0].startswith('Error creating: pods "web-')
    kube.delete(lax)
    kube.rolled_out(kube.create(deployment(kube.image)))


def test_a_pod_needs_its_service_account(kube: World) -> None:
    wanted = deployment(kube.image)
    wanted["spec"]["template"]["spec"]["serviceAccountName"] = "deployer"
    kube.create(wanted)
    failure = kube.until(lambda: kube.condition(wanted, "ReplicaFailure"))
    assert failure["message"].endswith(
        'error looking up service account shop/deployer: serviceaccount "deployer" not found'
    )
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployer"}}
    kube.create(copy.deepcopy(account))
    kube.rolled_out(wanted)
