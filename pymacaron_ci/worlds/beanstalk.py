"""aws-beanstalk: how its parts are put together."""

from __future__ import annotations

from collections.abc import Callable

from pymacaron_ci.config import Config
from pymacaron_ci.images import cloud_logins
from pymacaron_ci.model import Phase, Release
from pymacaron_ci.simulator.endpoints import Endpoints
from pymacaron_ci.targets import Target, aws, aws_login, beanstalk
from pymacaron_ci.targets.beanstalk import planning
from pymacaron_ci.worlds.platform import Access, Reached

SIMULATED_CLOUDS = ("aws",)


def real(config: Config, access: Access) -> Reached:
    session = aws_login.sessions(config.settings, access.environ, access.login, access.tokens)
    return Reached(
        target=beanstalk.Beanstalk(config, aws.Aws(session), progress=access.progress),
        registry_login=cloud_logins.amazon(
            lambda region: session().client("ecr", region_name=region)
        ),
    )


def first_phases(
    config: Config,
    project: str | None,  # noqa: ARG001  (Google's alone)
) -> Callable[[Release], tuple[Phase, ...]]:
    return lambda release: planning.phases(planning.empty(config.settings), release)


def simulated(config: Config, endpoints: Endpoints, progress: Callable[[str], None]) -> Target:
    from pymacaron_ci.simulator.beanstalk import names

    return names.simulated(config, endpoints.others["aws"], progress)
