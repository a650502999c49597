"""Puts a command's parts together: real clouds or simulated ones, real changes or a dry run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pymacaron_ci import config as configs
from pymacaron_ci import dry_run as dry
from pymacaron_ci import env_secrets, pipeline, source, test_bed
from pymacaron_ci.builder import Builder
from pymacaron_ci.checks import HttpChecks, TestBed
from pymacaron_ci.config import Config
from pymacaron_ci.errors import DeployError, Failure
from pymacaron_ci.model import Image, Problem, Release, Report, Secret, Source
from pymacaron_ci.pipeline import Job
from pymacaron_ci.release import release_of
from pymacaron_ci.reporter import JsonReporter, Redactor, Reporter, TextReporter
from pymacaron_ci.signals import Signals
from pymacaron_ci.targets import Target

CACHE = ".pymacaron"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a command was given: flags, and the environment as the shell or the runner made it."""

    folder: Path
    environment: str | None
    format: str
    environ: Mapping[str, str]
    signals: Signals
    simulate: bool = False
    simulator_state: Path | None = None
    no_test: bool = False
    no_unittest: bool = False
    wait_timeout: int | None = None
    push: bool = True


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything that is known before a cloud is asked."""

    inputs: Inputs
    config: Config
    secrets: tuple[Secret, ...]
    source: Source
    reporter: Reporter

    @property
    def cache(self) -> Path:
        return cache_folder(self.inputs.folder)


def cache_folder(folder: Path) -> Path:
    """Where environments and simulated clouds live: beside the service, unknown to git."""
    cache = folder / CACHE
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


def prepare(inputs: Inputs) -> Prepared:
    """Configuration, secrets and source: all that can be wrong without asking anybody."""
    config = configs.load(inputs.folder, inputs.environment)
    secrets = env_secrets.resolve(config, inputs.environ)
    redact = Redactor(secrets)
    reporter: Reporter
    if inputs.format == "json":
        reporter = JsonReporter(redact, simulated=inputs.simulate)
    else:
        reporter = TextReporter(redact, simulated=inputs.simulate)
    for problem in (*config.warnings, *env_secrets.warnings(config, secrets)):
        reporter.note(str(problem))
    found = source.read(inputs.folder, inputs.environ, warn=reporter.note)
    return Prepared(inputs=inputs, config=config, secrets=secrets, source=found, reporter=reporter)


def deploy(inputs: Inputs) -> Report:
    with _job(inputs) as job:
        return _finish(inputs, job, pipeline.run)


def dry_run(inputs: Inputs) -> Report:
    with _job(inputs) as job:
        stand_ins = replace(
            job,
            target=dry.DryTarget(job.target),
            builder=dry.DryBuilder(),
            checks=dry.DryChecks(),
            reporter=dry.PlanOnly(job.reporter),
            success="planned",
        )
        return _finish(inputs, stand_ins, pipeline.run)


def build(inputs: Inputs) -> Report:
    with _job(inputs) as job:
        return _finish(inputs, job, lambda j: pipeline.build(j, push=inputs.push))


def rollback(inputs: Inputs) -> Report:
    with _job(inputs) as job:
        live = job.target.live()
        if live.previous is None:
            raise DeployError(
                "there is no former release to put back",
                hint="pymacaron-ci status tells what is known of the live one",
            )
        return _finish(inputs, replace(job, release=live.previous), pipeline.run)


def status(inputs: Inputs) -> Report:
    with _job(inputs) as job:
        live = job.target.live()
        notes = list(live.details)
        if live.release and not live.proven:
            notes.append("this release has not proven itself: deploy again")
        return _finish(
            inputs,
            job,
            lambda _: Report(
                status="live" if live.release else "nothing-live",
                target=str(job.release.image),
                release=live.release,
                previous=live.previous,
                url=live.url,
                notes=tuple(notes),
            ),
        )


def _finish(inputs: Inputs, job: Job, action: Callable[[Job], Report]) -> Report:
    start = time.monotonic()
    report = action(job)
    report = replace(report, simulated=inputs.simulate, seconds=time.monotonic() - start)
    job.reporter.finished(report)
    return report


@contextmanager
def _job(inputs: Inputs) -> Iterator[Job]:
    prepared = prepare(inputs)
    with ExitStack() as stack:
        target, builder, repository = _world(prepared)
        release = release_of(prepared.config, prepared.source, prepared.secrets, repository)
        yield Job(
            release=release,
            target=target,
            builder=builder,
            checks=_checks(prepared, release, stack),
            reporter=prepared.reporter,
            hold_signals=inputs.signals.hold,
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
            place(), prepared.cache / "envs", inputs.environ, prepared.reporter.progress
        ),
        secrets=prepared.secrets,
        token=lambda: test_bed.token(prepared.config, prepared.secrets),
        base_environment=test_bed.base_environment(inputs.environ),
    )
    return HttpChecks(
        bed,
        progress=prepared.reporter.progress,
        timeout=inputs.wait_timeout or 120,
        run_unit_tests=not (inputs.no_test or inputs.no_unittest),
        run_acceptance_tests=not inputs.no_test,
    )
