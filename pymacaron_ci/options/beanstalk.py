"""Settings of the target aws-beanstalk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pymacaron_ci.options import values
from pymacaron_ci.options.declare import AWS, option

HERE = (AWS,)


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Beanstalk:
    """Used with `deploy_target: aws-beanstalk`, the default."""

    aws_user: str = option(
        default="",
        help="IAM user who creates the environment: the credentials profile of that name is used "
        "when there is one",
        targets=HERE,
        required=HERE,
        form="letters, digits and + = , . @ _ -, at most 64",
        rule={"regex": r"[A-Za-z0-9_+=,.@-]{1,64}"},
        example="deployer",
    )
    aws_keypair: str = option(
        default="",
        help="SSH key pair that opens the servers",
        targets=HERE,
        required=HERE,
        rule={"minlength": 1, "maxlength": 255},
        example="aws-eb",
    )
    aws_instance_type: str = option(
        default="",
        help="type of EC2 instance that the servers are",
        targets=HERE,
        required=HERE,
        form="<family>.<size>",
        rule={"regex": r"[a-z][a-z0-9-]*\.[a-z0-9-]+"},
        example="t3.micro",
    )
    docker_bucket: str = option(
        default="",
        help="S3 bucket for the service's Beanstalk configuration and registry log-in",
        targets=HERE,
        required=HERE,
        check=values.bucket,
        shape=values.BUCKET,
        example="my-docker-config",
    )
    aws_cert_arn: str | None = option(
        default=None,
        help="ARN of the TLS certificate: live listens on 443 with it, on 80 without",
        targets=HERE,
        check=values.certificate,
        shape=values.CERTIFICATE,
        example="arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012",
    )
    aws_hosts_min: int = option(
        default=1,
        help="fewest servers",
        targets=HERE,
        rule={"min": 1, "max": 10000},
        example=2,
    )
    aws_hosts_max: int = option(
        default=4,
        help="most servers",
        targets=HERE,
        rule={"min": 1, "max": 10000},
        example=8,
    )
    aws_zone_id: str | None = option(
        default=None,
        help="ID of the Route 53 zone of live_url's host",
        targets=HERE,
        form="Z and capital letters or digits",
        rule={"regex": "Z[A-Z0-9]{1,31}"},
        example="Z0123456789ABCDEFGHIJ",
    )
    aws_application: str | None = option(
        default=None,
        help="Beanstalk application; by default `<name>`",
        targets=HERE,
        form="1 to 100 characters without /",
        rule={"regex": r"[^/]+", "minlength": 1, "maxlength": 100},
        example="hello",
    )
    aws_cname_prefix: str | None = option(
        default=None,
        help="first part of the live environment's own host name; by default `<name>`",
        targets=HERE,
        form="4 to 63 letters, digits and hyphens",
        rule={"regex": "[A-Za-z0-9]([A-Za-z0-9-]{2,61}[A-Za-z0-9])"},
        example="hello-live",
    )
    aws_instance_profile: str = option(
        default="aws-elasticbeanstalk-ec2-role",
        help="instance profile of the servers",
        targets=HERE,
        form="a name or an ARN",
        rule={
            "regex": r"(arn:aws[a-z-]*:iam::[0-9]{12}:instance-profile/)?[A-Za-z0-9_+=,.@/-]{1,128}"
        },
        example="aws-elasticbeanstalk-ec2-role",
    )
    aws_service_role: str = option(
        default="aws-elasticbeanstalk-service-role",
        help="role with which Beanstalk watches the environment",
        targets=HERE,
        form="a name or an ARN",
        rule={"regex": r"(arn:aws[a-z-]*:iam::[0-9]{12}:role/)?[A-Za-z0-9_+=,.@/-]{1,128}"},
        example="aws-elasticbeanstalk-service-role",
    )
    aws_platform_branch: str = option(
        default="Docker running on 64bit Amazon Linux 2023",
        help="Beanstalk platform branch, whose newest version is used",
        targets=HERE,
        rule={"minlength": 1},
        example="Docker running on 64bit Amazon Linux 2023",
    )
    aws_platform_version: str | None = option(
        default=None,
        help="version of the platform branch to stay on",
        targets=HERE,
        form="three numbers",
        rule={"regex": r"[0-9]+\.[0-9]+\.[0-9]+"},
        example="4.6.0",
    )
    aws_vpc: str | None = option(
        default=None,
        help="VPC of the servers; by default the account's own",
        targets=HERE,
        form="vpc- and hexadecimal digits",
        rule={"regex": "vpc-[0-9a-f]{8,17}"},
        example="vpc-0123456789abcdef0",
    )
    aws_subnets: tuple[str, ...] = option(
        default=(),
        help="subnets of the servers",
        targets=HERE,
        rule={"schema": {"type": "string", "regex": "subnet-[0-9a-f]{8,17}"}},
        example=["subnet-0123456789abcdef0"],
    )
    aws_elb_subnets: tuple[str, ...] = option(
        default=(),
        help="subnets of the load balancer; by default aws_subnets",
        targets=HERE,
        rule={"schema": {"type": "string", "regex": "subnet-[0-9a-f]{8,17}"}},
        example=["subnet-0123456789abcdef0"],
    )
    aws_load_balancer: Literal["application", "network", "classic"] = option(
        default="application", help="type of load balancer", targets=HERE, example="application"
    )
    aws_secrets: Mapping[str, str] = option(
        default={},
        help="environment variables that Beanstalk fills when a server starts: from Secrets "
        "Manager, `secret` or `secret:key` of a JSON object, or from Parameter Store, "
        "`ssm:parameter`; ARNs of both, too",
        targets=HERE,
        names_secrets=True,
        rule={
            "keysrules": {"type": "string", "regex": r"[A-Za-z_][A-Za-z0-9_]*"},
            "valuesrules": {
                "type": "string",
                "regex": r"arn:aws[a-z-]*:(secretsmanager|ssm):[a-z0-9-]+:[0-9]{12}:\S+"
                r"|(ssm:)?[A-Za-z0-9/_+=.@-]{1,512}(:[^\s:]+)?",
            },
        },
        example={"DB_PASSWORD": "prod/hello:db_password"},
    )
    aws_log_retention_days: Literal[
        1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653
    ] = option(default=30, help="days that CloudWatch keeps the logs", targets=HERE, example=90)
    aws_health_path: str = option(
        default="/ping",
        help="path that the load balancer asks for the servers' health",
        targets=HERE,
        form="a path starting with /",
        rule={"regex": r"/\S*"},
        example="/ping",
    )
    aws_keep_environments: int = option(
        default=1,
        help="former environments kept for a rollback",
        targets=HERE,
        rule={"min": 0, "max": 10},
        example=1,
    )
    aws_accept_health: Literal["Ok", "Info", "Warning"] = option(
        default="Info",
        help="worst health with which a new environment goes live",
        targets=HERE,
        example="Warning",
    )
