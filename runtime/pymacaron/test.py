"""Acceptance tests against a running server.

>>> class Tests(PyMacaronTestCase):
...     def test_hello(self):
...         self.assertGetReturnDict("hello", {"message": "Hello world!"})
"""

# ruff: noqa: PT009, ARG002  (unittest's own assertions; 2.x's signatures)

from __future__ import annotations

import unittest
from typing import Any

from pymacaron.testing import Client, Json, Target, target_from

__all__ = ["PyMacaronTestCase", "load_port_host_token"]


def load_port_host_token() -> tuple[str, str, str | None]:
    """Host, port and token from PYM_SERVER_HOST, PYM_SERVER_PORT and PYM_JWT_TOKEN."""
    target = target_from()
    return target.host, str(target.port), target.token


class PyMacaronTestCase(unittest.TestCase):
    """Calls the server named by PYM_SERVER_HOST and PYM_SERVER_PORT, and compares what it answers.

    Paths may begin with a slash or not; `auth` is the whole value of the Authorization header.
    """

    host = "127.0.0.1"
    port: int | str = 8080
    token: str | None = None
    timeout_connect = 10
    timeout_read = 10

    def setUp(self) -> None:
        super().setUp()
        self.maxDiff = None
        self.host, self.port, self.token = load_port_host_token()

    @property
    def base_url(self) -> str:
        return Target(host=self.host, port=int(self.port)).url

    def assertIsVersion(self, j: Json) -> None:
        """The answer of /version has what it must have."""
        for name, kind in (("apis", list), ("name", str), ("version", str), ("pym_env", str)):
            self.assertIsInstance(j[name], kind, f"{name} of the version {j}")

    def assertHasPing(self, verify_ssl: bool = True) -> None:
        """GET /ping answers {}."""
        self.assertGetReturnOk("ping", verify_ssl=verify_ssl)

    def assertHasVersion(self, verify_ssl: bool = True) -> Any:
        """GET /version answers; returns its JSON."""
        j = self.assertGetReturnJson("version", verify_ssl=verify_ssl)
        self.assertIsVersion(j)
        return j

    def assertHasAuthVersion(self, verify_ssl: bool = True) -> Any:
        """GET /auth/version refuses bad tokens and takes self.token; returns its JSON."""
        for auth, error in (
            (None, "AUTHORIZATION_HEADER_MISSING"),
            ("", "AUTHORIZATION_HEADER_MISSING"),
            ("Bearer1234567890", "TOKEN_INVALID"),
            ("bearer foo bar", "TOKEN_INVALID"),
            ("Bearer 1234567890", "TOKEN_INVALID"),
        ):
            self.assertGetReturnError("auth/version", 401, error, auth, verify_ssl=verify_ssl)
        self.assertTrue(
            self.token, "no token: set PYM_JWT_TOKEN, or run the tests by `pymtest --gen-token`"
        )
        j = self.assertGetReturnJson(
            "auth/version", auth=f"Bearer {self.token}", verify_ssl=verify_ssl
        )
        self.assertIsVersion(j)
        return j

    def assertGetReturnJson(
        self, path: str, status: int = 200, auth: str | None = None, verify_ssl: bool = True
    ) -> Any:
        return self.assertCallReturnJson("get", path, None, auth, status, verify_ssl=verify_ssl)

    def assertDeleteReturnJson(
        self, path: str, status: int = 200, auth: str | None = None, verify_ssl: bool = True
    ) -> Any:
        return self.assertCallReturnJson("delete", path, None, auth, status, verify_ssl=verify_ssl)

    def assertPostReturnJson(
        self,
        path: str,
        data: object,
        status: int = 200,
        auth: str | None = None,
        verify_ssl: bool = True,
    ) -> Any:
        return self.assertCallReturnJson("post", path, data, auth, status, verify_ssl=verify_ssl)

    def assertGetReturnDict(
        self,
        path: str,
        kv: Json,
        status: int = 200,
        auth: str | None = None,
        verify_ssl: bool = True,
    ) -> Any:
        return self.assertCallReturnDict("get", path, kv, None, auth, status, verify_ssl)

    def assertPostReturnDict(
        self,
        path: str,
        data: object,
        kv: Json,
        status: int = 200,
        auth: str | None = None,
        verify_ssl: bool = True,
    ) -> Any:
        return self.assertCallReturnDict("post", path, kv, data, auth, status, verify_ssl)

    def assertGetReturnOk(
        self, path: str, auth: str | None = None, verify_ssl: bool = True
    ) -> None:
        self.assertCallReturnOk("get", path, None, auth, verify_ssl)

    def assertPostReturnOk(
        self, path: str, data: object, auth: str | None = None, verify_ssl: bool = True
    ) -> None:
        self.assertCallReturnOk("post", path, data, auth, verify_ssl)

    def assertGetReturnError(
        self, path: str, status: int, error: str, auth: str | None = None, verify_ssl: bool = True
    ) -> Any:
        return self.assertCallReturnError("get", path, status, error, None, auth, verify_ssl)

    def assertPostReturnError(
        self,
        path: str,
        data: object,
        status: int,
        error: str,
        auth: str | None = None,
        verify_ssl: bool = True,
    ) -> Any:
        return self.assertCallReturnError("post", path, status, error, data, auth, verify_ssl)

    def assertCallReturnJson(
        self,
        method: str,
        path: str,
        data: object = None,
        auth: str | None = None,
        status: int = 200,
        allow_error: bool = False,
        verify_ssl: bool = True,
    ) -> Any:
        """The answer has this status (with allow_error any but another success) and holds JSON."""
        client = self._client(verify_ssl)
        expected = None if allow_error else status
        return client.json(method, path, data=data, auth=auth, status=expected)

    def assertCallReturnDict(
        self,
        method: str,
        path: str,
        kv: Json,
        data: object = None,
        auth: str | None = None,
        status: int = 200,
        verify_ssl: bool = True,
    ) -> Any:
        """The answer holds a JSON object with at least these keys and values."""
        j = self.assertCallReturnJson(method, path, data, auth, status, verify_ssl=verify_ssl)
        for key, value in kv.items():
            self.assertIn(key, j)
            self.assertEqual(j[key], value, f"{key} in {j}")
        return j

    def assertCallReturnOk(
        self,
        method: str,
        path: str,
        data: object = None,
        auth: str | None = None,
        verify_ssl: bool = True,
    ) -> None:
        """The answer is {}."""
        j = self.assertCallReturnJson(method, path, data, auth, verify_ssl=verify_ssl)
        self.assertEqual(j, {})

    def assertCallReturnError(
        self,
        method: str,
        path: str,
        status: int,
        error: str,
        data: object = None,
        auth: str | None = None,
        verify_ssl: bool = True,
    ) -> Any:
        """The answer is an error with this status and code."""
        kv = {"status": status, "error": error}
        return self.assertCallReturnDict(method, path, kv, data, auth, status, verify_ssl)

    def assertCallReturnHtml(
        self,
        method: str,
        path: str,
        data: object = None,
        auth: str | None = None,
        status: int = 200,
        allow_redirects: bool = True,
        verify_ssl: bool = True,
        quiet: bool = False,
    ) -> str:
        """The answer is HTML; returns it."""
        return self._text(
            "text/html", method, path, data, auth, status, allow_redirects, verify_ssl
        )

    def assertCallReturnText(
        self,
        method: str,
        path: str,
        data: object = None,
        auth: str | None = None,
        status: int = 200,
        allow_redirects: bool = True,
        verify_ssl: bool = True,
        quiet: bool = False,
    ) -> str:
        """The answer is plain text; returns it."""
        return self._text(
            "text/plain", method, path, data, auth, status, allow_redirects, verify_ssl
        )

    def assertCallReturnRedirect(
        self,
        method: str,
        path: str,
        data: object = None,
        auth: str | None = None,
        status: int = 302,
        allow_redirects: bool = False,
        verify_ssl: bool = True,
        quiet: bool = False,
    ) -> str:
        """The answer is a redirection; returns where it leads."""
        client = self._client(verify_ssl)
        answer = client.call(
            method, path, data=data, auth=auth, status=status, allow_redirects=allow_redirects
        )
        self.assertTrue(answer.is_redirect, f"{answer.status_code} is no redirection")
        assert answer.next is not None  # noqa: S101  (for mypy: a redirection has a next)
        return str(answer.next.url)

    def _text(
        self,
        kind: str,
        method: str,
        path: str,
        data: object,
        auth: str | None,
        status: int,
        allow_redirects: bool,
        verify_ssl: bool,
    ) -> str:
        client = self._client(verify_ssl)
        answer = client.call(
            method, path, data=data, auth=auth, status=status, allow_redirects=allow_redirects
        )
        self.assertEqual(answer.headers.get("Content-Type"), f"{kind}; charset=utf-8")
        return answer.text

    def _client(self, verify_ssl: bool) -> Client:
        target = Target(host=self.host, port=int(self.port), token=self.token)
        return Client(
            target,
            verify_ssl=verify_ssl,
            timeout=(5 * self.timeout_connect, 5 * self.timeout_read),
        )
