"""An AWS session out of identity tokens: the role is assumed anew as time passes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config as BotoConfig
from botocore.credentials import DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError

from pymacaron_ci.errors import DeployError
from pymacaron_ci.oidc import TokenSource, claims, told

AUDIENCE = "sts.amazonaws.com"
_ISSUER = "token.actions.githubusercontent.com"
_SECONDS = 3600  # what every role allows


def session(
    role: str,
    region: str,
    tokens: TokenSource,
    *,
    run: str = "",
    endpoint: str | None = None,
) -> boto3.Session:
    """A session whose credentials renew themselves. The role is assumed once right now, so that a
    refusal is told before anything else happens. Raises DeployError.

    `run` goes into the session's name, which CloudTrail shows; `endpoint` replaces STS.
    """
    core = botocore.session.Session()
    core.set_config_variable("region", region)
    first: list[dict[str, str]] = []

    def assume() -> dict[str, str]:
        return first.pop() if first else _assume(core, role, tokens, run, endpoint)

    first.append(_assume(core, role, tokens, run, endpoint))
    core._credentials = DeferredRefreshableCredentials(
        method="assume-role-with-web-identity", refresh_using=assume
    )
    return boto3.Session(botocore_session=core, region_name=region)


def session_name(run: str) -> str:
    """AWS takes 2 to 64 of these characters."""
    return re.sub(r"[^\w+=,.@-]", "-", f"pymacaron-{run or 'ci'}", flags=re.ASCII)[:64]


def _assume(
    core: botocore.session.Session,
    role: str,
    tokens: TokenSource,
    run: str,
    endpoint: str | None,
) -> dict[str, str]:
    token = tokens(AUDIENCE)
    # Unsigned: this call needs no credentials, and must not be signed with some that lie around.
    settings = BotoConfig(
        signature_version=UNSIGNED,
        connect_timeout=10,
        read_timeout=20,
        retries={"mode": "standard", "total_max_attempts": 4},
    )
    sts = core.create_client("sts", config=settings, endpoint_url=endpoint)
    try:
        answer: Mapping[str, Any] = sts.assume_role_with_web_identity(
            RoleArn=role,
            RoleSessionName=session_name(run),
            WebIdentityToken=token,
            DurationSeconds=_SECONDS,
        )
    except ClientError as error:
        raise _refused(error, role, claims(token)) from error
    except BotoCoreError as error:
        raise DeployError(f"AWS STS could not be asked for the role {role}: {error}") from error
    given = answer["Credentials"]
    for name in ("SecretAccessKey", "SessionToken"):
        tokens.mask(given[name])
    until = given["Expiration"]
    return {
        "access_key": given["AccessKeyId"],
        "secret_key": given["SecretAccessKey"],
        "token": given["SessionToken"],
        "expiry_time": until.isoformat() if isinstance(until, datetime) else str(until),
    }


def _refused(error: ClientError, role: str, said: Mapping[str, Any]) -> DeployError:
    """What AWS said, what the token says, and the line that makes the two agree."""
    detail = error.response.get("Error", {})
    code, message = str(detail.get("Code", "")), str(detail.get("Message", ""))
    account = role.split(":")[4]
    if code == "InvalidIdentityToken" and "audience" in message.lower():
        text = "AWS refuses the identity token's audience"
        hint = (
            f"the identity provider {_ISSUER} in account {account} must list the client ID "
            f"(audience) {AUDIENCE}"
        )
    elif code == "InvalidIdentityToken":
        text = f"AWS account {account} does not trust GitHub's identity tokens"
        hint = (
            "create the identity provider: aws iam create-open-id-connect-provider "
            f"--url https://{_ISSUER} --client-id-list {AUDIENCE}"
        )
    elif code == "AccessDenied":
        text = f"the trust policy of {role} refuses this run"
        hint = (
            "its condition must let this run in:\n"
            f'    "StringEquals": {{"{_ISSUER}:aud": "{AUDIENCE}"}},\n'
            f'    "StringLike": {{"{_ISSUER}:sub": "{said.get("sub", "repo:OWNER/REPO:*")}"}}\n'
            "or the role does not exist"
        )
    elif code == "ExpiredTokenException":
        text = "AWS finds the identity token expired"
        hint = "the runner's clock may be wrong; else run the job again"
    else:
        text = f"AWS did not let this run assume {role}: {code or 'no code'}"
        hint = "see the roles and the identity provider in IAM"
    return DeployError(f"{text}: {message}" if message else text, hint=hint, details=told(said))
