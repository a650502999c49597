"""The life of a worker process: it loads the application, serves, leaves politely."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import importlib
import logging
import os
import random
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from granian import _futures, _granian
from granian.http import HTTP1Settings

from pymacaron import log as logs
from pymacaron.config import ConfigError
from pymacaron.health import health
from pymacaron.manners import (
    BACKLOG,
    KEEPALIVE,
    drain_seconds,
    graceful_seconds,
    hold_off,
)
from pymacaron.openapi import SpecError
from pymacaron.serve.gateway import Gateway
from pymacaron.serve.life import Life, Mailbox

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

BOOT_ERROR = 3
# Time for a connection that was just taken to say what it wants. granian closes those that were
# silent, and a request on its way to one would be lost.
LAST_CALL = 0.2
# Bytes of a request's head that granian holds at a time; it may be twice as long.
HEAD = 32 * 1024
TCP_INFO_UNACKED = slice(24, 28)


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
        largest_body=settings.largest_body,
        most_requests=settings.most_requests + random.randint(0, settings.most_requests // 5),  # noqa: S311
        used_up=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )
    logs.write_behind()
    server = Server(settings, listener, gateway)
    life.serves()
    while not mailbox.wait(1.0):
        life.beat()
        if os.getppid() != life.parent:  # nobody would replace us, or tell us to stop
            break
    deadline = time.monotonic() + graceful_seconds()
    life.leaves()
    gateway.leaving = True
    _leave(server, life, deadline)
    if not server.stop(deadline - time.monotonic()):
        log.warning("requests that took too long to finish are cut off")
        logging.shutdown()
        os._exit(0)
    return 0


def _leave(server: Server, life: Life, deadline: float) -> None:
    """Until the others, or load balancers, have taken over. A worker that is only replaced leaves
    the connections that wait to the other workers. When the container stops it takes all."""
    if not health.leaving:
        server.stop_listening()
    drained = time.monotonic() + drain_seconds()
    while time.monotonic() < min(drained, deadline):
        time.sleep(min(0.1, drain_seconds()))
        life.beat()
    if health.leaving:
        server.take_the_last(min(deadline, time.monotonic() + 1))
        server.stop_listening()
    life.deaf()
    time.sleep(max(0.0, min(LAST_CALL, deadline - time.monotonic())))


class Server:
    """granian's own worker, at work from the beginning. The only place that knows its insides."""

    def __init__(self, settings: Settings, listener: socket.socket, gateway: Gateway) -> None:
        self._listener: socket.socket | None = listener
        self._handle = os.dup(listener.fileno())
        self._over = threading.Event()
        granian: Any = _granian  # its own description of it is not complete
        futures: Any = _futures
        self._quit = granian.WorkerSignal()
        self._quit.add_cb(self._over.set)
        loop = asyncio.new_event_loop()  # never runs; granian looks up its methods
        scheduler = futures._new_cbscheduler(loop, gateway.serve, impl_asyncio=True)
        worker = granian.WSGIWorker(
            worker_id=os.getpid(),
            sock=(None, granian.SocketHolder(self._handle, False, BACKLOG)),
            ipc=None,
            py_threads=settings.threads,
            backpressure=settings.connections,
            http_mode="1",
            # Also ends idle connections: there is no other time-out for those.
            http1_opts=HTTP1Settings(
                header_read_timeout=KEEPALIVE * 1000, max_buffer_size=HEAD, keep_alive=True
            ),
        )
        worker.serve_mtr(scheduler, loop, self._quit)

    def take_the_last(self, deadline: float) -> None:
        """Waits until granian has taken the connections that the kernel has accepted for us, which
        closing would reset. Later ones are refused, and their clients go elsewhere."""
        if self._listener is None:
            return
        hold_off(self._listener)
        while _waiting(self._listener) and time.monotonic() < deadline:
            time.sleep(0.01)

    def stop_listening(self) -> None:
        """Puts a socket that nobody knows under granian's hands, which would end its connections if
        it were told to stop. The workers' common socket lives on with the others."""
        if self._listener is None:
            return
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.setblocking(False)
            os.dup2(silent.fileno(), self._handle)
        self._listener.close()
        self._listener = None

    def stop(self, seconds: float) -> bool:
        """Ends what is idle; whether all requests were finished in time."""
        self._quit.set()
        return self._over.wait(max(0.0, seconds))


def _waiting(listener: socket.socket) -> int:
    """How many connections nobody has accepted yet; 0 where the kernel doesn't tell."""
    with contextlib.suppress(OSError, AttributeError):
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return int.from_bytes(info[TCP_INFO_UNACKED], sys.byteorder)
    return 0
