"""Log-in without keys, against loopback stand-ins of GitHub, AWS STS and Google STS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.auth.transport.requests import Request

from pymacaron_ci.errors import ConfigError, DeployError, OutOfTime
from pymacaron_ci.github import id_token
from pymacaron_ci.github.context import Context
from pymacaron_ci.oidc import Login, TokenSource, claims, stored_keys, told
from pymacaron_ci.oidc import aws as aws_login
from pymacaron_ci.oidc.google import FederatedCredentials
from pymacaron_ci.targets.gcp import authorized
from tests.action.clouds import ACCOUNT, PROVIDER, ROLE, SUBJECT, Clouds, serving, token_of


class FakeClock:
    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


@pytest.fixture
def clouds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clouds]:
    with serving() as found:
        # What boto3 reads by itself; the tool's own code reads no environment here.
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"{found.base}/aws")
        yield found


def context(*, fork: str | None = None, event: str = "push") -> Context:
    return Context(event=event, repository="octo/app", ref="", workspace=Path(), fork=fork)


def tokens(clouds: Clouds, masked: list[str] | None = None) -> TokenSource:
    mask = (masked if masked is not None else []).append
    return id_token.source(clouds.environ(), context(), mask=mask, clock=FakeClock())


def hint_of(failure: DeployError) -> str:
    return failure.problems[0].hint or ""


# GitHub's token


def test_a_token_is_for_the_audience_and_masked(clouds: Clouds) -> None:
    masked: list[str] = []
    token = tokens(clouds, masked)("my audience/é?")
    assert claims(token)["aud"] == "my audience/é?"
    assert masked == [token]
    assert clouds.calls[0][1] == {"api-version": "2.0", "audience": "my audience/é?"}


def test_github_is_asked_again_while_it_is_busy(clouds: Clouds) -> None:
    clouds.github_answers = [503, 429]
    clock = FakeClock()
    source = id_token.source(clouds.environ(), context(), mask=lambda _: None, clock=clock)
    assert claims(source("x"))["sub"] == SUBJECT
    assert len(clock.slept) == 2


def test_github_is_not_asked_for_ever(clouds: Clouds) -> None:
    clouds.github_answers = [503] * 500
    with pytest.raises(OutOfTime, match=r"identity token took longer than 60 s.*answers 503"):
        tokens(clouds)("x")


def test_a_refusal_is_not_asked_again_and_names_the_permission(clouds: Clouds) -> None:
    clouds.github_answers = [403]
    with pytest.raises(DeployError, match="answered 403") as caught:
        tokens(clouds)("x")
    assert "id-token: write" in hint_of(caught.value)
    assert clouds.names == ["github"]


def test_a_job_without_the_permission_is_shown_the_lines_to_add() -> None:
    with pytest.raises(DeployError, match="this job may not ask") as caught:
        id_token.source({}, context(), mask=lambda _: None)
    assert "permissions:" in hint_of(caught.value)
    assert "id-token: write" in hint_of(caught.value)


def test_a_forks_pull_request_is_told_that_it_never_gets_one() -> None:
    fork = context(fork="eve/app", event="pull_request")
    with pytest.raises(DeployError, match="comes from a fork \\(eve/app\\)") as caught:
        id_token.source({}, fork, mask=lambda _: None)
    assert "id-token" not in hint_of(caught.value)


def test_outside_github_a_persons_own_log_in_is_named() -> None:
    with pytest.raises(DeployError, match="outside GitHub") as caught:
        id_token.source({}, None, mask=lambda _: None)
    assert "aws sso login" in hint_of(caught.value)


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.!!.c", "a.e30", "....", "a.W10.c"])
def test_a_text_that_is_no_token_claims_nothing(text: str) -> None:
    assert claims(text) == {}
    assert told(claims(text)) == ()


def test_only_claims_that_a_policy_looks_at_are_told() -> None:
    found = told(claims(token_of({"sub": "repo:a/b", "jti": "private", "aud": "x"})))
    assert found == ("the identity token said:", "  sub: repo:a/b", "  aud: x")


# AWS


def test_a_role_is_assumed_at_once_unsigned_and_its_session_works(clouds: Clouds) -> None:
    masked: list[str] = []
    session = aws_login.session(ROLE, "eu-west-1", tokens(clouds, masked), run="octo/app/7")
    assert clouds.names == ["github", "AssumeRoleWithWebIdentity"]
    form = clouds.calls[1][1]
    assert form["authorization"] == ""
    assert form["RoleSessionName"] == "pymacaron-octo-app-7"
    assert masked[1:] == ["aws-secret-1", "aws-session-1"]

    assert session.client("sts").get_caller_identity()["Account"] == "123456789012"
    assert "Credential=ASIAEXAMPLE1/" in clouds.calls[2][1]["authorization"]
    assert clouds.names.count("github") == 1  # the first credentials are used, not thrown away


def test_a_long_deployment_gets_new_credentials_with_a_new_token(clouds: Clouds) -> None:
    clouds.lifetime = 60  # botocore renews what lasts less than ten minutes
    session = aws_login.session(ROLE, "eu-west-1", tokens(clouds))
    sts = session.client("sts")
    sts.get_caller_identity()
    sts.get_caller_identity()
    used = [form["WebIdentityToken"] for name, form in clouds.calls if name.startswith("Assume")]
    assert len(used) == len(set(used)) >= 2


def test_a_session_name_is_one_that_aws_takes() -> None:
    import re

    for run in ("", "a b/ç:" * 30, "17"):
        assert re.fullmatch(r"[A-Za-z0-9_+=,.@-]{2,64}", aws_login.session_name(run))


@pytest.mark.parametrize(
    ("error", "text", "hint"),
    [
        (
            ("InvalidIdentityToken", "Incorrect token audience"),
            "refuses the identity token's audience",
            "sts.amazonaws.com",
        ),
        (
            (
                "InvalidIdentityToken",
                "No OpenIDConnect provider found in your account for https://x",
            ),
            "does not trust GitHub",
            "create-open-id-connect-provider",
        ),
        (
            ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            f"the trust policy of {ROLE} refuses",
            f'"token.actions.githubusercontent.com:sub": "{SUBJECT}"',
        ),
        (("ExpiredTokenException", "Token expired"), "expired", "clock"),
        (("ValidationError", "roleArn is invalid"), "ValidationError: roleArn is invalid", "IAM"),
    ],
)
def test_each_refusal_of_aws_has_its_own_message_and_the_line_to_add(
    clouds: Clouds, error: tuple[str, str], text: str, hint: str
) -> None:
    clouds.aws_error = error
    masked: list[str] = []
    with pytest.raises(DeployError) as caught:
        aws_login.session(ROLE, "eu-west-1", tokens(clouds, masked))
    assert text in str(caught.value)
    assert hint in hint_of(caught.value)
    assert f"  sub: {SUBJECT}" in caught.value.details
    whole = f"{caught.value}{hint_of(caught.value)}{caught.value.details}"
    assert masked[0] not in whole
    assert caught.value.exit_code == 5
    assert clouds.names.count("AssumeRoleWithWebIdentity") == 1


def test_credentials_of_the_machine_are_not_used_when_a_role_is_given(
    clouds: Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAAMBIENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient")
    session = aws_login.session(ROLE, "eu-west-1", tokens(clouds))
    session.client("sts").get_caller_identity()
    assert not any("AKIAAMBIENT" in call.get("authorization", "") for _, call in clouds.calls)


# Google


def google(
    clouds: Clouds,
    *,
    service_account: str | None = None,
    masked: list[str] | None = None,
) -> FederatedCredentials:
    masked = masked if masked is not None else []
    return FederatedCredentials(
        PROVIDER,
        tokens(clouds, masked),
        service_account=service_account,
        sts=f"{clouds.base}/google",
        iam=f"{clouds.base}/google",
    )


def test_the_pools_own_identity_is_federated(clouds: Clouds) -> None:
    masked: list[str] = []
    found = google(clouds, masked=masked)
    assert clouds.names == ["github", "exchange"]
    assert clouds.calls[0][1]["audience"] == f"https://iam.googleapis.com/{PROVIDER}"
    form = clouds.calls[1][1]
    assert form["audience"] == f"//iam.googleapis.com/{PROVIDER}"
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
    assert found.token == masked[1] == "ya29.federated-1"
    assert found.expiry is not None


def test_a_service_account_is_impersonated(clouds: Clouds) -> None:
    found = google(clouds, service_account=ACCOUNT)
    assert clouds.names == ["github", "exchange", "impersonate"]
    assert clouds.calls[2][1]["path"].endswith(f"serviceAccounts/{ACCOUNT}:generateAccessToken")
    assert clouds.calls[2][1]["authorization"] == "Bearer ya29.federated-1"
    assert found.token == "ya29.impersonated-1"
    assert found.service_account_email == ACCOUNT


def test_each_renewal_uses_a_new_identity_token(clouds: Clouds) -> None:
    found = google(clouds)
    found.refresh(Request())
    assert found.token == "ya29.federated-2"
    used = [call["subject_token"] for name, call in clouds.calls if name == "exchange"]
    assert len(set(used)) == 2


def test_requests_carry_the_token_and_nobody_else_is_asked(clouds: Clouds) -> None:
    session = authorized(google(clouds, service_account=ACCOUNT))
    for _ in range(2):
        session.request("GET", f"{clouds.base}/api")
    assert set(clouds.names) == {"github", "exchange", "impersonate", "stray"}
    assert [call["path"] for name, call in clouds.calls if name == "stray"] == ["/api", "/api"]


@pytest.mark.parametrize(
    ("error", "text", "hint"),
    [
        (
            {
                "error": "invalid_grant",
                "error_description": "The audience in ID Token [x] does not match the expected "
                "audience.",
            },
            "refuses the identity token's audience",
            f"https://iam.googleapis.com/{PROVIDER}",
        ),
        (
            {
                "error": "unauthorized_client",
                "error_description": "The given credential is rejected by the attribute condition.",
            },
            "attribute condition refuses",
            "assertion.repository == 'octo/app'",
        ),
        (
            {
                "error": "invalid_target",
                "error_description": 'The target service indicated by the "audience" parameters is '
                "invalid. This might either be because the pool or provider is disabled or deleted "
                "or because it doesn't exist.",
            },
            "does not exist, or is disabled",
            "providers list",
        ),
        (
            {"error": "invalid_grant", "error_description": "ID Token issued at 1 is stale."},
            "did not accept the identity token",
            PROVIDER,
        ),
    ],
)
def test_each_refusal_of_google_has_its_own_message_and_the_line_to_add(
    clouds: Clouds, error: dict[str, str], text: str, hint: str
) -> None:
    clouds.google_error = (400, error)
    masked: list[str] = []
    with pytest.raises(DeployError) as caught:
        google(clouds, masked=masked)
    assert text in str(caught.value)
    assert error["error_description"] in str(caught.value)
    assert hint in hint_of(caught.value)
    assert f"  sub: {SUBJECT}" in caught.value.details
    assert masked[0] not in f"{caught.value}{hint_of(caught.value)}{caught.value.details}"


def test_a_service_account_that_may_not_be_impersonated_is_shown_the_binding(
    clouds: Clouds,
) -> None:
    clouds.impersonation_error = (
        403,
        {
            "error": {
                "code": 403,
                "message": "Permission 'iam.serviceAccounts.getAccessToken' denied",
            }
        },
    )
    with pytest.raises(DeployError, match=f"may not act as {ACCOUNT}") as caught:
        google(clouds, service_account=ACCOUNT)
    assert "roles/iam.workloadIdentityUser" in hint_of(caught.value)
    assert "attribute.repository/octo/app" in hint_of(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com",
        "http://sts.googleapis.com",
        "https://sts.googleapis.com.evil.example",
        "https://evilgoogleapis.com",
        "",
    ],
)
def test_an_identity_token_goes_nowhere_but_to_google(clouds: Clouds, url: str) -> None:
    with pytest.raises(ConfigError, match="are not sent to"):
        FederatedCredentials(PROVIDER, tokens(clouds), sts=url)
    assert clouds.calls == []


# Stored keys


@pytest.mark.parametrize(
    ("target", "key", "kind", "login", "warned"),
    [
        ("aws-beanstalk", "AKIAEXAMPLE", None, Login(), "stored AWS access key"),
        ("aws-beanstalk", "ASIAEXAMPLE", None, Login(), ""),
        ("aws-beanstalk", "AKIAEXAMPLE", None, Login(aws_role=ROLE), ""),
        ("gcp-cloud-run", "AKIAEXAMPLE", None, Login(), ""),
        ("gcp-cloud-run", "", "service_account", Login(), "service account's stored key"),
        ("gke", "", "service_account", Login(), "service account's stored key"),
        ("gke", "", "external_account", Login(), ""),
        ("gke", "", "service_account", Login(gcp_provider=PROVIDER), ""),
        ("gke", "", "not json", Login(), ""),
    ],
)
def test_a_stored_key_draws_a_warning_that_shows_how_to_go_without(
    tmp_path: Path, target: str, key: str, kind: str | None, login: Login, warned: str
) -> None:
    environ = {"AWS_ACCESS_KEY_ID": key}
    if kind:
        file = tmp_path / "key.json"
        file.write_text(kind if kind == "not json" else json.dumps({"type": kind}))
        environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(file)
    problems = list(stored_keys(environ, target, login))
    assert len(problems) == bool(warned)
    for problem in problems:
        assert warned in problem.text
        assert problem.severity == "warning"
        assert "id-token: write" in (problem.hint or "")
        assert "EXAMPLE" not in str(problem)
