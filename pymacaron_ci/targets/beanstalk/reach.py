"""How a name of Elastic Beanstalk is reached over HTTP, and where it leads."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit


class Names(Protocol):
    def url(self, name: str) -> str:
        """The URL of an environment's CNAME, or of its load balancer."""

    def leads(self, name: str, endpoint: str) -> bool:
        """Whether requests for `name` arrive at the load balancer `endpoint`."""

    def public(self, live_url: str, cname: str) -> str | None:
        """The URL at which `live_url` can be asked, if it leads where `cname` does."""


def _addresses(host: str) -> frozenset[str]:
    try:
        return frozenset(str(found[4][0]) for found in socket.getaddrinfo(host, None))
    except OSError:
        return frozenset()


class PublicNames:
    """By DNS. Two names lead to the same place when they share an address."""

    def __init__(self, addresses: Callable[[str], frozenset[str]] = _addresses) -> None:
        self._addresses = addresses

    def url(self, name: str) -> str:
        return f"http://{name}"

    def leads(self, name: str, endpoint: str) -> bool:
        return bool(self._addresses(name) & self._addresses(endpoint))

    def public(self, live_url: str, cname: str) -> str | None:
        host = urlsplit(live_url).hostname or ""
        return live_url if self.leads(host, cname) else None
