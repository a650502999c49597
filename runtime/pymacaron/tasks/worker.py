"""`pymasync`: workers alone, for the service in the working directory."""

from __future__ import annotations

import importlib
import logging
import os
import resource
import signal
import socket
import sys
import threading
import warnings
from pathlib import Path

import click
from celery import Celery, signals
from celery.exceptions import SecurityWarning
from flask import Flask

from pymacaron import log as logs
from pymacaron.config import ConfigError, get_config
from pymacaron.monitor import monitor_init
from pymacaron.openapi import SpecError
from pymacaron.resources import (
    CELERY_WORKER_MEM,
    GUNICORN_WORKER_MEM,
    MASTER_MEM,
    MEBIBYTE,
    Machine,
    get_celery_worker_count,
    get_celery_worker_memory_limit,
)
from pymacaron.tasks.broker import lease_seconds, make_app, process, shown_url
from pymacaron.tasks.running import celery_task, place
from pymacaron.tasks.task import registry
from pymacaron.tasks.transport import Lease
from pymacaron.tasks.unknown import PatientConsumer
from pymacaron.urls import broker_url

log = logging.getLogger("pymacaron.task")

ROOM_TO_GROW = 100 * 1024  # KiB


@click.command()
@click.option("--server", default="server", help="The module that holds the service's `app`.")
@click.option("--concurrency", type=click.IntRange(1), help="Processes (default: worker_count).")
@click.option("--env", help="Environment: sets PYM_ENV.")
@click.option("--parent-pipe", type=int, hidden=True, help="Ends when this pipe does.")
def main(server: str, concurrency: int | None, env: str | None, parent_pipe: int | None) -> None:
    """Runs the workers of the service in the working directory, until SIGTERM."""
    if env:
        os.environ["PYM_ENV"] = env
    # What tells pymacaron.server that no server is wanted, and the config where to look.
    sys.argv = ["celery"]
    sys.path.insert(0, str(Path.cwd()))
    logs.setup_logger(celery=True)
    try:
        place.flask = load(server)
        app = make_app(get_config(), worker=True)
    except (ConfigError, SpecError) as error:
        raise click.ClickException(f"the workers can't start:\n{error}") from error
    process.app = app
    for task in registry.tasks.values():
        celery_task(app, task)
    if parent_pipe is not None:
        end_with(parent_pipe)
    sys.exit(run(app, concurrency or worker_count()))


def load(server: str) -> Flask:
    """Imports the service: its handlers register their tasks, its APIs are loaded."""
    module_name, _, variable = server.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise
        raise click.ClickException(
            f"there is no {module_name}.py in {Path.cwd()}: start pymasync in the service's folder"
        ) from error
    app = getattr(module, variable or "app", None)
    if not isinstance(app, Flask):
        raise click.ClickException(f"{module_name}.py holds no Flask object named `app`")
    return app


def run(app: Celery, concurrency: int) -> int:
    """Works until told to stop; the exit status."""
    signals.setup_logging.connect(_keep_logging)
    signals.worker_process_init.connect(_begin)
    for chatty in ("celery.app.trace", "celery.worker.strategy", "celery.redirected"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # It warns of what root would unpickle; our messages are JSON.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    log.info(
        "%d workers for %d tasks at %s",
        concurrency,
        len(registry.tasks),
        shown_url(broker_url(get_config())),
    )
    worker = app.Worker(
        hostname=f"pymacaron-{os.getpid()}@{socket.gethostname()}",
        concurrency=concurrency,
        pool="prefork",
        consumer_cls=PatientConsumer,
        optimization="fair",
        max_memory_per_child=memory_limit(),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker_id = app.conf.broker_transport_options.get("worker_id")
    if worker_id:
        lease = Lease(app, worker_id, lease_seconds(), app.conf.task_default_queue)

        def begin_lease(**_: object) -> None:
            lease.start()

        # Not before the pool is forked: a child made while this thread holds a lock waits for ever.
        signals.worker_ready.connect(begin_lease, weak=False)
    worker.start()
    return int(worker.exitcode or 0)


def worker_count() -> int:
    """worker_count of the configuration, else 2 x CPUs, as many as fit beside a server."""
    count = get_celery_worker_count()
    memory = Machine().memory_limit()
    if get_config().get("worker_count") or not memory:
        return count
    free = memory / MEBIBYTE - MASTER_MEM - GUNICORN_WORKER_MEM
    return max(1, min(count, int(free // CELERY_WORKER_MEM)))


def memory_limit() -> int:
    """KiB after which a worker is replaced; more where the service needs that from its start."""
    return max(get_celery_worker_memory_limit(), _resident() + ROOM_TO_GROW)


def _resident() -> int:
    """KiB that this process holds. Linux's ru_maxrss starts with what its parent held."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize() // 1024


def end_with(pipe: int) -> None:
    """Ends this worker as soon as nobody holds the other end of the pipe any more."""

    def wait() -> None:
        while os.read(pipe, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def _keep_logging(**_: object) -> None:
    """Having a receiver keeps Celery from setting up its own."""


def _begin(**_: object) -> None:
    monitor_init(app=place.flask, celery=True)


if __name__ == "__main__":
    main()
