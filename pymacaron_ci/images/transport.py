"""One pool of connections for all registries: proxies, certificates, redirects; no log-in.

urllib3 without requests: a third of the imports, and threads share connections.
"""

from __future__ import annotations

import functools
import os
import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3
from urllib3.response import BaseHTTPResponse

from pymacaron_ci import __version__
from pymacaron_ci.errors import BuildError

Answer = BaseHTTPResponse
HTTPError = urllib3.exceptions.HTTPError

_LOOPBACK = re.compile(r"(127\.\d+\.\d+\.\d+|localhost|\[?::1\]?)(:\d+)?")
_TIMEOUT = urllib3.Timeout(connect=10, read=120)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_CONNECTIONS = 8


def is_loopback(host: str) -> bool:
    return bool(_LOOPBACK.fullmatch(host))


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: Callable[[], Any] | None = None,
    stream: bool = False,
) -> Answer:
    """One request, wherever it is led. HTTPS except on loopback; an Authorization header goes to
    the first host alone. `body` makes the body anew for each step."""
    sent = dict(headers) | {"User-Agent": f"pymacaron-ci/{__version__}"}
    for _ in range(_MOST_REDIRECTS):
        refuse_plain(url)
        answer = _pool(_proxy(url), tls=url.startswith("https:")).request(
            method,
            url,
            body=body() if body else None,
            headers=sent,
            preload_content=not stream,
            decode_content=False,
            redirect=False,
            retries=False,
            timeout=_TIMEOUT,
        )
        there = answer.headers.get("Location")
        if answer.status not in _REDIRECTS or not there:
            return answer
        answer.drain_conn()
        there = urljoin(url, there)
        if urlsplit(there).netloc != urlsplit(url).netloc:
            sent.pop("Authorization", None)
        url = there
    raise HTTPError(f"more than {_MOST_REDIRECTS} redirects")


def refuse_plain(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not is_loopback(parts.netloc):
        raise BuildError(f"a registry led to {parts.scheme}://{parts.netloc}, which is not https")


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    if is_loopback(parts.netloc) or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


@functools.cache
def _pool(proxy: str | None, *, tls: bool) -> urllib3.PoolManager:
    options: dict[str, Any] = {"maxsize": _CONNECTIONS}
    if tls:
        options["ssl_context"] = _trust()
    if proxy is None:
        return urllib3.PoolManager(**options)
    user = urllib3.util.parse_url(proxy).auth
    asked = urllib3.make_headers(proxy_basic_auth=user) if user else None
    return urllib3.ProxyManager(proxy, proxy_headers=asked, **options)


@functools.cache
def _trust() -> ssl.SSLContext:
    """One for all connections: reading the certificates takes longer than a small download."""
    trust = urllib3.util.create_urllib3_context()
    # The same certificates that requests, and with it the rest of the tool, believes in.
    trust.load_verify_locations(
        os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    )
    return trust
