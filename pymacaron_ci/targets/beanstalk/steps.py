"""The changes that a deployment to Elastic Beanstalk is made of: small data."""

from __future__ import annotations

from dataclasses import dataclass

from pymacaron_ci.model import Step


@dataclass(frozen=True, kw_only=True)
class PublishVersion(Step):
    """The source bundle in S3 and an application version that points at it."""

    application: str
    bucket: str

    def __str__(self) -> str:
        return f"publish a version of application {self.application} (bundle in {self.bucket})"


@dataclass(frozen=True, kw_only=True)
class CreateEnvironment(Step):
    """A whole new environment; `live` when nothing has the live name, so that this one takes it."""

    name: str
    release: str
    cname_prefix: str
    platform: str
    previous: str | None = None

    @property
    def live(self) -> bool:
        return self.previous is None

    def __str__(self) -> str:
        platform = self.platform.rpartition("/")[2]
        name = " under the live name" if self.live else ""
        return f"create environment {self.name}{name} (platform {platform})"


@dataclass(frozen=True, kw_only=True)
class KeepEnvironment(Step):
    """A former release's environment that is still there, to be made live again."""

    name: str

    def __str__(self) -> str:
        return f"take environment {self.name}, which is still there"


@dataclass(frozen=True, kw_only=True)
class SwapNames(Step):
    """The candidate gets the live name, the former live environment gets the candidate's."""

    live: str
    candidate: str
    cname: str

    def __str__(self) -> str:
        return f"give the live name to {self.candidate}, take it from {self.live}"


@dataclass(frozen=True, kw_only=True)
class MarkProven(Step):
    name: str
    brief = True

    def __str__(self) -> str:
        return f"mark {self.name} as proven"


@dataclass(frozen=True, kw_only=True)
class EndEnvironment(Step):
    """An environment that nobody needs; `drained`: it had the live name a moment ago."""

    name: str
    drained: bool = False

    def __str__(self) -> str:
        return f"end environment {self.name}"
