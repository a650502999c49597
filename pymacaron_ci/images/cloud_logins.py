"""Log-ins for the clouds' own registries, out of the credentials that a deployment has anyway."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

from pymacaron_ci.errors import BuildError
from pymacaron_ci.google_token import AccessToken, Credentials
from pymacaron_ci.images.logins import Login

_GOOGLE = re.compile(r"([\w-]+-docker\.pkg\.dev|([\w-]+\.)?gcr\.io)")
_ECR = re.compile(r"\d{12}\.dkr\.ecr\.([\w-]+)\.amazonaws\.com(\.cn)?")


def belongs_to_a_cloud(host: str) -> bool:
    return bool(_GOOGLE.fullmatch(host) or _ECR.fullmatch(host))


def google(credentials: Credentials) -> Callable[[str], Login | None]:
    """For Artifact Registry, with google-auth's credentials."""
    token = AccessToken(credentials)

    def login(host: str) -> Login | None:
        if not _GOOGLE.fullmatch(host):
            return None
        from google.auth.exceptions import GoogleAuthError

        try:
            return Login(user="oauth2accesstoken", password=token.value())
        except GoogleAuthError as error:
            raise BuildError(f"Google gives no token for {host}: {error}") from error

    return login


def amazon(client: Callable[[str], Any]) -> Callable[[str], Login | None]:
    """For ECR; `client` makes boto3's `ecr` client for a region."""

    def login(host: str) -> Login | None:
        found = _ECR.fullmatch(host)
        if not found:
            return None
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = client(found[1]).get_authorization_token()
            token = answer["authorizationData"][0]["authorizationToken"]
        except (BotoCoreError, ClientError) as error:
            raise BuildError(
                f"AWS gives no log-in for {host}: {error}",
                hint="the deployer needs ecr:GetAuthorizationToken",
            ) from error
        user, _, password = base64.b64decode(token).decode().partition(":")
        return Login(user=user, password=password)

    return login
