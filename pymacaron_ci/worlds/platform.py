"""What a target's module in this package offers: how its parts are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pymacaron_ci.config import Config
from pymacaron_ci.images.logins import Login as RegistryLogin
from pymacaron_ci.model import Phase, Release
from pymacaron_ci.oidc import Login, TokenSource
from pymacaron_ci.targets import Target

if TYPE_CHECKING:
    from pymacaron_ci.simulator.endpoints import Endpoints

SIMULATED_PROJECT = "simulated-project"


@dataclass(frozen=True, kw_only=True)
class Access:
    """What leads into the real cloud, and where its progress is told."""

    environ: Mapping[str, str]
    login: Login | None
    tokens: Callable[[], TokenSource] | None
    progress: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The real target; `registry_login` opens the cloud's own registry, given its host."""

    target: Target
    registry_login: Callable[[str], RegistryLogin | None]
    project: str | None = None


class Platform(Protocol):
    """Implemented by the modules of this package that are called after a target."""

    @property
    def SIMULATED_CLOUDS(self) -> tuple[str, ...]:
        """What the simulator must run besides Google's APIs."""

    def real(self, config: Config, access: Access) -> Reached: ...

    def first_phases(
        self, config: Config, project: str | None
    ) -> Callable[[Release], tuple[Phase, ...]]:
        """The plan of a deployment to a cloud that holds nothing yet."""

    def simulated(
        self, config: Config, endpoints: Endpoints, progress: Callable[[str], None]
    ) -> Target: ...
