"""The public keys of somebody else's tokens, from a JWKS URL (RFC 7517), asked for rarely."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from pymacaron.config import ConfigError
from pymacaron.exceptions import AuthInvalidTokenError, PyMacaronException

FRESH_SECONDS = 600
# An unknown key id makes us ask again; a flood of made-up ids must not become one of requests.
ASK_AGAIN_SECONDS = 30
TIMEOUT = 3
LARGEST = 256 * 1024

Fetch = Callable[[str], bytes]


class AuthKeysUnavailable(PyMacaronException):
    """The keys that tokens are checked with can't be had; the token may be good."""

    code = "AUTH_KEYS_UNAVAILABLE"
    status = 503


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def fetch(url: str) -> bytes:
    """The document, over https (plain http only from this machine), without following redirects."""
    parts = urlsplit(url)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise ConfigError("jwt_jwks_url must start with https://: keys over http can be forged")
    opener = urllib.request.build_opener(_NoRedirect)
    with opener.open(url, timeout=TIMEOUT) as answer:
        content: bytes = answer.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError("larger than any key set")
    return content


class KeySet:
    """The keys at one URL by key id. An outage of the URL leaves the keys we have in use."""

    def __init__(
        self, url: str, get: Fetch = fetch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url, self._get, self._clock = url, get, clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, Mapping[str, Any]] = {}
        self._fetched = self._asked = float("-inf")

    def find(self, kid: str | None, algorithm: str) -> Mapping[str, Any]:
        """The key for a token's header; AuthInvalidTokenError when there is none of that id."""
        now = self._clock()
        key = self._choose(kid)
        if now - self._fetched > FRESH_SECONDS or (kid is not None and key is None):
            # While one thread waits for a slow site, tokens of known keys don't wait with it.
            if self._lock.acquire(blocking=key is None):
                try:
                    if now - self._asked > ASK_AGAIN_SECONDS and now >= self._fetched:
                        self._refresh(now)
                finally:
                    self._lock.release()
            key = self._choose(kid)
        if key is None:
            if not self._keys:
                raise AuthKeysUnavailable("the keys for checking tokens can't be had now")
            raise AuthInvalidTokenError("JWT token is invalid: unknown key")
        if key.get("alg", algorithm) != algorithm or key.get("use", "sig") != "sig":
            raise AuthInvalidTokenError("JWT token is invalid: wrong key")
        return key

    def _choose(self, kid: str | None) -> Mapping[str, Any] | None:
        if kid is not None:
            return self._keys.get(kid)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    def _refresh(self, now: float) -> None:
        self._asked = now
        try:
            found = json.loads(self._get(self._url))["keys"]
            keys = {str(k.get("kid", n)): k for n, k in enumerate(found) if k.get("kty") != "oct"}
        except (
            OSError,
            HTTPException,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
        ):
            return
        if keys:
            self._keys, self._fetched = keys, now


_sets: dict[str, KeySet] = {}


def key_set(url: str) -> KeySet:
    """The one key set of this process for a URL."""
    return _sets.setdefault(url, KeySet(url))
