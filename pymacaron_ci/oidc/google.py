"""Google credentials out of identity tokens: the pool's own identity, or a service account's."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import google.auth.exceptions
from google.auth import identity_pool
from google.auth.transport.requests import Request

from pymacaron_ci.errors import ConfigError, DeployError
from pymacaron_ci.oidc import TokenSource, claims, told

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
STS = "https://sts.googleapis.com"
IAM = "https://iamcredentials.googleapis.com"
_Exchange: Any = identity_pool.Credentials  # google-auth has half its types
_JWT = "urn:ietf:params:oauth:token-type:jwt"


class FederatedCredentials:
    """What `targets.gcp.authorized` wants of credentials: each refresh uses a new identity token.

    Without a service account Google lets an access token live for five minutes only.
    """

    def __init__(
        self,
        provider: str,
        tokens: TokenSource,
        *,
        service_account: str | None = None,
        sts: str = STS,
        iam: str = IAM,
    ) -> None:
        """Fetches an access token right now, so that a refusal is told before anything else
        happens: DeployError."""
        for url in (sts, iam):
            _check(url)
        self.service_account_email = service_account
        self.token: str | None = None
        self.expiry: datetime | None = None
        self._provider = provider
        self._tokens = tokens
        self._said: dict[str, Any] = {}
        self._exchange = _Exchange(
            audience=f"//iam.googleapis.com/{provider}",
            subject_token_type=_JWT,
            token_url=f"{sts}/v1/token",
            subject_token_supplier=_Supplier(self._identity),
            service_account_impersonation_url=_impersonation(service_account, iam),
            scopes=[SCOPE],
        )
        self.refresh(Request())

    def refresh(self, request: object) -> None:
        try:
            self._exchange.refresh(request)
        except google.auth.exceptions.GoogleAuthError as error:
            raise _refused(error, self._provider, self.service_account_email, self._said) from error
        self.token, self.expiry = self._exchange.token, self._exchange.expiry
        if self.token:
            self._tokens.mask(self.token)

    def _identity(self) -> str:
        token = self._tokens(f"https://iam.googleapis.com/{self._provider}")
        self._said = claims(token)
        return token


class _Supplier(identity_pool.SubjectTokenSupplier):
    """google-auth asks it at each renewal."""

    def __init__(self, identity: Callable[[], str]) -> None:
        self._identity = identity

    def get_subject_token(self, context: object, request: object) -> str:  # noqa: ARG002
        return self._identity()


def _impersonation(service_account: str | None, iam: str) -> str | None:
    if not service_account:
        return None
    return f"{iam}/v1/projects/-/serviceAccounts/{service_account}:generateAccessToken"


def _check(url: str) -> None:
    """A token goes to Google, or to a stand-in on this machine; nowhere else."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and (host == "googleapis.com" or host.endswith(".googleapis.com")):
        return
    if host in ("127.0.0.1", "::1", "localhost"):
        return
    raise ConfigError(
        f"identity tokens are not sent to {host or url}",
        hint="an endpoint for log-in is https://….googleapis.com, or on this machine",
    )


def _message(error: google.auth.exceptions.GoogleAuthError) -> str:
    """Its first argument is a sentence; the second may be the answer that it came from."""
    parts = [str(part) for part in error.args if isinstance(part, str)] or [str(error)]
    try:
        answered = json.loads(parts[1])["error"]["message"]
    except (IndexError, ValueError, KeyError, TypeError):
        return parts[0]
    return f"{parts[0]}: {answered}"


def _refused(
    error: google.auth.exceptions.GoogleAuthError,
    provider: str,
    service_account: str | None,
    said: dict[str, Any],
) -> DeployError:
    """What Google said, what the token says, and what makes the two agree."""
    message = _message(error)
    lower = message.lower()
    pool = provider.rpartition("/providers/")[0]
    repository = said.get("repository") or "OWNER/REPO"
    member = f"principalSet://iam.googleapis.com/{pool}/attribute.repository/{repository}"
    if isinstance(error, google.auth.exceptions.TransportError):
        text = "Google's log-in could not be asked"
        hint = "see the network of the runner, then run the job again"
    elif "invalid_target" in lower:
        text = f"the provider {provider} does not exist, or is disabled"
        hint = (
            "gcloud iam workload-identity-pools providers list --location global "
            "--workload-identity-pool POOL shows what there is"
        )
    elif "audience" in lower:
        text = "Google refuses the identity token's audience"
        hint = f"the provider must allow the audience https://iam.googleapis.com/{provider}"
    elif "attribute condition" in lower or "attribute_condition" in lower:
        text = "the provider's attribute condition refuses this run"
        hint = f"the condition must hold for it: assertion.repository == '{repository}'"
    elif service_account and isinstance(error, google.auth.exceptions.RefreshError):
        text = f"this run may not act as {service_account}"
        hint = (
            f"gcloud iam service-accounts add-iam-policy-binding {service_account} "
            f"--role roles/iam.workloadIdentityUser --member '{member}'"
        )
    else:
        text = "Google did not accept the identity token"
        hint = f"see the provider's issuer, audience and condition: {provider}"
    return DeployError(f"{text}: {message[:500]}", hint=hint, details=told(said))
