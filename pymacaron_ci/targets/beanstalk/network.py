"""Whether a VPC and its subnets can hold an environment. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymacaron_ci.model import Problem
from pymacaron_ci.options import Settings

ZONES = 2  # in which an application load balancer must have subnets
ADDRESSES = 8  # that a load balancer needs free in each of its subnets


@dataclass(frozen=True, kw_only=True)
class Subnet:
    id: str
    vpc: str
    zone: str
    free: int


def subnet(raw: Mapping[str, Any]) -> Subnet:
    return Subnet(
        id=raw["SubnetId"],
        vpc=raw.get("VpcId", ""),
        zone=raw.get("AvailabilityZone", ""),
        free=int(raw.get("AvailableIpAddressCount", ADDRESSES)),
    )


def of_balancer(settings: Settings) -> tuple[str, ...]:
    return settings.aws_elb_subnets or settings.aws_subnets


def asked(settings: Settings) -> list[str]:
    """Every subnet that the settings name, once."""
    return list(dict.fromkeys((*settings.aws_subnets, *of_balancer(settings))))


def no_vpc(settings: Settings, region: str) -> Problem:
    """`aws_vpc` does not exist; or none is named, and the account has no default one."""
    if settings.aws_vpc:
        return Problem(
            text=f"there is no VPC {settings.aws_vpc} (aws_vpc) in {region}",
            hint="aws ec2 describe-vpcs",
        )
    return Problem(
        text=f"the account has no default VPC in {region}",
        hint="name one in aws_vpc and its subnets in aws_subnets, or make the default one again: "
        "aws ec2 create-default-vpc",
    )


def problems(settings: Settings, found: Sequence[Subnet]) -> Iterator[Problem]:
    """What is wrong with the subnets of `aws_vpc`; `found` are those of them that exist."""
    known = {s.id: s for s in found}
    if not settings.aws_subnets:
        yield Problem(
            text="aws_vpc needs aws_subnets: Elastic Beanstalk chooses none of a VPC by itself",
            hint=f"aws ec2 describe-subnets --filters Name=vpc-id,Values={settings.aws_vpc}",
        )
    missing = [name for name in asked(settings) if name not in known]
    if missing:
        yield Problem(
            text=f"there is no subnet {', '.join(missing)} (aws_subnets, aws_elb_subnets)",
            hint=f"aws ec2 describe-subnets --filters Name=vpc-id,Values={settings.aws_vpc}",
        )
    for name in asked(settings):
        if name in known and known[name].vpc != settings.aws_vpc:
            yield Problem(
                text=f"the subnet {name} belongs to {known[name].vpc}, not to {settings.aws_vpc} "
                "(aws_vpc)",
                hint="name subnets of one VPC",
            )
    yield from _balancer_problems(settings, [known[n] for n in of_balancer(settings) if n in known])


def _balancer_problems(settings: Settings, subnets: Sequence[Subnet]) -> Iterator[Problem]:
    zones = {s.zone for s in subnets}
    if settings.aws_load_balancer == "application" and subnets and len(zones) < ZONES:
        yield Problem(
            text=f"the load balancer's subnets are all in {', '.join(zones)}; an application load "
            f"balancer needs {ZONES} availability zones",
            hint="name one of another zone, too, in aws_elb_subnets",
        )
    for crowded in (s for s in subnets if s.free < ADDRESSES):
        yield Problem(
            text=f"the subnet {crowded.id} has {crowded.free} free addresses; a load balancer "
            f"needs {ADDRESSES}",
            hint="name a larger one in aws_elb_subnets",
        )
