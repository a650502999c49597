"""Where names of the simulated Elastic Beanstalk are reached: the part of a simulation that DNS plays."""

from __future__ import annotations

import json
import urllib.request
from typing import Any


class LoopbackNames:
    """Implements targets.beanstalk.reach.Names. `url` is that of the simulated AWS."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, name: str) -> str:
        """A CNAME has a loopback port of its own; a load balancer's address is one already."""
        found: str = self._names()["urls"].get(name, f"http://{name}")
        return found

    def leads(self, name: str, endpoint: str) -> bool:
        return bool(self._names()["leads"].get(name) == endpoint)

    def public(self, live_url: str, cname: str) -> str | None:  # noqa: ARG002 (as DNS would)
        """In a simulation live_url is taken to lead to the live name."""
        return self.url(cname)

    def _names(self) -> Any:
        with urllib.request.urlopen(f"{self._url}/_simulator/names", timeout=10) as answer:  # noqa: S310
            return json.load(answer)


def set_account(url: str, **values: object) -> None:
    """Changes what the simulated account holds; the names are those of `beanstalk_state.Account`."""
    request = urllib.request.Request(  # noqa: S310
        f"{url}/_simulator/account", json.dumps(values).encode(), method="PUT"
    )
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310
        pass
