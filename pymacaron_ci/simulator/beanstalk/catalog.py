"""The platform versions and the option settings that the simulated Elastic Beanstalk knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

BRANCH = "Docker running on 64bit Amazon Linux 2023"
PROPERTIES = "aws:elasticbeanstalk:application:environment"
SECRETS = "aws:elasticbeanstalk:application:environmentsecrets"
PROPERTIES_LIMIT = 4096

TIER = {"Name": "WebServer", "Type": "Standard", "Version": "1.0"}

# version, branch, branch's state
PLATFORMS = (
    ("4.11.0", BRANCH, "supported"),
    ("4.9.3", BRANCH, "supported"),
    ("4.10.1", BRANCH, "supported"),
    ("4.0.2", "Docker running on 64bit Amazon Linux 2", "deprecated"),
    ("4.9.0", "ECS running on 64bit Amazon Linux 2023", "supported"),
)
# of the versions that are older than a year, in seconds since 1970
RELEASED = {"4.9.3": 1_730_000_000.0}


def platform_arn(region: str, branch: str, version: str) -> str:
    return f"arn:aws:elasticbeanstalk:{region}::platform/{branch}/{version}"


def stack_name(branch: str, version: str) -> str:
    product, _, system = branch.partition(" running on ")
    return f"{system} v{version} running {product}"


def stack_of(arn: str) -> str:
    """The solution stack name of a platform's ARN."""
    _, branch, version = arn.rsplit("/", 2)
    return stack_name(branch, version)


def known_platforms(region: str) -> Iterator[tuple[str, str]]:
    """ARN and solution stack name of each."""
    for version, branch, _ in PLATFORMS:
        yield platform_arn(region, branch, version), stack_name(branch, version)


@dataclass(frozen=True)
class Known:
    """An option setting, as DescribeConfigurationOptions tells it."""

    namespace: str
    name: str
    default: str | None = None
    values: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    length: int | None = None

    def described(self) -> dict[str, Any]:
        return {
            "Namespace": self.namespace,
            "Name": self.name,
            "DefaultValue": self.default,
            "ChangeSeverity": "NoInterruption",
            "UserDefined": False,
            "ValueType": "Scalar",
            "ValueOptions": list(self.values) or None,
            "MinValue": self.least,
            "MaxValue": self.most,
            "MaxLength": self.length,
        }

    def complaint(self, value: str) -> str | None:
        if self.values and value not in self.values:
            return f"Value is not one of the allowed values: {list(self.values)}"
        if self.least is None and self.most is None:
            return None
        if not value.isdigit():
            return "Value is not an integer"
        if self.least is not None and int(value) < self.least:
            return f"Value is less than minimum allowed value: {self.least}"
        if self.most is not None and int(value) > self.most:
            return f"Value is greater than maximum allowed value: {self.most}"
        return None


def _table() -> Iterator[Known]:
    yes = ("true", "false")
    days = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653)
    retention = tuple(str(d) for d in days)
    space = "aws:elasticbeanstalk:environment"
    yield Known(space, "EnvironmentType", "LoadBalanced", ("LoadBalanced", "SingleInstance"))
    yield Known(space, "LoadBalancerType", "classic", ("classic", "application", "network"))
    yield Known(space, "ServiceRole")
    yield Known(space, "LoadBalancerIsShared", "false", yes)
    space = "aws:autoscaling:launchconfiguration"
    for name in ("IamInstanceProfile", "EC2KeyName", "SecurityGroups", "InstanceType"):
        yield Known(space, name)
    yield Known(space, "DisableIMDSv1", "true", yes)
    yield Known(space, "RootVolumeType", None, ("gp2", "gp3", "io1", "standard"))
    yield Known(space, "RootVolumeSize", None, (), 8, 16384)
    yield Known("aws:ec2:instances", "InstanceTypes", "t3.micro,t3.small")
    yield Known("aws:ec2:instances", "SupportedArchitectures")
    yield Known("aws:elasticbeanstalk:application", "Application Healthcheck URL")
    space = "aws:autoscaling:asg"
    yield Known(space, "MinSize", "1", (), 0, 10000)
    yield Known(space, "MaxSize", "4", (), 0, 10000)
    yield Known(space, "Cooldown", "360", (), 0, 10000)
    space = "aws:autoscaling:trigger"
    for name in ("MeasureName", "Statistic", "Unit", "UpperThreshold", "LowerThreshold", "Period"):
        yield Known(space, name)
    for name in ("BreachDuration", "EvaluationPeriods"):
        yield Known(space, name, None, (), 1, 600)
    for name in ("UpperBreachScaleIncrement", "LowerBreachScaleIncrement"):
        yield Known(space, name)
    space = "aws:ec2:vpc"
    for name in ("VPCId", "Subnets", "ELBSubnets"):
        yield Known(space, name)
    yield Known(space, "ELBScheme", "public", ("public", "internal"))
    yield Known(space, "AssociatePublicIpAddress", None, yes)
    space = "aws:elasticbeanstalk:environment:process:default"
    yield Known(space, "HealthCheckPath", "/")
    yield Known(space, "HealthCheckInterval", "15", (), 5, 300)
    yield Known(space, "HealthCheckTimeout", "5", (), 2, 60)
    yield Known(space, "HealthyThresholdCount", "3", (), 2, 10)
    yield Known(space, "UnhealthyThresholdCount", "5", (), 2, 10)
    yield Known(space, "MatcherHTTPCode", "200")
    yield Known(space, "Port", "80", (), 1, 65535)
    yield Known(space, "Protocol", "HTTP", ("HTTP", "HTTPS", "TCP"))
    yield Known(space, "DeregistrationDelay", "20", (), 0, 3600)
    yield Known(space, "StickinessEnabled", "false", yes)
    space = "aws:elasticbeanstalk:healthreporting:system"
    yield Known(space, "SystemType", "basic", ("basic", "enhanced"))
    yield Known(space, "HealthCheckSuccessThreshold", "Ok", ("Ok", "Warning", "Degraded", "Severe"))
    yield Known(space, "ConfigDocument")
    for listener in ("default", "443"):
        space = f"aws:elbv2:listener:{listener}"
        yield Known(space, "ListenerEnabled", "true", yes)
        yield Known(space, "Protocol", "HTTP", ("HTTP", "HTTPS", "TCP"))
        for name in ("SSLCertificateArns", "SSLPolicy", "DefaultProcess", "Rules"):
            yield Known(space, name)
    for name in ("ListenerProtocol", "InstancePort", "InstanceProtocol", "SSLCertificateId"):
        yield Known("aws:elb:listener:443", name)
    space = "aws:elasticbeanstalk:command"
    policies = (
        "AllAtOnce",
        "Rolling",
        "RollingWithAdditionalBatch",
        "Immutable",
        "TrafficSplitting",
    )
    yield Known(space, "DeploymentPolicy", "AllAtOnce", policies)
    yield Known(space, "BatchSizeType", "Percentage", ("Percentage", "Fixed"))
    yield Known(space, "BatchSize", "100", (), 1, 10000)
    yield Known(space, "Timeout", "600", (), 1, 3600)
    yield Known(space, "IgnoreHealthCheck", "false", yes)
    space = "aws:autoscaling:updatepolicy:rollingupdate"
    yield Known(space, "RollingUpdateEnabled", "false", yes)
    yield Known(space, "RollingUpdateType", "Time", ("Time", "Health", "Immutable"))
    for name in ("MaxBatchSize", "MinInstancesInService"):
        yield Known(space, name, None, (), 0, 10000)
    yield Known(space, "Timeout")
    for space, first in (
        ("aws:elasticbeanstalk:cloudwatch:logs", "StreamLogs"),
        ("aws:elasticbeanstalk:cloudwatch:logs:health", "HealthStreamingEnabled"),
    ):
        yield Known(space, first, "false", yes)
        yield Known(space, "RetentionInDays", "7", retention)
        yield Known(space, "DeleteOnTerminate", "false", yes)
    space = "aws:elasticbeanstalk:managedactions"
    yield Known(space, "ManagedActionsEnabled", "false", yes)
    yield Known(space, "PreferredStartTime")
    yield Known(space, "ServiceRoleForManagedUpdates")
    space = "aws:elasticbeanstalk:managedactions:platformupdate"
    yield Known(space, "UpdateLevel", None, ("patch", "minor"))
    yield Known(space, "InstanceRefreshEnabled", "false", yes)


OPTIONS = {(o.namespace, o.name): o for o in _table()}


def complaints(settings: dict[tuple[str, str], str]) -> Iterator[str]:
    """What Elastic Beanstalk would refuse of these option settings."""
    size = 0
    for (namespace, name), value in settings.items():
        if namespace == PROPERTIES:
            size += len(f"{name}={value}".encode())
            continue
        if namespace == SECRETS:
            continue
        where = f"Invalid option specification (Namespace: '{namespace}', OptionName: '{name}')"
        known = OPTIONS.get((namespace, name))
        if known is None:
            yield f"{where}: Unknown configuration setting."
            continue
        complaint = known.complaint(value)
        if complaint:
            yield where.replace("specification", f"value: '{value}'") + f": {complaint}"
    if size > PROPERTIES_LIMIT:
        yield f"The environment properties take {size} bytes, at most {PROPERTIES_LIMIT}"
