"""What a preflight asks: projects, APIs, permissions, accounts, repositories, secrets."""

from __future__ import annotations

import base64

from pymacaron_ci.simulator.google import rehearsal
from pymacaron_ci.targets.cloud_run.wanted import SecretVersion
from tests.ci.simulator.images import push
from tests.ci.simulator.world import World

REPOSITORIES = "/v1/projects/p/locations/europe-west1/repositories"
ACCOUNT = "runner@p.iam.gserviceaccount.com"


def test_a_project_is_active_and_known_by_its_number_too(google: World) -> None:
    project = google.call("GET", "/v3/projects/p")
    assert project["state"] == "ACTIVE"
    assert project["projectId"] == "p"
    number = project["name"].partition("/")[2]
    assert google.call("GET", f"/v3/projects/{number}")["projectId"] == "p"
    assert google.call("GET", "/v1/projects/p")["projectNumber"] == number


def test_apis_are_enabled_until_they_are_not(google: World) -> None:
    google.google.projects.change("p", disabled_apis=["run.googleapis.com"])
    base = "/v1/projects/p/services"
    names = [f"projects/p/services/{api}.googleapis.com" for api in ("run", "logging")]
    url = f"{base}:batchGet?names={names[0]}&names={names[1]}"
    states = [s["state"] for s in google.call("GET", url)["services"]]
    assert states == ["DISABLED", "ENABLED"]
    google.call("POST", f"{base}:batchEnable", {"serviceIds": ["run.googleapis.com"]})
    assert google.call("GET", f"{base}/run.googleapis.com")["state"] == "ENABLED"


def test_acting_as_an_account_is_a_permission(google: World) -> None:
    path = f"/v1/projects/p/serviceAccounts/{ACCOUNT}"
    asked = {"permissions": ["iam.serviceAccounts.actAs"]}
    assert google.call("POST", f"{path}:testIamPermissions", asked) == asked
    google.google.projects.change("p", act_as_denied=[ACCOUNT])
    assert google.call("POST", f"{path}:testIamPermissions", asked) == {}
    google.google.projects.change("p", service_accounts=[])
    assert google.error("GET", path)["status"] == "NOT_FOUND"


def test_a_missing_repository_can_be_created(google: World) -> None:
    google.google.projects.change("p", repositories=[])
    error = google.error("GET", f"{REPOSITORIES}/pymacaron")
    assert error["status"] == "NOT_FOUND"
    google.call("POST", REPOSITORIES, {"format": "DOCKER"}, repositoryId="pymacaron")
    assert google.call("GET", f"{REPOSITORIES}/pymacaron")["format"] == "DOCKER"
    again = google.error("POST", REPOSITORIES, {"format": "DOCKER"}, repositoryId="pymacaron")
    assert again["status"] == "ALREADY_EXISTS"


def test_a_tag_leads_to_its_digest(google: World) -> None:
    image = push(google.simulation.endpoints.registry, "p/pymacaron/a/b", tag="v7")
    tag = google.call("GET", f"{REPOSITORIES}/pymacaron/packages/a%2Fb/tags/v7")
    digest = image.partition("@")[2]
    assert tag["version"].endswith(f"/versions/{digest}")
    google.call("GET", f"{REPOSITORIES}/pymacaron/packages/a%2Fb/versions/{digest}")
    missing = google.error("GET", f"{REPOSITORIES}/pymacaron/packages/a%2Fb/tags/v8")
    assert missing["status"] == "NOT_FOUND"


def test_secrets_keep_their_versions(google: World) -> None:
    base = "/v1/projects/p/secrets"
    google.call("POST", base, {"replication": {"automatic": {}}}, secretId="token")
    assert google.error("GET", f"{base}/token/versions/latest")["status"] == "NOT_FOUND"
    for value in (b"one", b"two"):
        data = base64.b64encode(value).decode()
        google.call("POST", f"{base}/token:addVersion", {"payload": {"data": data}})
    assert google.call("GET", f"{base}/token/versions/latest")["name"].endswith("/2")
    found = google.call("GET", f"{base}/token/versions/1:access")
    assert base64.b64decode(found["payload"]["data"]) == b"one"
    assert google.call("GET", f"{base}/token/versions")["totalSize"] == 2
    assert [s["name"] for s in google.call("GET", base)["secrets"]]
    google.call("DELETE", f"{base}/token")
    assert google.error("GET", f"{base}/token")["status"] == "NOT_FOUND"


def test_a_rehearsal_has_every_secret_that_is_named(google: World) -> None:
    secrets = [
        SecretVersion(name="db", version="3"),
        SecretVersion(name="token"),
        SecretVersion(name="projects/q/secrets/other"),
    ]
    for _ in range(2):
        rehearsal.provide(google.google.url, "p", secrets)
    for project, name, version in (("p", "db", 3), ("p", "token", 1), ("q", "other", 1)):
        path = f"/v1/projects/{project}/secrets/{name}"
        data = google.call("GET", f"{path}/versions/{version}:access")["payload"]["data"]
        assert base64.b64decode(data).decode() == f"simulated {name}"
        assert google.call("GET", f"{path}/versions")["totalSize"] == version
