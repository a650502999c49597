"""The life of a worker process: it loads the application, serves, leaves politely."""

from __future__ import annotations

import faulthandler
import importlib
import logging
import os
import random
import signal
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymacaron import log as logs
from pymacaron.config import ConfigError
from pymacaron.health import health
from pymacaron.manners import drain_seconds, graceful_seconds
from pymacaron.openapi import SpecError
from pymacaron.serve.crew import Crew
from pymacaron.serve.gateway import Gateway
from pymacaron.serve.life import Life, Mailbox

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

BOOT_ERROR = 3
# Time for a connection that was just taken to say what it wants.
LAST_CALL = 0.2


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all workers have in common. `connections`: at most so many at a time, in each."""

    target: str
    threads: int
    connections: int
    largest_body: int
    most_requests: int


def load(target: str) -> WSGIApplication:
    """The application named `module:attribute`. Raises ConfigError where there is none."""
    module, _, name = target.partition(":")
    app: WSGIApplication | None = getattr(importlib.import_module(module), name or "app", None)
    if app is None:
        raise ConfigError(f"{module} holds no {name or 'app'}: name what to serve: module:variable")
    return app


def work(settings: Settings, listener: socket.socket, life: Life) -> int:
    """Serves until SIGTERM, or until its requests are used up; returns the exit status."""
    faulthandler.enable()  # the master ends a worker that hangs with SIGABRT: where does it hang?
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the master's
    mailbox = Mailbox((signal.SIGTERM,))
    try:
        app = load(settings.target)
    except (ConfigError, SpecError) as error:
        log.error("the service can't start:\n%s", error)
        return BOOT_ERROR
    except Exception:
        log.exception("the service can't start")
        return BOOT_ERROR
    gateway = Gateway(
        app,
        threads=settings.threads,
        largest_body=settings.largest_body,
        most_requests=settings.most_requests + random.randint(0, settings.most_requests // 5),  # noqa: S311
        used_up=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )
    logs.write_behind()
    crew = Crew(
        listener,
        gateway,
        threads=settings.threads,
        most=settings.connections,
        tidy=logs.let_tidy(),
    )
    life.serves()
    while not mailbox.wait(1.0):
        life.beat()
        if os.getppid() != life.parent:  # nobody would replace us, or tell us to stop
            break
    deadline = time.monotonic() + graceful_seconds()
    life.leaves()
    gateway.leaving = True
    _leave(crew, life, deadline)
    if not crew.stop(deadline - time.monotonic()):
        log.warning("requests that took too long to finish are cut off")
        logging.shutdown()
        os._exit(0)
    return 0


def _leave(crew: Crew, life: Life, deadline: float) -> None:
    """Until the others, or load balancers, have taken over. A worker that is only replaced leaves
    the connections that wait to the other workers. When the container stops it takes all."""
    if not health.leaving:
        crew.room.stop_listening()
    drained = time.monotonic() + drain_seconds()
    while time.monotonic() < min(drained, deadline):
        time.sleep(min(0.1, drain_seconds()))
        life.beat()
    if health.leaving:
        crew.room.take_the_last(min(deadline, time.monotonic() + 1))
        crew.room.stop_listening()
    life.deaf()
    time.sleep(max(0.0, min(LAST_CALL, deadline - time.monotonic())))
