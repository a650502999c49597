"""The log-in without keys inside the action, run by act, against loopback stand-ins."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymacaron_ci.simulator import client
from tests.action import act
from tests.action.clouds import ACCOUNT, PROVIDER, ROLE, SUBJECT, Clouds, serving

pytestmark = [pytest.mark.real("act"), pytest.mark.real("git")]

HELLO = act.ROOT / "examples" / "helloworld"
SECRET = {"HELLO_JWT_SECRET": "not-so-secret-value"}
AWS = {"environment": "aws", "command": "status", "aws-role-to-assume": ROLE}
GOOGLE = {
    "command": "dry-run",
    "gcp-workload-identity-provider": PROVIDER,
    "gcp-service-account": ACCOUNT,
}


def run(folder: Path, action: Path, inputs: dict[str, str], environ: dict[str, str]) -> act.Ran:
    flow = act.workflow(act.use("deploy", inputs=inputs, secrets=tuple(SECRET)))
    workspace = act.caller(folder / "ws", flow, {}, service=HELLO)
    return act.run(workspace, folder / "home", action=action, secrets=SECRET, environ=environ)


def tokens_of(clouds: Clouds) -> list[str]:
    keys = ("WebIdentityToken", "subject_token")
    return [call[key] for _, call in clouds.calls for key in keys if key in call]


def test_a_role_is_assumed_and_used(tmp_path: Path, action: Path) -> None:
    state = tmp_path / "simulator"
    try:
        endpoints = client.start(state, engine=False, clouds=("aws",))
        with serving() as clouds:
            environ = clouds.environ() | {
                "AWS_ENDPOINT_URL": endpoints.others["aws"],
                "AWS_ENDPOINT_URL_STS": f"{clouds.base}/aws",
            }
            ran = run(tmp_path, action, AWS, environ)
        assert ran.status == 0, ran.log()
        assert ran.outputs("deploy")["status"] == "nothing-live"
        assert clouds.names[:2] == ["github", "AssumeRoleWithWebIdentity"]
        assert clouds.calls[1][1]["authorization"] == ""
        masked = [record["arg"] for record in ran.commands("add-mask", "deploy")]
        secrets = [*tokens_of(clouds), "aws-secret-1", "aws-session-1"]
        assert set(secrets) <= set(masked)
        shown = ran.shown(SECRET)
        assert not [secret for secret in secrets if secret in shown]
    finally:
        client.stop(state)


def test_a_refusal_is_told_with_the_claims_and_never_the_token(
    tmp_path: Path, action: Path
) -> None:
    said = "The given credential is rejected by the attribute condition."
    with serving() as clouds:
        clouds.google_error = (400, {"error": "unauthorized_client", "error_description": said})
        environ = clouds.environ() | {
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STS": f"{clouds.base}/google"
        }
        ran = run(tmp_path, action, GOOGLE, environ)
    assert ran.exit_status("deploy") == 5, ran.log()
    ((_, _, text),) = ran.annotations("deploy")
    assert said in text
    assert f"sub: {SUBJECT}" in ran.log("deploy")
    assert f"sub: {SUBJECT}" in ran.summary("deploy")
    (token,) = tokens_of(clouds)
    assert token not in ran.shown({})
    assert ran.outputs("deploy")["status"] == "failed"
