"""Keyless log-in: STS exchanges a runner's token, iamcredentials speaks for an account."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from pymacaron_ci.simulator.google.api import Call, Route
from pymacaron_ci.simulator.google.errors import ApiError, invalid
from pymacaron_ci.simulator.google.projects import Projects
from pymacaron_ci.simulator.google.tokens import TokenDesk

Json = dict[str, Any]
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind
SUBJECTS = (
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
)
POOL = re.compile(
    r"//iam\.googleapis\.com/projects/\d+/locations/global/workloadIdentityPools/[^/]+/providers/[^/]+"
)
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
SHORTEST, LONGEST = 1, 3600


class Login:
    """A subject token's audience and life are checked. Its signature is not: no key of a real
    issuer is known here."""

    def __init__(self, projects: Projects, tokens: TokenDesk) -> None:
        self._projects, self._tokens = projects, tokens

    def routes(self) -> Iterable[Route]:
        account = "/v1/projects/-/serviceAccounts/{account}"
        yield Route("POST", "/v1/token", self._exchange)
        yield Route("POST", account + ":generateAccessToken", self._access)
        yield Route("POST", account + ":generateIdToken", self._identity)

    def _exchange(self, call: Call) -> Json:
        form = {
            re.sub("([A-Z])", lambda m: f"_{m[1].lower()}", key): value
            for key, value in call.body.items()
        }
        if form.get("grant_type") != EXCHANGE:
            raise invalid("Invalid grant type.", "grant_type")
        if form.get("subject_token_type") not in SUBJECTS:
            raise invalid("Invalid subject token type.", "subject_token_type")
        if form.get("requested_token_type") != ACCESS_TOKEN:
            raise invalid("Invalid requested token type.", "requested_token_type")
        audience = str(form.get("audience", ""))
        if not POOL.fullmatch(audience):
            raise invalid('Invalid value for "audience".', "audience")
        claims = _claims(str(form.get("subject_token", "")))
        wanted = {f"https:{audience}", audience}
        if claims.get("aud") not in wanted and not wanted & set(_listed(claims.get("aud"))):
            got = claims.get("aud")
            raise invalid(f"The audience in ID Token [{got}] does not match the expected audience.")
        expires = claims.get("exp", 0)
        if not isinstance(expires, (int, float)) or expires < datetime.now().timestamp():
            raise invalid("ID Token is expired or its exp claim is missing.")
        email = f"principal:{claims.get('sub', '')}"
        lifetime = min(LONGEST, expires - datetime.now().timestamp())
        token = self._tokens.issue(
            {"email": email, "scope": form.get("scope", SCOPE)}, lifetime=lifetime
        )
        return {
            "access_token": token,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": int(lifetime),
        }

    def _account(self, call: Call, permission: str) -> str:
        email = call.names["account"]
        owner = email.partition("@")[2].partition(".")[0]
        project = self._projects.get(owner)
        project.require_api("iamcredentials.googleapis.com")
        name = f"projects/-/serviceAccounts/{email}"
        if not project.account_exists(email):
            raise ApiError("NOT_FOUND", f"Not found; Gaia id not found for email {email}")
        project.require(f"iam.serviceAccounts.{permission}", name)
        return email

    def _access(self, call: Call) -> Json:
        email = self._account(call, "getAccessToken")
        lifetime = float(str(call.body.get("lifetime", "3600s")).rstrip("s"))
        if not SHORTEST <= lifetime <= LONGEST:
            raise invalid("The access token lifetime cannot exceed 3600 seconds.", "lifetime")
        scopes = call.body.get("scope") or []
        if not scopes:
            raise invalid("At least one scope is required.", "scope")
        token = self._tokens.issue({"email": email, "scope": " ".join(scopes)}, lifetime)
        end = datetime.now(timezone.utc) + timedelta(seconds=lifetime)
        return {"accessToken": token, "expireTime": end.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def _identity(self, call: Call) -> Json:
        email = self._account(call, "getOpenIdToken")
        audience = call.body.get("audience")
        if not audience:
            raise invalid("audience is required.", "audience")
        claims = {"aud": audience, "sub": email, "azp": email}
        if call.body.get("includeEmail"):
            claims |= {"email": email, "email_verified": True}
        return {"token": self._tokens.issue(claims)}


def _claims(token: str) -> Json:
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError) as error:
        raise invalid("The subject token is not a valid JWT.") from error
    if not isinstance(claims, dict):
        raise invalid("The subject token is not a valid JWT.")
    return claims


def _listed(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
