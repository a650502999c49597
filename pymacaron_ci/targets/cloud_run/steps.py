"""The changes that a deployment to Cloud Run is made of: data that can be shown and compared."""

from __future__ import annotations

from dataclasses import dataclass

from pymacaron_ci.model import Step


@dataclass(frozen=True, kw_only=True)
class ServiceStep(Step):
    service: str


@dataclass(frozen=True, kw_only=True)
class AskFirst(ServiceStep):
    """Cloud Run's own judgement of the request that is to come, before anything changes."""

    def __str__(self) -> str:
        return f"ask whether Cloud Run would take the release for {self.service}"


@dataclass(frozen=True, kw_only=True)
class CreateService(ServiceStep):
    """A service that does not exist; its first revision gets all requests."""

    def __str__(self) -> str:
        return f"create the service {self.service}"


@dataclass(frozen=True, kw_only=True)
class AddRevision(ServiceStep):
    """A revision beside the others: with a tag and no requests, or the other way round."""

    all_requests: bool = False

    def __str__(self) -> str:
        share = "with all requests" if self.all_requests else "without requests, under a tag"
        return f"add a revision to {self.service} {share}"


@dataclass(frozen=True, kw_only=True)
class SetAccess(ServiceStep):
    """Who may call the service, and from where."""

    public: bool
    ingress: str
    check_callers: bool = True

    def __str__(self) -> str:
        who = "everybody" if self.public else "only callers with an identity"
        return f"let {who} call {self.service}"


@dataclass(frozen=True, kw_only=True)
class ShiftTraffic(ServiceStep):
    """The new revision gets this share of the requests."""

    percent: int

    def __str__(self) -> str:
        return f"send {self.percent} % of the requests for {self.service} to the new revision"


@dataclass(frozen=True, kw_only=True)
class RestoreTraffic(ServiceStep):
    """Back to the last proven revision: a run died while an unproven one got requests."""

    def __str__(self) -> str:
        return f"send the requests for {self.service} back to the last proven revision"


@dataclass(frozen=True, kw_only=True)
class MarkProven(ServiceStep):
    """What serves is proven: say so on the service, and take the tag away."""

    brief = True

    def __str__(self) -> str:
        return f"mark {self.service} as proven"
