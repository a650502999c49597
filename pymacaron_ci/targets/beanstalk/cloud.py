"""What Elastic Beanstalk answers, as frozen data."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pymacaron_ci.model import Release
from pymacaron_ci.targets.aws import Aws, AwsRefused
from pymacaron_ci.targets.beanstalk import names

EB = "elasticbeanstalk"
BUSY = ("Aborting", "Launching", "Updating", "LinkingFrom", "LinkingTo", "Terminating")


@dataclass(frozen=True, kw_only=True)
class Environment:
    id: str
    name: str
    arn: str
    status: str
    color: str
    cname: str
    endpoint: str
    version_label: str
    updated: datetime
    tags: Mapping[str, str] = field(default_factory=dict)
    proven: bool = False

    @property
    def release(self) -> Release | None:
        return names.release(self.tags)

    @property
    def ready(self) -> bool:
        return self.status == "Ready"

    @property
    def ending(self) -> bool:
        return self.status in ("Terminating", "Terminated")


@dataclass(frozen=True, kw_only=True)
class Event:
    date: datetime
    message: str
    severity: str

    @property
    def bad(self) -> bool:
        return self.severity in ("ERROR", "FATAL")

    def __str__(self) -> str:
        mark = "" if self.severity == "INFO" else f"{self.severity} "
        return f"{mark}{self.message}"


@dataclass(frozen=True, kw_only=True)
class Health:
    """`status` as enhanced health has it: Ok, Info, Warning, Degraded, Severe, or not known yet."""

    status: str
    causes: tuple[str, ...] = ()


class Cloud:
    """Elastic Beanstalk's calls with names in and data out."""

    def __init__(self, aws: Aws, application: str) -> None:
        self.aws = aws
        self._application = application

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        return self.aws.call(EB, operation, **parameters)

    def environments(self) -> list[Environment]:
        """All environments of the application that are not ended, with their tags."""
        found = self._described(ApplicationName=self._application, IncludeDeleted=False)
        return [self._tagged(e) for e in found if e.status != "Terminated"]

    def environment(self, name: str) -> Environment | None:
        """By name; the newest where an ended one had the same name. Without tags."""
        described = self._described(
            ApplicationName=self._application, EnvironmentNames=[name], IncludeDeleted=False
        )
        found = [e for e in described if e.status != "Terminated"]
        return found[0] if found else None

    def by_id(self, number: str) -> Environment | None:
        """By ID, also when it is ended. Without tags."""
        found = list(self._described(EnvironmentIds=[number], IncludeDeleted=True))
        return found[0] if found else None

    def tagged(self, name: str) -> Environment | None:
        found = self.environment(name)
        return self._tagged(found) if found else None

    def _described(self, **parameters: Any) -> Iterator[Environment]:
        token: dict[str, str] = {}
        while True:
            answer = self.call("describe_environments", **parameters, **token)
            for raw in answer.get("Environments", []):
                yield _environment(raw)
            if not answer.get("NextToken"):
                return
            token = {"NextToken": answer["NextToken"]}

    def _tagged(self, environment: Environment) -> Environment:
        tags = self._tags(environment.arn)
        proven = False
        if tags.get(names.RELEASE):
            on_version = self._tags(self.version_arn(environment))
            proven = environment.id in on_version.get(names.PROVEN, "").split()
        known = {f: getattr(environment, f) for f in environment.__dataclass_fields__}
        return Environment(**{**known, "tags": tags, "proven": proven})

    def _tags(self, arn: str) -> dict[str, str]:
        try:
            answer = self.call("list_tags_for_resource", ResourceArn=arn)
        except AwsRefused as refused:
            if refused.code == "ResourceNotFoundException":
                return {}  # ended a moment ago
            raise
        return {t["Key"]: t["Value"] for t in answer.get("ResourceTags", [])}

    def version_arn(self, environment: Environment) -> str:
        """Of the application version that an environment runs."""
        head = environment.arn.rpartition(":environment/")[0]
        return f"{head}:applicationversion/{self._application}/{environment.version_label}"

    def events(self, environment_id: str, since: datetime | None = None) -> list[Event]:
        """Oldest first."""
        start = {"StartTime": since} if since else {}
        answer = self.call("describe_events", EnvironmentId=environment_id, MaxRecords=200, **start)
        return [
            Event(date=e["EventDate"], message=e["Message"], severity=e["Severity"])
            for e in reversed(answer.get("Events", []))
        ]

    def health(self, environment: Environment) -> Health:
        try:
            answer = self.call(
                "describe_environment_health",
                EnvironmentName=environment.name,
                AttributeNames=["All"],
            )
        except AwsRefused as refused:
            if refused.code != "InvalidRequestException":
                raise
            # An environment without enhanced health, that somebody else made.
            basic = {"Green": "Ok", "Yellow": "Warning", "Red": "Severe"}
            return Health(status=basic.get(environment.color, "Pending"))
        return Health(
            status=answer.get("HealthStatus", "Unknown"), causes=tuple(answer.get("Causes", []))
        )

    def instance_causes(self, name: str) -> list[str]:
        answer = self.call(
            "describe_instances_health",
            EnvironmentName=name,
            AttributeNames=["HealthStatus", "Causes"],
        )
        return [
            f"instance {i['InstanceId']} is {i.get('HealthStatus', 'unknown')}: {cause}"
            for i in answer.get("InstanceHealthList", [])
            for cause in i.get("Causes", [])
        ]


def _environment(raw: Mapping[str, Any]) -> Environment:
    return Environment(
        id=raw["EnvironmentId"],
        name=raw["EnvironmentName"],
        arn=raw.get("EnvironmentArn", ""),
        status=raw.get("Status", ""),
        color=raw.get("Health", "Grey"),
        cname=raw.get("CNAME", "").lower(),
        endpoint=raw.get("EndpointURL", ""),
        version_label=raw.get("VersionLabel", ""),
        updated=raw["DateUpdated"],
    )


def named(environments: Collection[Environment], name: str) -> Environment | None:
    return next((e for e in environments if e.name == name), None)
