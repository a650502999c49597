"""The changes that a deployment to Kubernetes is made of: data that can be shown and compared."""

from __future__ import annotations

from dataclasses import dataclass

from pymacaron_ci.model import Step
from pymacaron_ci.targets.gke.wanted import Place


@dataclass(frozen=True, kw_only=True)
class SpotStep(Step):
    """`namespace` is told, `place` is what counts."""

    place: Place
    namespace: str


@dataclass(frozen=True, kw_only=True)
class Provide(SpotStep):
    """What the pods need: namespace, account, Secret, Service, the load balancer's settings."""

    kinds: tuple[str, ...]

    def __str__(self) -> str:
        return f"provide in {self.namespace}: {', '.join(self.kinds)}"


@dataclass(frozen=True, kw_only=True)
class RollOut(SpotStep):
    """The release's pods take the place of the former ones, one after the other."""

    def __str__(self) -> str:
        return f"roll the release out in {self.namespace}"


@dataclass(frozen=True, kw_only=True)
class BringBack(SpotStep):
    """A former release's pods, out of the Deployment's history."""

    release: str

    def __str__(self) -> str:
        return f"bring release {self.release} back in {self.namespace}"


@dataclass(frozen=True, kw_only=True)
class Open(SpotStep):
    """What makes it a service: autoscaler, disruption budget, load balancer."""

    kinds: tuple[str, ...]

    def __str__(self) -> str:
        return f"open {self.namespace}: {', '.join(self.kinds)}"


@dataclass(frozen=True, kw_only=True)
class MarkProven(SpotStep):
    """What runs is proven: say so on the Deployment, and remove Secrets that nobody needs."""

    brief = True

    def __str__(self) -> str:
        return f"mark {self.namespace} as proven"
