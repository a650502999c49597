"""Log-in to the clouds without stored keys: GitHub's identity token, exchanged and renewed."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pymacaron_ci.model import Problem


class TokenSource(Protocol):
    """Whoever can prove which run this is."""

    def __call__(self, audience: str) -> str:
        """A fresh identity token; raises errors.DeployError."""

    def mask(self, value: str) -> None:
        """Keeps what was got for a token out of the log."""


_ROLE = re.compile(r"arn:(aws|aws-cn|aws-us-gov):iam::\d{12}:role/[\w+=,.@/-]+")
_PROVIDER = re.compile(
    r"projects/\d+/locations/global/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+"
)
_ACCOUNT = re.compile(r"[a-z0-9-]+@[a-z0-9.:-]+\.gserviceaccount\.com")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


@dataclass(frozen=True, kw_only=True)
class Login:
    """How the run is to log in; nothing given means the ambient credentials."""

    aws_role: str | None = None
    aws_region: str | None = None
    gcp_provider: str | None = None
    gcp_service_account: str | None = None

    @property
    def provider(self) -> str | None:
        """The provider's resource name, also out of its URL, which consoles offer for copying."""
        if self.gcp_provider is None:
            return None
        return re.sub(r"^(https:)?//iam\.googleapis\.com/", "", self.gcp_provider)

    def problems(self) -> Iterator[Problem]:
        """What no cloud would accept, before one is asked."""
        if self.aws_role and not _ROLE.fullmatch(self.aws_role):
            yield Problem(
                text=f"aws-role-to-assume is not the ARN of a role: '{self.aws_role}'",
                hint="it looks like arn:aws:iam::123456789012:role/deployer",
            )
        if self.aws_region and not _REGION.fullmatch(self.aws_region):
            yield Problem(
                text=f"aws-region is not a region: '{self.aws_region}'",
                hint="it looks like eu-west-1",
            )
        if self.provider and not _PROVIDER.fullmatch(self.provider):
            yield Problem(
                text=f"gcp-workload-identity-provider is not a provider: '{self.gcp_provider}'",
                hint="it looks like projects/123456789/locations/global/workloadIdentityPools/"
                "POOL/providers/PROVIDER, with the project's number, not its name",
            )
        if self.gcp_service_account and not _ACCOUNT.fullmatch(self.gcp_service_account):
            yield Problem(
                text=f"gcp-service-account is not a service account: '{self.gcp_service_account}'",
                hint="it looks like deployer@PROJECT.iam.gserviceaccount.com",
            )
        if self.gcp_service_account and not self.gcp_provider:
            yield Problem(
                text="gcp-service-account is given without gcp-workload-identity-provider",
                hint="give the provider too, or leave both out to use ambient credentials",
            )


def stored_keys(environ: Mapping[str, str], target: str, login: Login) -> Iterator[Problem]:
    """A warning where the run will use a key that somebody stored, and how to do without one."""
    if target == "aws-beanstalk":
        # AKIA: of a user, for ever. ASIA: temporary, as other actions leave them.
        if not login.aws_role and environ.get("AWS_ACCESS_KEY_ID", "").startswith("AKIA"):
            yield _stored("a stored AWS access key", "aws-role-to-assume")
    elif not login.gcp_provider and _is_key(environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")):
        yield _stored("a service account's stored key", "gcp-workload-identity-provider")


def _stored(what: str, instead: str) -> Problem:
    return Problem(
        text=f"this run logs in with {what}: whoever copies it can deploy",
        severity="warning",
        hint=f"log in without one: permissions: id-token: write, and the input {instead} "
        "(docs/oidc.md)",
    )


def _is_key(file: str) -> bool:
    try:
        data = json.loads(Path(file).read_text(encoding="utf-8")) if file else None
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and data.get("type") == "service_account"


def claims(token: str) -> dict[str, Any]:
    """What a token says, unverified: for messages only. Nothing of a text that is no token."""
    try:
        payload = token.split(".")[1]
        data = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


_TOLD = ("sub", "aud", "repository", "ref", "environment", "event_name", "job_workflow_ref")


def told(token_claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The claims a trust policy may look at, for a person to compare with it."""
    found = [f"{name}: {token_claims[name]}" for name in _TOLD if token_claims.get(name)]
    return ("the identity token said:", *(f"  {line}" for line in found)) if found else ()
