"""The target over a simulated AWS, and what plays the part of DNS there."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import boto3

from pymacaron_ci.config import Config
from pymacaron_ci.targets.aws import Aws
from pymacaron_ci.targets.beanstalk import Beanstalk, Patience

REGION = "eu-west-1"  # where the configuration names none
# A loopback cloud is quick, and nobody minds being asked often.
PATIENCE = Patience(launch=300, grace=6, settle=3, drain=2, first=0.02, most=0.1)


def simulated(config: Config, url: str, progress: Callable[[str], None]) -> Beanstalk:
    """The account is one in which everything that the configuration names exists."""
    settings = config.settings
    region = settings.aws_region or settings.aws_default_region or REGION
    if settings.aws_cert_arn:
        host = urlsplit(config.live_url).hostname or ""
        set_account(url, certificates={settings.aws_cert_arn: {"hosts": [host]}})
    networks = None
    if settings.aws_vpc:
        subnets = dict.fromkeys((*settings.aws_subnets, *settings.aws_elb_subnets))
        zones = {name: f"{region}{'ab'[n % 2]}" for n, name in enumerate(subnets)}
        networks = {settings.aws_vpc: zones}
    set_account(url, region=region, networks=networks)

    def session() -> boto3.Session:
        return boto3.Session("AKIDSIMULATED", "simulated", region_name=region)

    aws = Aws(session, endpoint=url)
    return Beanstalk(config, aws, progress=progress, names=LoopbackNames(url), patience=PATIENCE)


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
    """Changes what the simulated account holds; names are those of `state.Account`."""
    request = urllib.request.Request(  # noqa: S310
        f"{url}/_simulator/account", json.dumps(values).encode(), method="PUT"
    )
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310
        pass
