"""Where a deployment happens: the real clouds or simulated ones. Only this module knows both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pymacaron_ci import image
from pymacaron_ci.builder import Builder
from pymacaron_ci.config import Config
from pymacaron_ci.dry_run import DryBuilder, Unseen
from pymacaron_ci.errors import DeployError
from pymacaron_ci.images import cloud_logins
from pymacaron_ci.images.recipe import Recipe
from pymacaron_ci.oidc import Login, TokenSource
from pymacaron_ci.targets import Target

Progress = Callable[[str], None]
SIMULATED_PROJECT = "simulated-project"


@dataclass(frozen=True, kw_only=True)
class World:
    """A target, something that makes images for it, and where they are pushed."""

    target: Target
    builder: Builder
    repository: str


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
    if config.target == "gcp-cloud-run":
        from pymacaron_ci.targets import cloud_run, gcp, google_login

        credentials, project = google_login.credentials(environ, login, tokens)
        recipe = replace(recipe, cloud_login=cloud_logins.google(credentials))
        return World(
            target=cloud_run.CloudRun(
                config,
                gcp.GoogleSession.over(credentials, progress=progress),
                project=project,
                leads_to=cloud_run.leads_to,
                progress=progress,
            ),
            builder=image.builder(recipe, config.settings.builder, progress),
            repository=config.image_repository(project),
        )
    if config.target == "aws-beanstalk":
        from pymacaron_ci.targets import aws, aws_login, beanstalk

        session = aws_login.sessions(config.settings, environ, login, tokens)
        ecr = cloud_logins.amazon(lambda region: session().client("ecr", region_name=region))
        recipe = replace(recipe, cloud_login=ecr)
        return World(
            target=beanstalk.Beanstalk(
                config,
                aws.Aws(session),
                progress=progress,
            ),
            builder=image.builder(recipe, config.settings.builder, progress),
            repository=config.image_repository(),
        )
    raise DeployError(
        f"deploying to {config.target} is not possible yet",
        hint="gcp-cloud-run and aws-beanstalk are; validate and build work for all targets",
    )


def unseen(config: Config, environ: Mapping[str, str], *, why: str) -> World:
    """For a dry run that may not look: the plan as if nothing were there."""
    if config.target == "gcp-cloud-run":
        from pymacaron_ci.targets.cloud_run import planning
        from pymacaron_ci.targets.cloud_run.wanted import wanted

        project = environ.get("GOOGLE_CLOUD_PROJECT")
        asked = wanted(config, project)
        return World(
            target=Unseen(
                config.target,
                lambda release: planning.phases(asked, release, planning.Seen(), planning.Seen()),
                why,
            ),
            builder=DryBuilder(),
            repository=config.image_repository(project),
        )
    if config.target == "aws-beanstalk":
        from pymacaron_ci.targets.beanstalk import planning as beanstalk_planning

        return World(
            target=Unseen(
                config.target,
                lambda release: beanstalk_planning.phases(
                    beanstalk_planning.empty(config.settings), release
                ),
                why,
            ),
            builder=DryBuilder(),
            repository=config.image_repository(),
        )
    raise DeployError(f"a plan for {config.target} is not possible yet", hint="gcp-cloud-run is")


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

    reason = image.engine_is_missing(recipe)
    if reason:
        progress(f"instances are processes, not containers: {reason}")
    others = ("aws",) if config.target == "aws-beanstalk" else ()
    endpoints = client.start(state, engine=reason is None, clouds=others, environ=environ)
    make = image.docker_builder if endpoints.instances == "container" else image.source_builder
    repository = f"{endpoints.registry}/{config.image_repository(SIMULATED_PROJECT)}"
    builder = make(recipe, progress)
    if config.target == "gcp-cloud-run":
        from pymacaron_ci.targets import cloud_run, gcp

        session = gcp.GoogleSession.over(
            gcp.FixedToken("simulated"),
            endpoints=gcp.Endpoints.all_at(endpoints.run),
            progress=progress,
        )
        target = cloud_run.CloudRun(config, session, project=SIMULATED_PROJECT, progress=progress)
        return World(target=target, builder=builder, repository=repository)
    if config.target == "aws-beanstalk":
        from pymacaron_ci.simulator.beanstalk import names

        return World(
            target=names.simulated(config, endpoints.others["aws"], progress),
            builder=builder,
            repository=repository,
        )
    raise DeployError(
        f"{config.target} can't be simulated yet",
        hint="gcp-cloud-run and aws-beanstalk can: --simulate with them",
    )
