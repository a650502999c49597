"""Settings against each other and the platforms' limits: lengths of names, pairs, ranges."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pymacaron_ci.findings import Case, error, too_long, warning
from pymacaron_ci.model import Problem
from pymacaron_ci.options.declare import AWS
from pymacaron_ci.quoting import quoted

# cloud-contracts: an environment has 4 to 40 characters; ours are `<name>-<release>`.
ENVIRONMENT_NAME = 40
ENVIRONMENT_SUFFIX = len("-123456789012")


def find(case: Case) -> Iterator[Problem]:
    if case.target == AWS:
        yield from _beanstalk(case)
    yield from _everywhere(case)


def _everywhere(case: Case) -> Iterator[Problem]:
    s, given = case.settings, case.document.data
    if s.live_url and s.live_host and _host(s.live_url) != _host("//" + s.live_host):
        yield error(
            f"live_host is {s.live_host}, but live_url is {s.live_url}",
            "keep live_url only",
            case.at_value("live_host"),
        )
    if s.jwt_token_renew_after >= s.jwt_token_timeout and "jwt_token_renew_after" in given:
        yield warning(
            f"jwt_token_renew_after ({s.jwt_token_renew_after} s) is not before "
            f"jwt_token_timeout ({s.jwt_token_timeout} s): no token is ever renewed",
            "make it smaller",
            case.at_value("jwt_token_renew_after"),
        )
    if not s.with_async:
        for name in ("worker_count", "broker_url", "async_fallback", "max_task_size"):
            if given.get(name) is not None and name in case.usable:
                yield warning(
                    f"{name} does nothing without `with_async: true`",
                    "add with_async, or remove it",
                    case.at_key(name),
                )
    if s.aws_region and s.aws_default_region and s.aws_region != s.aws_default_region:
        yield warning(
            f"aws_region ({s.aws_region}) wins over aws_default_region ({s.aws_default_region})",
            "keep one of them",
            case.at_value("aws_default_region"),
        )


def _host(url: str) -> str:
    return re.sub(r"^[a-z]*:?//", "", url.lower()).split("/")[0].split(":")[0]


def _beanstalk(case: Case) -> Iterator[Problem]:
    s = case.settings
    most = ENVIRONMENT_NAME - ENVIRONMENT_SUFFIX
    if len(s.name) > ENVIRONMENT_NAME:
        yield from too_long(
            case, "name", s.name, most,
            f"the name of an environment has at most {ENVIRONMENT_NAME}",
        )  # fmt: skip
    elif len(s.name) > most:
        yield warning(
            f"environments are called <name>-<release>, which leaves room for {most} characters "
            f"of {s.name}",
            f"choose a shorter name, or see to it that no other one starts with {s.name[:most]}",
            case.at_value("name"),
        )
    if s.name and len(s.name) < 4 and not s.aws_cname_prefix:
        yield error(
            f"{s.name} is too short for the environment's CNAME, which has 4 to 63 characters",
            f"add `aws_cname_prefix: {s.name}-live`, say",
            case.at_value("name"),
        )
    if "docker_repo" in case.usable and not re.fullmatch(
        r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*", s.docker_repo
    ):
        yield error(
            f"{quoted(s.docker_repo)} can't be an organization or user of a registry",
            "lower-case letters and digits, parted by . _ or -; a host goes to docker_registry",
            case.at_value("docker_repo"),
        )
    if s.aws_hosts_min > s.aws_hosts_max:
        given = "aws_hosts_min" if "aws_hosts_min" in case.document.data else "aws_hosts_max"
        yield error(
            f"aws_hosts_min ({s.aws_hosts_min}) is larger than aws_hosts_max ({s.aws_hosts_max})",
            "exchange them",
            case.at_value(given),
        )
    region = s.aws_region or s.aws_default_region
    if s.aws_cert_arn and "aws_cert_arn" in case.usable:
        of_certificate = s.aws_cert_arn.split(":")[3]
        if region and of_certificate and of_certificate != region:
            yield error(
                f"the certificate is in {of_certificate}, but the service is in {region}: a load "
                "balancer only takes certificates of its own region",
                f"request the certificate in {region}",
                case.at_value("aws_cert_arn"),
            )
    if s.live_url and s.live_url.startswith("https:") and "aws_cert_arn" not in case.document.data:
        yield warning(
            "live_url is https, but without aws_cert_arn the service listens on port 80 only",
            "add aws_cert_arn, unless something in front of it speaks https",
            case.at_value("live_url"),
        )
    if s.aws_cert_arn and s.live_url and s.live_url.startswith("http:"):
        yield error(
            "live_url is http, but with aws_cert_arn the service listens on port 443 only",
            f"write https:{s.live_url[5:]}",
            case.at_value("live_url"),
        )
    if (s.aws_subnets or s.aws_elb_subnets) and not s.aws_vpc:
        name = "aws_subnets" if s.aws_subnets else "aws_elb_subnets"
        yield error(
            f"{name} needs aws_vpc, the VPC that they are in",
            "add `aws_vpc: vpc-…`",
            case.at_key(name),
        )
