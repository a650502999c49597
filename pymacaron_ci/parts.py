"""Puts a command's parts together: real clouds or simulated ones, real changes or a dry run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pymacaron_ci import config as configs
from pymacaron_ci import dry_run as dry
from pymacaron_ci import env_secrets, image, pipeline, source, test_bed, worlds
from pymacaron_ci.checks import HttpChecks, TestBed
from pymacaron_ci.config import Config
from pymacaron_ci.errors import DeployError, Failure, NoCredentials
from pymacaron_ci.images.recipe import DEFAULT_PYTHON, Recipe, runtime_extras
from pymacaron_ci.model import Problem, Release, Report, Secret, Source
from pymacaron_ci.oidc import Login, TokenSource
from pymacaron_ci.pipeline import Job
from pymacaron_ci.release import release_of
from pymacaron_ci.reporter import Reporter

CACHE = ".pymacaron"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a command was given: flags, and the environment as the shell or the runner made it.

    Secrets are taken out of `environ`; `ambient` is all of it, for log-ins alone: a deployer's
    keys may be listed in env_secrets too.
    """

    folder: Path
    environment: str | None
    environ: Mapping[str, str]
    ambient: Mapping[str, str]
    take_secrets: Callable[[Sequence[str]], Mapping[str, str]]
    reporter: Reporter
    hide: Callable[[tuple[Secret, ...]], None]
    hold_signals: Callable[[], AbstractContextManager[object]]
    run_url: str | None = None
    login: Login | None = None
    tokens: Callable[[], TokenSource] | None = None
    simulate: bool = False
    simulator_state: Path | None = None
    no_test: bool = False
    no_unittest: bool = False
    wait_timeout: int | None = None
    version: str | None = None
    push: bool = True
    output: str | None = None
    upgrade_dependencies: bool = False


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything that is known before a cloud is asked."""

    inputs: Inputs
    config: Config
    secrets: tuple[Secret, ...]
    source: Source

    @property
    def environments(self) -> Path:
        """Where packages are installed for tests; the simulator's own, so that it finds them."""
        given = self.inputs.simulator_state
        return (given.absolute() if given else simulator_state(self.inputs.folder)) / "environments"


def cache_folder(folder: Path) -> Path:
    """Where environments and simulated clouds live: beside the service, unknown to git."""
    cache = folder.absolute() / CACHE
    try:
        cache.mkdir(exist_ok=True)
        ignore = cache / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise Failure(
            f"the folder {cache} can't be made: {error.strerror}",
            hint="make the service's folder writable",
        ) from error
    return cache


def simulator_state(folder: Path) -> Path:
    return cache_folder(folder) / "simulator"


def prepare(inputs: Inputs, *, all_secrets: bool = True) -> Prepared:
    """Configuration, secrets and source: all that can be wrong without asking anybody.

    Unless `all_secrets`, those that are there do: a former release has its own.
    """
    config = configs.load(inputs.folder, inputs.environment)
    given = inputs.take_secrets(config.secret_names)
    if all_secrets:
        secrets = env_secrets.resolve(config, given)
    else:
        secrets = tuple(Secret(name, value) for name, value in given.items() if value)
    inputs.hide(secrets)
    for problem in (*config.warnings, *env_secrets.warnings(config, secrets)):
        inputs.reporter.warn(problem)
    found = source.read(
        inputs.folder,
        inputs.environ,
        warn=lambda text: inputs.reporter.warn(Problem(text=text, severity="warning")),
        links=config.settings.include_links,
    )
    if inputs.version:
        found = replace(found, version=inputs.version)
    return Prepared(inputs=inputs, config=config, secrets=secrets, source=found)


def deploy(inputs: Inputs) -> Report:
    with _job(inputs) as job:
        return pipeline.run(job)


def dry_run(inputs: Inputs) -> Report:
    prepared = prepare(inputs)
    try:
        world = _world(prepared)
    except NoCredentials as error:
        world = worlds.unseen(
            prepared.config,
            _recipe(prepared),
            environ=inputs.environ,
            why=str(error),
            progress=inputs.reporter.progress,
        )
    target = dry.DryTarget(world.target)
    report = pipeline.run(
        Job(
            release=_release(prepared, world),
            target=target,
            builder=dry.DryBuilder(world.builder, inputs.reporter.progress),
            checks=dry.DryChecks(),
            reporter=dry.PlanOnly(inputs.reporter),
            acceptance_tests=not inputs.no_test,
            success="planned",
        )
    )
    # Nothing was deployed that could answer anywhere else.
    return replace(report, url=target.url, staging_url=None)


def build(inputs: Inputs) -> Report:
    with _job(inputs, deploys=False) as job:
        if inputs.output:
            saving = image.Saving(
                job.builder, inputs.output, inputs.environ, inputs.reporter.progress
            )
            job = replace(job, builder=saving)
        return pipeline.build(job, push=inputs.push)


def rollback(inputs: Inputs) -> Report:
    with _job(inputs, all_secrets=False) as job:
        live = job.target.live()
        if live.previous is None:
            raise DeployError(
                "there is no former release to put back",
                hint="pymacaron-ci status tells what is known of the live one",
            )
        return pipeline.run(replace(job, release=live.previous))


def status(inputs: Inputs) -> Report:
    with _job(inputs, all_secrets=False) as job:
        live = job.target.live()
        notes = list(live.details)
        if live.release and not live.proven:
            notes.append("this release has not proven itself: deploy again")
        return Report(
            status="live" if live.release else "nothing-live",
            release=live.release,
            previous=live.previous,
            url=live.url,
            notes=tuple(notes),
        )


@contextmanager
def _job(
    inputs: Inputs,
    *,
    all_secrets: bool = True,
    deploys: bool = True,
) -> Iterator[Job]:
    prepared = prepare(inputs, all_secrets=all_secrets)
    with ExitStack() as stack:
        world = _world(prepared) if deploys or inputs.simulate else _workshop(prepared)
        release = _release(prepared, world)
        yield Job(
            release=release,
            target=world.target,
            builder=world.builder,
            checks=_checks(prepared, release, stack),
            reporter=inputs.reporter,
            hold_signals=inputs.hold_signals,
            longest_wait=inputs.wait_timeout,
            acceptance_tests=not inputs.no_test,
        )


def _release(prepared: Prepared, world: worlds.World) -> Release:
    return release_of(
        prepared.config,
        prepared.source,
        prepared.secrets,
        world.repository,
        run_url=prepared.inputs.run_url,
    )


def _workshop(prepared: Prepared) -> worlds.World:
    inputs = prepared.inputs
    return worlds.workshop(
        prepared.config,
        _recipe(prepared),
        environ=inputs.ambient,
        login=inputs.login,
        tokens=inputs.tokens,
        progress=inputs.reporter.progress,
    )


def _recipe(prepared: Prepared) -> Recipe:
    inputs, config = prepared.inputs, prepared.config
    settings = config.settings
    return Recipe(
        folder=inputs.folder,
        source=prepared.source,
        config_file=config.file,
        environ=inputs.environ,
        base=settings.docker_base,
        python_version=settings.python_version or DEFAULT_PYTHON,
        with_async=settings.with_async,
        include_links=settings.include_links,
        forbidden=prepared.secrets,
        platforms=settings.platforms,
        bytecode=settings.bytecode,
        upgrade=inputs.upgrade_dependencies,
        warn=lambda text: inputs.reporter.warn(Problem(text=text, severity="warning")),
    )


def _world(prepared: Prepared) -> worlds.World:
    inputs, config, recipe = prepared.inputs, prepared.config, _recipe(prepared)
    if inputs.simulate:
        with inputs.reporter.stage("Start the simulated clouds"):
            return worlds.simulated(
                config,
                recipe,
                state=inputs.simulator_state or simulator_state(inputs.folder),
                environ=inputs.environ,
                progress=inputs.reporter.progress,
            )
    return worlds.real(
        config,
        recipe,
        environ=inputs.ambient,
        login=inputs.login,
        tokens=inputs.tokens,
        progress=inputs.reporter.progress,
    )


def _checks(prepared: Prepared, release: Release, stack: ExitStack) -> HttpChecks:
    inputs = prepared.inputs
    files: list[Path] = []

    def place() -> Path:
        if not files:
            files.append(
                stack.enter_context(
                    test_bed.files_of(prepared.config, inputs.environ, release.version)
                )
            )
        return files[0]

    bed = TestBed(
        files=place,
        python=lambda: test_bed.interpreter(
            place(),
            prepared.environments,
            inputs.environ,
            inputs.reporter.progress,
            extras=runtime_extras(with_async=prepared.config.settings.with_async),
        ),
        secrets=prepared.secrets,
        token=lambda: test_bed.token(prepared.config, prepared.secrets, inputs.reporter.progress),
        base_environment=test_bed.base_environment(inputs.environ),
    )
    return HttpChecks(
        bed,
        progress=inputs.reporter.progress,
        timeout=inputs.wait_timeout or 120,
        run_unit_tests=not (inputs.no_test or inputs.no_unittest),
    )
