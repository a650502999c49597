"""Keyless log-in, tokens and what they open, as google-auth drives them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.auth.transport.requests
import jwt
import pytest
import requests
from google.auth import identity_pool

from tests.ci.simulator.world import PLACE, World, world

POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/git"
ACCOUNT = "deployer@p.iam.gserviceaccount.com"
FORM = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "audience": POOL,
    "scope": "https://www.googleapis.com/auth/cloud-platform",
    "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
}


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "state", strict_tokens=True) as made:
        yield made
        made.judge()


def subject(**claims: Any) -> str:
    now = int(time.time())
    payload = {"sub": "repo:o/r", "aud": f"https:{POOL}", "exp": now + 300, **claims}
    return jwt.encode(payload, "the key of a runner, unknown to the simulator", "HS256")


def exchange(google: World, **fields: str) -> requests.Response:
    form = {**FORM, "subject_token": subject(), **fields}
    return google.session.post(f"{google.run}/v1/token", data=form, timeout=5)


def access(google: World, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{google.run}/v2/{PLACE}/services"
    return requests.get(url, headers=headers, timeout=5).status_code


def test_a_call_without_a_token_is_refused_when_tokens_are_wanted(strict: World) -> None:
    error = strict.error("GET", f"/v2/{PLACE}/services")
    assert error["status"] == "UNAUTHENTICATED"
    assert access(strict, "nonsense") == 401


def test_a_runners_token_is_exchanged_for_one_that_opens_the_apis(strict: World) -> None:
    answer = exchange(strict)
    assert answer.json()["token_type"] == "Bearer"
    assert access(strict, answer.json()["access_token"]) == 200


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"subject_token": subject(aud="https://elsewhere.example")}, "does not match"),
        ({"subject_token": subject(exp=1)}, "expired"),
        ({"subject_token": "nonsense"}, "not a valid JWT"),
        ({"grant_type": "password"}, "grant type"),
        ({"audience": "//iam.googleapis.com/projects/x"}, "audience"),
    ],
)
def test_a_wrong_exchange_is_refused(google: World, fields: dict[str, str], text: str) -> None:
    answer = exchange(google, **fields)
    assert answer.status_code == 400
    assert text in answer.json()["error"]["message"]


def test_google_auth_logs_in_through_a_service_account(strict: World, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(json.dumps({"value": subject()}))
    impersonate = f"{strict.run}/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
    credentials = identity_pool.Credentials.from_info(  # type: ignore[no-untyped-call]
        {
            "type": "external_account",
            "audience": POOL,
            "subject_token_type": FORM["subject_token_type"],
            "token_url": f"{strict.run}/v1/token",
            "service_account_impersonation_url": impersonate,
            "credential_source": {
                "file": str(tmp_path / "token"),
                "format": {"type": "json", "subject_token_field_name": "value"},
            },
        },
        scopes=[FORM["scope"]],
    )
    credentials.refresh(google.auth.transport.requests.Request())
    assert access(strict, credentials.token) == 200


def test_an_access_token_ends_with_its_lifetime(strict: World) -> None:
    bearer = exchange(strict).json()["access_token"]
    strict.session.headers["Authorization"] = f"Bearer {bearer}"
    path = f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
    body = {"scope": [FORM["scope"]], "lifetime": "1s"}
    short = strict.call("POST", path, body)["accessToken"]
    assert access(strict, short) == 200
    key = strict.google.tokens
    old = key.issue({"email": ACCOUNT, "scope": "x"}, lifetime=-1)
    assert access(strict, old) == 401
    too_long = strict.error("POST", path, {**body, "lifetime": "7200s"})
    assert too_long["status"] == "INVALID_ARGUMENT"


def test_an_id_token_opens_no_api(google: World) -> None:
    path = f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateIdToken"
    token = google.call("POST", path, {"audience": "https://x", "includeEmail": True})["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["aud"], claims["email"]) == ("https://x", ACCOUNT)
    assert access(google, token) == 401


def test_impersonation_wants_its_permission_and_an_account(google: World) -> None:
    google.google.projects.change(
        "p",
        denied_permissions=["iam.serviceAccounts.getAccessToken"],
        service_accounts=[ACCOUNT],
    )
    base = "/v1/projects/-/serviceAccounts"
    body = {"scope": [FORM["scope"]]}
    error = google.error("POST", f"{base}/{ACCOUNT}:generateAccessToken", body)
    assert error["status"] == "PERMISSION_DENIED"
    other = google.error(
        "POST", f"{base}/nobody@p.iam.gserviceaccount.com:generateAccessToken", body
    )
    assert other["status"] == "NOT_FOUND"
