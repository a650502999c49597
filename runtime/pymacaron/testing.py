"""A client for acceptance tests that says what was asked and answered when they fail.

test.py makes unittest assertions of it, pytest_plugin.py fixtures.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import Response

Json = Mapping[str, Any]

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
LONGEST_SHOWN = 2000


@dataclass(frozen=True, kw_only=True)
class Target:
    """The server under test."""

    host: str
    port: int
    token: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        scheme = "https" if self.port == 443 else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


def target_from(environ: Mapping[str, str] | None = None) -> Target:
    """The server of PYM_SERVER_HOST and PYM_SERVER_PORT with the token PYM_JWT_TOKEN.

    Without that variable a token is made where the configuration here has the secret for it.
    """
    environ = os.environ if environ is None else environ
    host, port = environ.get("PYM_SERVER_HOST", ""), environ.get("PYM_SERVER_PORT", "")
    for scheme in ("http://", "https://"):
        host = host.removeprefix(scheme)
    host = host.rstrip("/").strip("[]")
    if not host or not port.isdigit():
        raise RuntimeError(
            "no server to test: set PYM_SERVER_HOST and PYM_SERVER_PORT, or run `pymtest`"
        )
    return Target(host=host, port=int(port), token=environ.get("PYM_JWT_TOKEN") or own_token())


def server_headers(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What every request must carry, as a JSON object in PYM_SERVER_HEADERS: a private service on
    Cloud Run wants an identity beside the service's own tokens."""
    text = (os.environ if environ is None else environ).get("PYM_SERVER_HEADERS", "")
    try:
        headers = json.loads(text) if text else {}
    except ValueError:
        headers = None
    if not isinstance(headers, dict) or not all(isinstance(v, str) for v in headers.values()):
        raise RuntimeError("PYM_SERVER_HEADERS must be a JSON object of texts")
    return headers


def own_token() -> str | None:
    """A token for tests, if the configuration found here can make one."""
    from pymacaron.auth import generate_token
    from pymacaron.config import ConfigError, get_config

    try:
        return generate_token("test-jwt-token") if get_config().get("jwt_secret") else None
    except ConfigError:
        return None


class Client:
    """Calls a server and checks the status of what it answers."""

    def __init__(
        self, target: Target, *, verify_ssl: bool = True, timeout: tuple[float, float] = (50, 50)
    ) -> None:
        self.target = target
        self._verify = verify_ssl and not os.environ.get("NO_SSL_CHECK")
        self._headers = server_headers()
        self._timeout = timeout

    def call(
        self,
        method: str,
        path: str,
        *,
        data: object = None,
        auth: str | None = None,
        status: int | None = 200,
        allow_redirects: bool = True,
        kind: str | None = None,
    ) -> Response:
        """The answer. AssertionError if it has another status; None takes any.

        `data` is sent as JSON if it is a dict or a list, as it is if it is str or bytes.
        """
        requests = _requests()
        verb = method.lower()
        if verb not in METHODS:
            raise ValueError(f"{method} is no HTTP method; use one of {', '.join(METHODS)}")
        url = f"{self.target.url}/{path.lstrip('/')}"
        headers = {**self._headers, **({"Authorization": auth} if auth else {})}
        if isinstance(data, dict | list):
            headers["Content-Type"] = "application/json"
        elif data is not None and kind:
            headers["Content-Type"] = kind
        keyword = "json" if isinstance(data, dict | list) else "data"
        body: dict[str, Any] = {} if data is None else {keyword: data}
        answer: Response | None = None
        for attempt in range(3):
            try:
                answer = requests.request(
                    verb,
                    url,
                    headers=headers,
                    timeout=self._timeout,
                    verify=self._verify,
                    allow_redirects=allow_redirects,
                    **body,
                )
                break
            except requests.exceptions.ReadTimeout:
                if verb != "get" or attempt == 2:
                    raise
        assert answer is not None  # noqa: S101  (for mypy: the loop ends with an answer or raises)
        print(f"{verb.upper()} {url} -> {answer.status_code}")
        if status is not None and answer.status_code != status:
            raise AssertionError(
                f"{verb.upper()} {url}: expected status {status}, got {answer.status_code}: "
                f"{answer.text[:LONGEST_SHOWN]}"
            )
        return answer

    def json(
        self,
        method: str,
        path: str,
        *,
        data: object = None,
        auth: str | None = None,
        status: int | None = 200,
    ) -> Any:
        """The answer's JSON."""
        answer = self.call(
            method, path, data=data, auth=auth, status=status, kind="application/json"
        )
        try:
            return answer.json()
        except ValueError:
            raise AssertionError(
                f"{method.upper()} {answer.url}: expected JSON, got "
                f"{answer.headers.get('Content-Type')}: {answer.text[:LONGEST_SHOWN]}"
            ) from None

    def error(
        self,
        method: str,
        path: str,
        status: int,
        error: str,
        *,
        data: object = None,
        auth: str | None = None,
    ) -> Any:
        """The JSON of an error answer with this status and code."""
        j = self.json(method, path, data=data, auth=auth, status=status)
        if not isinstance(j, dict) or j.get("error") != error:
            raise AssertionError(f"{method.upper()} {path}: expected the error {error}, got {j}")
        return j

    def get(self, path: str, *, auth: str | None = None, status: int = 200) -> Any:
        return self.json("get", path, auth=auth, status=status)

    def post(
        self, path: str, data: object = None, *, auth: str | None = None, status: int = 200
    ) -> Any:
        return self.json("post", path, data=data, auth=auth, status=status)

    def put(
        self, path: str, data: object = None, *, auth: str | None = None, status: int = 200
    ) -> Any:
        return self.json("put", path, data=data, auth=auth, status=status)

    def patch(
        self, path: str, data: object = None, *, auth: str | None = None, status: int = 200
    ) -> Any:
        return self.json("patch", path, data=data, auth=auth, status=status)

    def delete(self, path: str, *, auth: str | None = None, status: int = 200) -> Any:
        return self.json("delete", path, auth=auth, status=status)


def _requests() -> Any:
    try:
        import requests
    except ImportError as error:
        raise ImportError(
            "acceptance tests need requests: pip install 'pymacaron[test]'"
        ) from error
    return requests
