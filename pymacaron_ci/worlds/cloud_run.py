"""gcp-cloud-run: how its parts are put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pymacaron_ci.config import Config
from pymacaron_ci.images import cloud_logins
from pymacaron_ci.model import Phase, Release
from pymacaron_ci.simulator.endpoints import Endpoints
from pymacaron_ci.targets import Target, cloud_run, gcp, google_login
from pymacaron_ci.targets.cloud_run import planning
from pymacaron_ci.targets.cloud_run.wanted import wanted
from pymacaron_ci.targets.live_url import leads_to
from pymacaron_ci.worlds.platform import SIMULATED_PROJECT, Access, Reached

SIMULATED_CLOUDS: tuple[str, ...] = ()
HOW = (
    "map the domain to the service, or point a load balancer at it (docs/targets/gcp-cloud-run.md)"
)


def real(config: Config, access: Access) -> Reached:
    credentials, project = google_login.credentials(access.environ, access.login, access.tokens)
    return Reached(
        target=cloud_run.CloudRun(
            config,
            gcp.GoogleSession.over(credentials, progress=access.progress),
            project=project,
            leads_to=partial(leads_to, how=HOW),
            progress=access.progress,
        ),
        registry_login=cloud_logins.google(credentials),
        project=project,
    )


def first_phases(config: Config, project: str | None) -> Callable[[Release], tuple[Phase, ...]]:
    asked = wanted(config, project)
    return lambda release: planning.phases(asked, release, planning.Seen(), planning.Seen())


def simulated(config: Config, endpoints: Endpoints, progress: Callable[[str], None]) -> Target:
    from pymacaron_ci.simulator.google import rehearsal

    asked = wanted(config, SIMULATED_PROJECT)
    rehearsal.provide(endpoints.google, asked.project, asked.secrets.values())
    session = gcp.GoogleSession.over(
        gcp.FixedToken("simulated"),
        endpoints=gcp.Endpoints.all_at(endpoints.google),
        progress=progress,
    )
    return cloud_run.CloudRun(asked, session, progress=progress)
