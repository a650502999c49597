"""Whom an HTTP session trusts, and as whom it shows itself: a cluster's own authority, a client
certificate. Verification is never turned off.
"""

from __future__ import annotations

import ssl
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH


def context(authority: str | None = None, certificate: tuple[str, str] | None = None) -> Any:
    """`authority`: PEM of the only one that is trusted; None: the public ones. `certificate`: the
    files of a client certificate and its key."""
    made = ssl.create_default_context(
        cadata=authority, cafile=None if authority else DEFAULT_CA_BUNDLE_PATH
    )
    if certificate:
        made.load_cert_chain(*certificate)
    return made


class TrustingAdapter(HTTPAdapter):
    """Uses an SSL context as it is: requests by itself would add the public authorities to it.

    `host`: the name that the server's certificate is for, where it is not the URL's.
    """

    def __init__(self, made: ssl.SSLContext, host: str | None = None) -> None:
        self._context, self._host = made, host
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **self._with(options))

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, **self._with(options))

    def _with(self, options: dict[str, Any]) -> dict[str, Any]:
        named = {"assert_hostname": self._host, "server_hostname": self._host} if self._host else {}
        return {**options, "ssl_context": self._context, **named}

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, conn: Any, *_: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"
