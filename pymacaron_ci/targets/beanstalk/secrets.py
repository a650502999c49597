"""References to secrets that Elastic Beanstalk hands to a server itself: never a value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SECRETS = "aws:elasticbeanstalk:application:environmentsecrets"
SINCE = "2025-03-26"  # releases of the platform that know such references


@dataclass(frozen=True, kw_only=True)
class Reference:
    """`name` may be an ARN; `key`: of the JSON object that the secret is."""

    service: Literal["secretsmanager", "ssm"]
    name: str
    key: str = ""

    def option(self, arn: str) -> str:
        """What Elastic Beanstalk is told of it."""
        return f"{arn}:{self.key}" if self.key else arn


def parse(text: str) -> Reference:
    """The value of an `aws_secrets` entry."""
    if text.startswith("arn:"):
        parts = text.split(":")
        if parts[2] == "ssm":
            return Reference(service="ssm", name=text)
        return Reference(
            service="secretsmanager", name=":".join(parts[:7]), key=":".join(parts[7:])
        )
    if text.startswith("ssm:"):
        return Reference(service="ssm", name=text[len("ssm:") :])
    name, _, key = text.partition(":")
    return Reference(service="secretsmanager", name=name, key=key)


def references(settings: Mapping[str, str]) -> dict[str, Reference]:
    return {variable: parse(text) for variable, text in settings.items()}


def parameter_names(reference: Reference) -> list[str]:
    """An ARN does not tell whether a parameter's name begins with a slash."""
    if not reference.name.startswith("arn:"):
        return [reference.name]
    path = reference.name.partition(":parameter/")[2]
    return [f"/{path}"] if "/" in path else [path, f"/{path}"]


def parameter_arn(name: str, *, partition: str, region: str, account: str) -> str:
    return f"arn:{partition}:ssm:{region}:{account}:parameter/{name.removeprefix('/')}"
