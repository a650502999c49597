"""Where a deployment happens: the real clouds or simulated ones. Only this package knows both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pymacaron_ci import image
from pymacaron_ci.builder import ForeseeingBuilder
from pymacaron_ci.config import Config
from pymacaron_ci.dry_run import Unseen
from pymacaron_ci.images import cloud_logins
from pymacaron_ci.images.logins import Login as RegistryLogin
from pymacaron_ci.images.recipe import Recipe
from pymacaron_ci.oidc import Login, TokenSource
from pymacaron_ci.targets import Target
from pymacaron_ci.worlds.platform import SIMULATED_PROJECT, Access, Platform

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class World:
    """A target, something that makes images for it, and where they are pushed."""

    target: Target
    builder: ForeseeingBuilder
    repository: str


def platform_of(config: Config) -> Platform:
    """Every target has its place here. Imported when asked for: each brings a cloud's library."""
    match config.target:
        case "gcp-cloud-run":
            from pymacaron_ci.worlds import cloud_run

            return cloud_run
        case "aws-beanstalk":
            from pymacaron_ci.worlds import beanstalk

            return beanstalk
        case "gke":
            from pymacaron_ci.worlds import gke

            return gke


def real(
    config: Config,
    recipe: Recipe,
    *,
    environ: Mapping[str, str],
    login: Login | None,
    tokens: Callable[[], TokenSource] | None,
    progress: Progress,
) -> World:
    """The clouds themselves, with the credentials that the environment or the log-in gives."""
    access = Access(environ=environ, login=login, tokens=tokens, progress=progress)
    reached = platform_of(config).real(config, access)
    recipe = replace(recipe, cloud_login=reached.registry_login)
    return World(
        target=reached.target,
        builder=image.builder(recipe, config.settings.builder, progress),
        repository=config.image_repository(reached.project),
    )


def workshop(
    config: Config,
    recipe: Recipe,
    *,
    environ: Mapping[str, str],
    login: Login | None,
    tokens: Callable[[], TokenSource] | None,
    progress: Progress,
) -> World:
    """For building alone: a cloud is asked to log in to its registry, where the image goes there;
    its library is loaded for nothing else."""
    access = Access(environ=environ, login=login, tokens=tokens, progress=progress)

    def registry_login(host: str) -> RegistryLogin | None:
        if not cloud_logins.belongs_to_a_cloud(host):
            return None
        return platform_of(config).real(config, access).registry_login(host)

    project = environ.get("GOOGLE_CLOUD_PROJECT")
    if config.target == "gcp-cloud-run" and not (config.settings.gcp_project or project):
        project = platform_of(config).real(config, access).project
    recipe = replace(recipe, cloud_login=registry_login)
    return World(
        target=Unseen(config.target, lambda _: (), "nothing is deployed"),
        builder=image.builder(recipe, config.settings.builder, progress),
        repository=config.image_repository(project),
    )


def unseen(
    config: Config,
    recipe: Recipe,
    *,
    environ: Mapping[str, str],
    why: str,
    progress: Progress,
) -> World:
    """Without credentials for the cloud: the plan as if nothing were there; images all the same."""
    project = environ.get("GOOGLE_CLOUD_PROJECT")
    return World(
        target=Unseen(config.target, platform_of(config).first_phases(config, project), why),
        builder=image.builder(recipe, config.settings.builder, progress),
        repository=config.image_repository(project),
    )


def simulated(
    config: Config,
    recipe: Recipe,
    *,
    state: Path,
    environ: Mapping[str, str],
    progress: Progress,
) -> World:
    """Loopback stand-ins that run the service for real; in containers where an engine answers."""
    from pymacaron_ci.simulator import client

    chosen = platform_of(config)
    reason = image.engine_is_missing(recipe)
    if reason:
        progress(f"instances are processes, not containers: {reason}")
    endpoints = client.start(
        state, engine=reason is None, clouds=chosen.SIMULATED_CLOUDS, environ=environ
    )
    make = image.docker_builder if endpoints.instances == "container" else image.source_builder
    here = replace(recipe, platforms=())  # they run on this machine, whatever it is
    return World(
        target=chosen.simulated(config, endpoints, progress),
        builder=make(here, progress),
        repository=f"{endpoints.registry}/{config.image_repository(SIMULATED_PROJECT)}",
    )
