"""Access and ID tokens: issued by the simulated STS and iamcredentials, recognised by the simulated
APIs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymacaron_ci.simulator.files import read_json, write_json
from pymacaron_ci.simulator.google.errors import ApiError

ISSUER = "https://accounts.google.com"
DEPLOYER = "deployer@simulated.invalid"
UNAUTHENTICATED = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie "
    "or other valid "
    "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)


class TokenInvalid(Exception):
    """Not a token of ours, or one that ran out."""


class TokenDesk:
    """Tokens are JWTs signed with a key of the state folder. `strict`: an API call needs one of
    them.
    """

    def __init__(self, file: Path, *, strict: bool = False) -> None:
        key = read_json(file)
        if not isinstance(key, str):
            key = secrets.token_hex(32)
            write_json(file, key)
        self._key = key.encode()
        self.strict = strict

    def issue(self, claims: Mapping[str, Any], lifetime: float = 3600) -> str:
        now = int(time.time())
        payload = {"iss": ISSUER, "iat": now, "exp": int(now + lifetime), **claims}
        text = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(payload)}"
        return f"{text}.{self._signature(text)}"

    def read(self, token: str) -> Mapping[str, Any]:
        """A token's claims. Raises TokenInvalid."""
        text, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._signature(text).encode(), signature.encode()):
            raise TokenInvalid("the signature does not fit")
        payload = text.partition(".")[2]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
        if claims["exp"] < time.time():
            raise TokenInvalid("the token expired")
        return claims

    def _signature(self, text: str) -> str:
        digest = hmac.new(self._key, text.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def caller(self, token: str | None) -> str:
        if token is None and not self.strict:
            return DEPLOYER
        try:
            claims = self.read(token or "")
        except TokenInvalid as error:
            # a foreign token may be a real one that a user is logged in with: it is not ours to
            # judge
            if self.strict or "expired" in str(error):
                raise ApiError("UNAUTHENTICATED", UNAUTHENTICATED) from error
            return DEPLOYER
        if "scope" not in claims:
            raise ApiError("UNAUTHENTICATED", UNAUTHENTICATED)
        return str(claims["email"])


def _encode(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
