"""What is missing in an account is told before anything is built, all of it at once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from pymacaron_ci.errors import DeployError
from pymacaron_ci.options import Settings
from pymacaron_ci.simulator.beanstalk.names import set_account
from pymacaron_ci.simulator.beanstalk.server import BeanstalkServer
from pymacaron_ci.targets.beanstalk import judging, network
from tests.ci.simulator.beanstalk_world import beanstalk, client
from tests.ci.targets.beanstalk_deploys import Deploys, release

CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"
LONG_AGO = time.time() - 1e6


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BeanstalkServer]:
    with beanstalk(tmp_path_factory.mktemp("simulator")) as (server, _):
        yield server


@pytest.fixture
def server(shared: BeanstalkServer) -> Iterator[BeanstalkServer]:
    clean: dict[str, Any] = {
        "key_pairs": None, "instance_profiles": None, "roles": None, "buckets": None,
        "foreign_buckets": [], "foreign_names": [], "certificates": None, "denied": [],
        "repositories": None, "environment_quota": 200, "networks": None,
        "secrets": None, "parameters": None,
    }  # fmt: skip
    yield shared
    set_account(shared.url, **clean)


def problems(server: BeanstalkServer, folder: Path, image: str = "", **settings: Any) -> str:
    deploys = Deploys(server, folder, **settings)
    with pytest.raises(DeployError) as failed:
        deploys.target().plan(release(1, image or "docker.io/acme/hello"))
    return "\n".join(f"{p.text} ({p.hint})" for p in failed.value.problems)


VPC, OTHER = "vpc-0aaaaaaaaaaaaaaaa", "vpc-0bbbbbbbbbbbbbbbb"
A, B, ELSEWHERE = (f"subnet-0{n:016x}" for n in (1, 2, 3))
NETWORKS = {VPC: {A: "eu-west-1a", B: "eu-west-1a"}, OTHER: {ELSEWHERE: "eu-west-1b"}}
WITHIN = {"aws_vpc": VPC, "aws_subnets": [A]}


@pytest.mark.parametrize(
    ("account", "settings", "told"),
    [
        (
            {"secrets": {"other": ""}},
            {"aws_secrets": {"A": "prod/a:key"}},
            "aws_secrets: A: the secret prod/a does not exist in eu-west-1",
        ),
        (
            {"parameters": {"/prod": ""}},
            {"aws_secrets": {"A": "ssm:/prod/a"}},
            "aws_secrets: A: there is no parameter /prod/a",
        ),
        (
            {},
            {"aws_secrets": {"A": "a"}, "aws_platform_version": "4.9.3"},
            "is of 2024-10-27 and does not know aws_secrets",
        ),
        ({"networks": {}}, {}, "no default VPC in eu-west-1 (name one in aws_vpc"),
        ({"networks": {}}, WITHIN, f"there is no VPC {VPC} (aws_vpc)"),
        ({"networks": NETWORKS}, {"aws_vpc": VPC}, "aws_vpc needs aws_subnets"),
        ({"networks": {VPC: {}}}, WITHIN, f"there is no subnet {A}"),
        (
            {"networks": NETWORKS},
            {**WITHIN, "aws_elb_subnets": [A, ELSEWHERE]},
            f"the subnet {ELSEWHERE} belongs to {OTHER}, not to {VPC}",
        ),
        (
            {"networks": NETWORKS},
            {"aws_vpc": VPC, "aws_subnets": [A, B]},
            "are all in eu-west-1a; an application load balancer needs 2",
        ),
        ({"key_pairs": ["other"]}, {}, "no key pair aws-eb (aws_keypair) in eu-west-1"),
        ({"instance_profiles": []}, {}, "no instance profile aws-elasticbeanstalk-ec2-role"),
        ({"roles": []}, {}, "no role aws-elasticbeanstalk-service-role"),
        ({"buckets": {}}, {}, "the bucket acme-config (docker_bucket) does not exist"),
        ({"buckets": {"acme-config": "us-east-1"}}, {}, "is in another region"),
        ({"foreign_buckets": ["acme-config"]}, {}, "is not open to account 123456789012"),
        ({"foreign_names": ["hello"]}, {}, "belongs to another account"),
        ({"environment_quota": 0}, {}, "all 0 environments"),
        ({"certificates": {}}, {"aws_cert_arn": CERTIFICATE}, "there is no certificate"),
        (
            {"certificates": {CERTIFICATE: {"status": "PENDING_VALIDATION"}}},
            {"aws_cert_arn": CERTIFICATE},
            "PENDING_VALIDATION, not ISSUED (add the DNS record",
        ),
        (
            {"certificates": {CERTIFICATE: {"hosts": ["*.example.org"]}}},
            {"aws_cert_arn": CERTIFICATE},
            "covers *.example.org, not hello.example.com",
        ),
        (
            {
                "certificates": {
                    CERTIFICATE: {"hosts": ["hello.example.com"], "not_after": LONG_AGO}
                }
            },
            {"aws_cert_arn": CERTIFICATE},
            "expired on",
        ),
        ({}, {"aws_platform_version": "1.2.3"}, "there are 4.10.1, 4.11.0, 4.9.3"),
        ({}, {"aws_platform_branch": "Docker on a toaster"}, "no platform branch"),
    ],
)
def test_what_is_missing_is_told(
    server: BeanstalkServer,
    tmp_path: Path,
    account: dict[str, object],
    settings: dict[str, Any],
    told: str,
) -> None:
    live_url = "https://hello.example.com" if "aws_cert_arn" in settings else None
    set_account(server.url, **account)
    more = {"live_url": live_url} if live_url else {}
    assert told in problems(server, tmp_path, **settings, **more)


@pytest.mark.parametrize("kind", ["application", "network"])
def test_a_network_that_fits_is_no_problem(
    server: BeanstalkServer, tmp_path: Path, kind: str
) -> None:
    zones = {A: "eu-west-1a", **({B: "eu-west-1b"} if kind == "application" else {})}
    set_account(server.url, networks={VPC: zones})
    more = {"aws_vpc": VPC, "aws_subnets": [A], "aws_elb_subnets": list(zones)}
    deploys = Deploys(server, tmp_path, aws_load_balancer=kind, **more)
    assert deploys.target().plan(release(1)).phases


def test_a_crowded_subnet_can_not_take_a_load_balancer() -> None:
    settings = Settings(
        name="hello",
        docker_repo="acme",
        aws_vpc=VPC,
        aws_subnets=(A,),
        aws_load_balancer="network",
    )
    (problem,) = network.problems(settings, [network.Subnet(id=A, vpc=VPC, zone="z", free=7)])
    assert problem.text == f"the subnet {A} has 7 free addresses; a load balancer needs 8"


def test_all_that_is_missing_is_told_at_once(server: BeanstalkServer, tmp_path: Path) -> None:
    set_account(server.url, key_pairs=[], roles=[], instance_profiles=[], buckets={})
    found = problems(server, tmp_path, aws_platform_version="1.2.3")
    for word in (
        "aws_keypair",
        "aws_service_role",
        "aws_instance_profile",
        "docker_bucket",
        "1.2.3",
    ):
        assert word in found


def test_missing_rights_are_one_policy_to_add(server: BeanstalkServer, tmp_path: Path) -> None:
    set_account(
        server.url,
        denied=["ec2:DescribeKeyPairs", "iam:GetRole", "elasticbeanstalk:ListPlatformVersions"],
    )
    found = problems(server, tmp_path)
    policy = json.loads(found[found.index("{") : found.rindex("}") + 1])
    assert policy["Statement"][0]["Action"] == [
        "ec2:DescribeKeyPairs",
        "elasticbeanstalk:ListPlatformVersions",
        "iam:GetRole",
    ]


def test_a_missing_ecr_repository_is_told_with_the_command(
    server: BeanstalkServer, tmp_path: Path
) -> None:
    set_account(server.url, repositories=["other"])
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme/hello"
    found = problems(server, tmp_path, image)
    assert "aws ecr create-repository --repository-name acme/hello" in found


def test_a_log_in_for_another_registry_is_told_without_its_content(
    server: BeanstalkServer, tmp_path: Path
) -> None:
    s3 = client(server, "s3")
    login = {"auths": {"ghcr.io": {"auth": "hidden-password"}}}
    s3.put_object(Bucket="acme-config", Key="docker/dockercfg", Body=json.dumps(login))
    try:
        found = problems(server, tmp_path)
    finally:
        s3.delete_object(Bucket="acme-config", Key="docker/dockercfg")
    assert "has no log-in for docker.io, but for ghcr.io" in found
    assert "hidden-password" not in found


@pytest.mark.parametrize(
    ("data", "registry", "told"),
    [
        (b'{"auths": {"https://index.docker.io/v1/": {}}}', "docker.io", None),
        (b'{"https://index.docker.io/v1/": {"auth": "x"}}', "docker.io", None),
        (b'{"auths": {"registry.example.com:5000": {}}}', "registry.example.com:5000", None),
        (b'{"auths": {}}', "docker.io", "but for nothing"),
        (b"not json", "docker.io", "not a Docker log-in file"),
        (b"[1, 2]", "docker.io", "not a Docker log-in file"),
        (b"\xff\xfe", "docker.io", "not a Docker log-in file"),
    ],
)
def test_a_docker_log_in_file_is_read_in_both_of_its_forms(
    data: bytes, registry: str, told: str | None
) -> None:
    found = judging.login_problem(data, registry)
    assert found is None if told is None else told in (found or "")


@pytest.mark.parametrize(
    ("name", "host", "covered"),
    [
        ("hello.example.com", "hello.example.com", True),
        ("*.example.com", "hello.example.com", True),
        ("*.example.com", "a.hello.example.com", False),
        ("*.example.com", "example.com", False),
        ("HELLO.example.com", "hello.example.com", True),
        ("example.com", "hello.example.com", False),
    ],
)
def test_a_star_in_a_certificate_stands_for_one_label(name: str, host: str, covered: bool) -> None:
    assert judging.covers(name, host) is covered


@pytest.mark.parametrize(
    ("versions", "pinned", "chosen"),
    [
        (["4.9.3", "4.10.1"], None, "4.10.1"),
        (["4.9.3", "4.10.1 recommended", "4.11.0"], None, "4.10.1"),
        (["4.9.3", "4.10.1"], "4.9.3", "4.9.3"),
        (["4.9.3"], "1.0.0", None),
        ([], None, None),
    ],
)
def test_the_platform_is_the_pinned_the_recommended_or_the_newest_one(
    versions: list[str], pinned: str | None, chosen: str | None
) -> None:
    platforms = [
        {"PlatformVersion": v.split()[0], "PlatformLifecycleState": v.partition(" ")[2].title()}
        for v in versions
    ]
    found = judging.choose_platform(platforms, pinned)
    assert (found or {}).get("PlatformVersion") == chosen


@pytest.mark.parametrize(
    ("described", "value", "told"),
    [
        ({"ValueOptions": ["a", "b"]}, "c", "one of a, b"),
        ({"MinValue": 5}, "3", "5 at least"),
        ({"MaxValue": 5}, "9", "5 at most"),
        ({"MaxLength": 2}, "abc", "3 characters"),
        ({"MinValue": 1, "MaxValue": 5}, "3", None),
    ],
)
def test_elastic_beanstalks_own_schema_judges_option_values(
    described: dict[str, object], value: str, told: str | None
) -> None:
    found = judging.option_problem(described, value)
    assert found is None if told is None else told in (found or "")


def test_a_good_certificate_is_no_problem() -> None:
    until = datetime.now(timezone.utc) + timedelta(days=30)
    good = {
        "Status": "ISSUED",
        "NotAfter": until,
        "DomainName": "example.com",
        "SubjectAlternativeNames": ["example.com", "*.example.com"],
    }
    assert list(judging.certificate_problems(good, "hello.example.com")) == []
