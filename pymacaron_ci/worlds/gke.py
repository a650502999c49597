"""gke: how its parts are put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from pymacaron_ci.config import Config
from pymacaron_ci.errors import NoCredentials
from pymacaron_ci.images import cloud_logins
from pymacaron_ci.images.logins import Login
from pymacaron_ci.model import Phase, Release
from pymacaron_ci.simulator.endpoints import Endpoints
from pymacaron_ci.targets import Target, gcp, gke, google_login
from pymacaron_ci.targets.gke import planning
from pymacaron_ci.targets.gke.access import Connect, Endpoint, GoogleClusters, connected
from pymacaron_ci.targets.gke.client import Http
from pymacaron_ci.targets.gke.kubeconfig import Kubeconfig
from pymacaron_ci.targets.gke.state import Seen
from pymacaron_ci.targets.gke.wanted import Wanted, wanted
from pymacaron_ci.targets.live_url import leads_to
from pymacaron_ci.worlds.platform import SIMULATED_PROJECT, Access, Reached

SIMULATED_CLOUDS = ("kubernetes",)
HOW = "point its DNS record at the load balancer (docs/targets/gke.md)"
SIMULATED_PATIENCE = 0.1  # what goes wrong on loopback stays wrong


def real(config: Config, access: Access) -> Reached:
    if config.settings.kubeconfig:
        return _elsewhere(config, config.settings.kubeconfig, access)
    credentials, project = google_login.credentials(access.environ, access.login, access.tokens)
    session = gcp.GoogleSession.over(credentials, progress=access.progress)
    asked = wanted(config)
    clusters = GoogleClusters(session, asked, connected(credentials), access.progress)
    return Reached(
        target=gke.Gke(
            asked,
            clusters,
            session=session,
            leads_to=partial(leads_to, how=HOW),
            progress=access.progress,
        ),
        registry_login=cloud_logins.google(credentials),
        project=project,
    )


def _elsewhere(config: Config, file: str, access: Access) -> Reached:
    """A cluster that a kubeconfig file leads to. Google is asked for no more than its registry."""
    path = config.folder / Path(file).expanduser()
    clusters = Kubeconfig(
        path, config.settings.kube_context, access.environ, progress=access.progress
    )

    def registry_login(host: str) -> Login | None:
        try:
            credentials, _ = google_login.credentials(access.environ, access.login, access.tokens)
        except NoCredentials:
            return None
        return cloud_logins.google(credentials)(host)

    return Reached(
        target=gke.Gke(
            config, clusters, leads_to=partial(leads_to, how=HOW), progress=access.progress
        ),
        registry_login=registry_login,
    )


def first_phases(
    config: Config,
    project: str | None,  # noqa: ARG001  (docker_repo is the project)
) -> Callable[[Release], tuple[Phase, ...]]:
    asked = wanted(config)
    return lambda release: planning.phases(asked, release, Seen())


def simulated(config: Config, endpoints: Endpoints, progress: Callable[[str], None]) -> Target:
    """Every cluster that the configuration may name is there, and answers on loopback."""
    asked = replace(wanted(config), project=SIMULATED_PROJECT, on_gke=True, repository=None)
    url = endpoints.others["kubernetes"]
    token = gcp.FixedToken("simulated")
    session = gcp.GoogleSession.over(
        token,
        endpoints=replace(gcp.Endpoints.all_at(endpoints.google), container=url, compute=url),
        progress=progress,
    )
    connect = on_loopback(url, asked, lambda: gcp.authorized(token))
    clusters = GoogleClusters(session, asked, connect, progress)
    return gke.Gke(asked, clusters, session=session, progress=progress, patience=SIMULATED_PATIENCE)


def on_loopback(url: str, asked: Wanted, make: Callable[[], Http]) -> Connect:
    """A simulated cluster's endpoint is in the place where Google's API would name one."""

    def connect(cluster: str, _endpoint: Endpoint) -> tuple[Http, str]:
        return make(), f"{url}/clusters/{asked.project}/{asked.location}/{cluster}"

    return connect
