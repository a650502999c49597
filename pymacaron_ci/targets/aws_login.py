"""Which credentials talk to AWS: the run's own identity, or what the environment gives.

Never asks a metadata server: off Amazon's machines that address belongs to somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import boto3
import botocore.session
from botocore.exceptions import BotoCoreError

from pymacaron_ci.errors import DeployError, NoCredentials
from pymacaron_ci.oidc import Login, TokenSource
from pymacaron_ci.options import Settings
from pymacaron_ci.targets.aws import HOW_TO_LOG_IN

Sessions = Callable[[], boto3.Session]


def sessions(
    settings: Settings,
    environ: Mapping[str, str],
    login: Login | None,
    tokens: Callable[[], TokenSource] | None,
) -> Sessions:
    """Makes sessions, each with credentials read anew. Raises NoCredentials if there are none."""
    region = (
        settings.aws_region
        or settings.aws_default_region
        or (login.aws_region if login else None)
        or environ.get("AWS_REGION")
        or environ.get("AWS_DEFAULT_REGION")
    )
    if login and login.aws_role and tokens:
        return _assumed(login.aws_role, region, tokens(), environ)

    def make() -> boto3.Session:
        return ambient(settings.aws_user, region, environ)

    if make().get_credentials() is None:
        raise NoCredentials("there are no credentials for AWS", hint=HOW_TO_LOG_IN)
    return make


def _assumed(
    role: str, region: str | None, tokens: TokenSource, environ: Mapping[str, str]
) -> Sessions:
    from pymacaron_ci.oidc import aws

    if not region:
        raise DeployError(
            "the AWS region is not known", hint="add `aws_region: <region>` to pym-config.yaml"
        )
    return lambda: aws.session(role, region, tokens, run=environ.get("GITHUB_RUN_ID", ""))


def ambient(user: str, region: str | None, environ: Mapping[str, str]) -> boto3.Session:
    """Keys of the environment, else the profile `user` if there is one, else the usual chain."""
    try:
        core = botocore.session.Session()
        if not environ.get("AWS_ACCESS_KEY_ID") and not environ.get("AWS_PROFILE"):
            profiles = core.available_profiles
            core = botocore.session.Session(profile=user if user in profiles else None)
        core.get_component("credential_provider").remove("iam-role")
        session = boto3.Session(
            aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=environ.get("AWS_SESSION_TOKEN"),
            region_name=region,
            botocore_session=core,
        )
        session.get_credentials()
    except BotoCoreError as error:
        raise NoCredentials(f"AWS credentials: {error}", hint=HOW_TO_LOG_IN) from error
    return session
