"""Who may call a service, and what an organisation's policy forbids."""

from __future__ import annotations

import pytest
import requests

from tests.ci.simulator.world import PLACE, World

ACCOUNT = "deployer@p.iam.gserviceaccount.com"
PUBLIC = {"role": "roles/run.invoker", "members": ["allUsers"]}


def token(google: World, audience: str, account: str = ACCOUNT) -> str:
    body = {"audience": audience, "includeEmail": True}
    path = f"/v1/projects/-/serviceAccounts/{account}:generateIdToken"
    return str(google.call("POST", path, body)["token"])


def status(url: str, bearer: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    return requests.get(url, headers=headers, timeout=5).status_code


def test_a_new_service_is_private(google: World) -> None:
    google.create()
    url = google.service()["uri"]
    assert status(url) == 403
    assert status(url, "nonsense") == 401


def test_an_id_token_made_out_to_the_service_opens_it_and_its_tags(google: World) -> None:
    google.create(body=google.candidate("r1"))
    traffic = [
        {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100},
        {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "tag": "now"},
    ]
    google.patch({"traffic": traffic}, updateMask="traffic")
    service = google.service()
    bearer = token(google, service["uri"])
    assert status(service["uri"], bearer) == 200
    beside = {"Authorization": "Bearer own", "X-Serverless-Authorization": f"Bearer {bearer}"}
    assert requests.get(service["uri"], headers=beside, timeout=5).status_code == 200
    assert status(service["trafficStatuses"][1]["uri"], bearer) == 200


def test_an_id_token_for_somebody_else_is_refused(google: World) -> None:
    google.create()
    assert status(google.service()["uri"], token(google, "https://elsewhere.example")) == 401


def test_an_account_that_may_not_invoke_is_refused(google: World) -> None:
    google.google.projects.change("p", invokers=[])
    google.create()
    url = google.service()["uri"]
    assert status(url, token(google, url)) == 403
    binding = {"role": "roles/run.invoker", "members": [f"serviceAccount:{ACCOUNT}"]}
    google.call(
        "POST", f"/v2/{PLACE}/services/hello:setIamPolicy", {"policy": {"bindings": [binding]}}
    )
    assert status(url, token(google, url)) == 200


def test_all_users_make_a_service_public_and_leave_again(google: World) -> None:
    google.create()
    url = google.service()["uri"]
    path = f"/v2/{PLACE}/services/hello"
    policy = google.call("GET", f"{path}:getIamPolicy")
    assert "bindings" not in policy
    policy["bindings"] = [PUBLIC]
    changed = google.call("POST", f"{path}:setIamPolicy", {"policy": policy})
    assert status(url) == 200
    assert google.call("GET", f"{path}:getIamPolicy") == changed
    changed["bindings"] = []
    google.call("POST", f"{path}:setIamPolicy", {"policy": changed})
    assert status(url) == 403


def test_a_policy_with_an_old_etag_is_refused(google: World) -> None:
    google.create()
    path = f"/v2/{PLACE}/services/hello"
    policy = google.call("GET", f"{path}:getIamPolicy")
    google.call("POST", f"{path}:setIamPolicy", {"policy": {"bindings": [PUBLIC]}})
    error = google.error("POST", f"{path}:setIamPolicy", {"policy": policy})
    assert error["status"] == "ABORTED"
    assert "concurrent policy changes" in error["message"]


def test_disabling_the_invoker_check_makes_a_service_public(google: World) -> None:
    google.google.projects.change("p", public_allowed=False)
    google.create(body={**google.body(), "invokerIamDisabled": True})
    assert status(google.service()["uri"]) == 200
    google.patch(google.body())
    assert status(google.service()["uri"]) == 403


@pytest.mark.parametrize("member", ["allUsers", "allAuthenticatedUsers"])
def test_an_organisation_may_forbid_public_services(google: World, member: str) -> None:
    google.google.projects.change("p", public_allowed=False)
    google.create()
    binding = {"role": "roles/run.invoker", "members": [member]}
    error = google.error(
        "POST", f"/v2/{PLACE}/services/hello:setIamPolicy", {"policy": {"bindings": [binding]}}
    )
    assert error["status"] == "FAILED_PRECONDITION"
    assert error["message"] == (
        "One or more users named in the policy do not belong to a permitted customer, perhaps due "
        "to an organization policy."
    )


def test_permissions_are_tested(google: World) -> None:
    google.google.projects.change("p", denied_permissions=["run.services.setIamPolicy"])
    google.create()
    asked = {"permissions": ["run.services.get", "run.services.setIamPolicy"]}
    for path in (f"/v2/{PLACE}/services/hello", "/v3/projects/p"):
        answer = google.call("POST", f"{path}:testIamPermissions", asked)
        assert answer == {"permissions": ["run.services.get"]}
