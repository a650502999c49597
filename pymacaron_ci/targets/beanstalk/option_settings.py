"""Settings and a release → Elastic Beanstalk's option settings, all of them explicit. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pymacaron_ci.model import Problem, Release, Secret
from pymacaron_ci.options import Settings
from pymacaron_ci.targets.beanstalk.bundle import PORT
from pymacaron_ci.targets.beanstalk.secrets import SECRETS

PROPERTIES = "aws:elasticbeanstalk:application:environment"
PROPERTIES_LIMIT = 4096
ENCODED = "PYM_ENCODED"
# Of the characters that its documentation allows, those without a meaning in shells and files.
_CARRIED = re.compile(r"[A-Za-z0-9_.:/=+@-]([A-Za-z0-9_.:/=+@ -]*[A-Za-z0-9_.:/=+@-])?")
_TLS = "ELBSecurityPolicy-TLS13-1-2-2021-06"


@dataclass(frozen=True, kw_only=True)
class Option:
    namespace: str
    name: str
    value: str = field(repr=False)  # it may be a secret

    def as_setting(self) -> dict[str, str]:
        return {"Namespace": self.namespace, "OptionName": self.name, "Value": self.value}


def options(settings: Settings, release: Release, secrets: Mapping[str, str]) -> list[Option]:
    """What an environment is made with. The API's defaults are those of 2012, so none is used.

    `secrets`: variable → the ARN that Elastic Beanstalk fills it from."""
    made = [
        Option(namespace=space, name=name, value=value)
        for space, values in _platform(settings)
        for name, value in values.items()
    ]
    made += [
        Option(namespace=PROPERTIES, name=name, value=value)
        for name, value in properties(release).items()
    ]
    made += [Option(namespace=SECRETS, name=name, value=arn) for name, arn in secrets.items()]
    return made


def properties(release: Release) -> dict[str, str]:
    """The container's environment. What Elastic Beanstalk does not promise to carry is encoded, and
    decoded by the runtime (pymacaron.carried) before anybody reads it."""
    made = {}
    for name, value in release.environment.items():
        made[name] = value.reveal() if isinstance(value, Secret) else value
    encoded = [name for name, value in made.items() if not _CARRIED.fullmatch(value)]
    for name in encoded:
        raw = made[name].encode("utf-8", "surrogateescape")
        made[name] = base64.b64encode(raw).decode("ascii")
    if encoded:
        made[ENCODED] = " ".join(encoded)
    return {**made, "PYM_ENV": "live", "PYM_RELEASE": release.id, "PORT": str(PORT)}


def architecture(instance_type: str) -> str:
    """Graviton families have a g after their generation (t4g, m7gd); the first of them was a1."""
    family = instance_type.partition(".")[0]
    return "arm64" if re.fullmatch(r"a1|[a-z]+\d+g[a-z]*", family) else "x86_64"


def complaints(settings: Settings, release: Release) -> Iterator[Problem]:
    """What Elastic Beanstalk could not do with these settings."""
    values = properties(release)
    size = sum(len(f"{name}={value}".encode()) for name, value in values.items())
    if size > PROPERTIES_LIMIT:
        largest = max(values, key=lambda n: len(values[n]))
        yield Problem(
            text=f"the container's environment takes {size} bytes; Elastic Beanstalk carries "
            f"{PROPERTIES_LIMIT} at most",
            hint=f"the largest is {largest}: keep it in AWS Secrets Manager and name it in "
            "aws_secrets",
        )
    platform = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}[
        architecture(settings.aws_instance_type)
    ]
    if not any(p.startswith(platform) for p in settings.platforms):
        yield Problem(
            text=f"servers of type {settings.aws_instance_type} run {platform}, the image is made "
            f"for {', '.join(settings.platforms)}",
            hint=f"add {platform} to `platforms`, or choose another aws_instance_type",
        )
    if settings.aws_cert_arn and settings.aws_load_balancer == "network":
        yield Problem(
            text="a network load balancer of Elastic Beanstalk can't hold a certificate",
            hint="leave aws_load_balancer at application, or take aws_cert_arn out",
        )


def _platform(settings: Settings) -> Iterator[tuple[str, Mapping[str, str]]]:
    yield (
        "aws:elasticbeanstalk:environment",
        {
            "EnvironmentType": "LoadBalanced",
            "LoadBalancerType": settings.aws_load_balancer,
            "ServiceRole": settings.aws_service_role,
        },
    )
    yield (
        "aws:autoscaling:launchconfiguration",
        {
            "IamInstanceProfile": settings.aws_instance_profile,
            "EC2KeyName": settings.aws_keypair,
            "DisableIMDSv1": "true",
        },
    )
    yield (
        "aws:ec2:instances",
        {
            "InstanceTypes": settings.aws_instance_type,
            "SupportedArchitectures": architecture(settings.aws_instance_type),
        },
    )
    yield (
        "aws:autoscaling:asg",
        {"MinSize": str(settings.aws_hosts_min), "MaxSize": str(settings.aws_hosts_max)},
    )
    yield (
        "aws:autoscaling:trigger",
        {
            "MeasureName": "CPUUtilization",
            "Statistic": "Average",
            "Unit": "Percent",
            "UpperThreshold": "70",
            "LowerThreshold": "20",
        },
    )
    yield from _network(settings)
    yield from _health(settings)
    yield from _listeners(settings)
    yield "aws:elasticbeanstalk:command", {"DeploymentPolicy": "Rolling", "Timeout": "600"}
    yield (
        "aws:autoscaling:updatepolicy:rollingupdate",
        {"RollingUpdateEnabled": "true", "RollingUpdateType": "Health"},
    )
    retention = str(settings.aws_log_retention_days)
    # Kept when the environment ends: they are what explains why it was ended.
    kept = {"RetentionInDays": retention, "DeleteOnTerminate": "false"}
    yield "aws:elasticbeanstalk:cloudwatch:logs", {"StreamLogs": "true", **kept}
    yield (
        "aws:elasticbeanstalk:cloudwatch:logs:health",
        {"HealthStreamingEnabled": "true", **kept},
    )
    # A platform update in the middle of the night is a change that nothing has proven.
    yield "aws:elasticbeanstalk:managedactions", {"ManagedActionsEnabled": "false"}


def _network(settings: Settings) -> Iterator[tuple[str, Mapping[str, str]]]:
    values = {}
    if settings.aws_vpc:
        values["VPCId"] = settings.aws_vpc
    if settings.aws_subnets:
        values["Subnets"] = ",".join(settings.aws_subnets)
    if settings.aws_elb_subnets or settings.aws_subnets:
        values["ELBSubnets"] = ",".join(settings.aws_elb_subnets or settings.aws_subnets)
    if values:
        yield "aws:ec2:vpc", values


def _health(settings: Settings) -> Iterator[tuple[str, Mapping[str, str]]]:
    yield "aws:elasticbeanstalk:healthreporting:system", {"SystemType": "enhanced"}
    if settings.aws_load_balancer == "network":
        yield "aws:elasticbeanstalk:environment:process:default", {"Port": "80", "Protocol": "TCP"}
    elif settings.aws_load_balancer == "classic":
        yield (
            "aws:elasticbeanstalk:application",
            {"Application Healthcheck URL": settings.aws_health_path},
        )
    else:
        yield (
            "aws:elasticbeanstalk:environment:process:default",
            {
                "HealthCheckPath": settings.aws_health_path,
                "MatcherHTTPCode": "200",
                "Port": "80",
                "Protocol": "HTTP",
                "DeregistrationDelay": "20",
            },
        )


def _listeners(settings: Settings) -> Iterator[tuple[str, Mapping[str, str]]]:
    if settings.aws_load_balancer == "classic":
        if settings.aws_cert_arn:
            yield (
                "aws:elb:listener:443",
                {
                    "ListenerProtocol": "HTTPS",
                    "InstancePort": "80",
                    "InstanceProtocol": "HTTP",
                    "SSLCertificateId": settings.aws_cert_arn,
                },
            )
        return
    # 80 stays open beside 443: there a candidate is proven, whose own name no certificate covers.
    yield "aws:elbv2:listener:default", {"ListenerEnabled": "true"}
    if settings.aws_cert_arn:
        yield (
            "aws:elbv2:listener:443",
            {
                "ListenerEnabled": "true",
                "Protocol": "HTTPS",
                "SSLCertificateArns": settings.aws_cert_arn,
                "SSLPolicy": _TLS,
                "DefaultProcess": "default",
            },
        )
