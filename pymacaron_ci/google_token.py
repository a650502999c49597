"""An access token for Google's APIs and registries, out of whatever credentials there are.

google-auth's own session loads cryptography and asyncio before it sends anything, and asks
iamcredentials for "allowed locations" in a background thread.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

_EARLY = timedelta(minutes=3, seconds=45)  # as google-auth does it


class Credentials(Protocol):
    """The part of google-auth's credentials that is used here; `expiry` is in UTC, None: never."""

    token: str | None
    expiry: datetime | None

    def refresh(self, request: Any) -> None:
        """Raises google.auth.exceptions.GoogleAuthError."""


class AccessToken:
    """The credentials' token, renewed before it ends. Threads may share it."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._lock = threading.Lock()

    def value(self, refused: str | None = None) -> str:
        """`refused`: a token that Google doesn't take any more. Raises GoogleAuthError."""
        with self._lock:
            if self._credentials.token in (None, "", refused) or self._ends_soon():
                from google.auth.transport.requests import Request

                self._credentials.refresh(Request())
            return str(self._credentials.token)

    def _ends_soon(self) -> bool:
        end = self._credentials.expiry
        if end is None:
            return False
        end = end if end.tzinfo else end.replace(tzinfo=timezone.utc)
        return end - _EARLY < datetime.now(timezone.utc)


class Bearer:
    """Signs requests of a requests.Session; one that is refused is sent again with a new token."""

    def __init__(self, credentials: Credentials) -> None:
        self._token = AccessToken(credentials)

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self._token.value()}"
        request.register_hook("response", self._once_more)
        return request

    def _once_more(self, answer: Any, **options: Any) -> Any:
        signed = answer.request.headers.get("Authorization")  # None where a redirect led elsewhere
        if answer.status_code != 401 or not signed:
            return answer
        answer.content  # noqa: B018  (reads it, so that the connection can be used again)
        request = answer.request.copy()
        refused = signed.removeprefix("Bearer ")
        request.headers["Authorization"] = f"Bearer {self._token.value(refused)}"
        again = answer.connection.send(request, **options)
        again.request = request
        return again
