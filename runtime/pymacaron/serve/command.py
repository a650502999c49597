"""`pymacaron-serve`: reads the configuration once, before any worker starts, and serves.

What is wrong with pym-config.yaml, or a secret that is not set, stops the start; what happens to
the file later touches nobody. `server: gunicorn` hands over to gunicorn.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import resource
import select
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import click

from pymacaron import log as logs
from pymacaron import metrics
from pymacaron.config import ConfigError, PyMacaronConfig, get_config
from pymacaron.health import health
from pymacaron.manners import BACKLOG, default_bind, most_requests
from pymacaron.resources import get_gunicorn_thread_count, get_gunicorn_worker_count
from pymacaron.server import MAX_BODY

log = logging.getLogger(__name__)

OURS, GUNICORN = "pymacaron", "gunicorn"
NAME = "pymacaron-serve"
MOST_CONNECTIONS = 4096
MOST_FILES = 65536
# Files of a worker that are no connections: the application's own.
OWN_FILES = 256


@click.command()
@click.argument("target", default="server:app")
@click.option("--bind", help="Host and port to listen at.  [default: 0.0.0.0:$PORT, else :8080]")
def main(target: str, bind: str | None) -> None:
    """Serves a WSGI application (default: server:app) as its container does."""
    sys.path.insert(0, "")
    if os.getpid() == 1:
        # The kernel ignores signals that process 1 has no handler for, and loading takes a moment.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    address = bind or default_bind()
    try:
        settings = get_config()
        server = chosen(settings)
        check_target(target)
        workers = get_gunicorn_worker_count()
        threads = get_gunicorn_thread_count(workers)
    except (ConfigError, ValueError) as error:
        sys.exit(f"the service can't start:\n{error}")
    if server == GUNICORN:
        words = gunicorn_command(target, address)
        os.execv(words[0], words)  # noqa: S606  (PID 1 becomes gunicorn itself)
    logging.basicConfig(level=logging.INFO, handlers=[logs.make_handler()], force=True)
    os.environ["SERVER_SOFTWARE"] = NAME  # letsgo() looks for it
    sys.exit(_serve(settings, target, address, workers, threads))


def check_target(target: str) -> None:
    """Raises ConfigError where there is nothing to serve; imports nothing."""
    package = target.partition(":")[0].partition(".")[0]
    if not package or importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"there is no {package}.py in {Path.cwd()}: start it in the service's folder,"
            " or name what to serve: module:variable"
        )


def chosen(settings: PyMacaronConfig) -> str:
    """The server that the configuration asks for; ours by default, where there is Linux."""
    asked = settings.get("server")
    if asked not in (None, OURS, GUNICORN):
        raise ConfigError(f"server is {asked!r}: expected {OURS} or {GUNICORN}")
    if hasattr(select, "epoll"):
        return str(asked or OURS)
    if asked == OURS:
        raise ConfigError(f"server: {OURS} needs Linux; {GUNICORN} runs elsewhere, too")
    return GUNICORN


def gunicorn_command(target: str, address: str) -> list[str]:
    return [
        *(sys.executable, "-m", "gunicorn", "--bind", address),
        *("--config", "python:pymacaron.gunicorn", target),
    ]


def listen(address: str) -> socket.socket:
    """The socket that all workers share. Raises click.BadParameter for what is no address."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{address!r} is no host:port", param_hint="--bind")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
    except OSError as error:
        sys.exit(f"can't listen at {address}: {os.strerror(error.errno or 0)}")


def connections() -> int:
    """How many connections a worker may hold, with as many files as the system lets it open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(64, min(MOST_CONNECTIONS, wanted - OWN_FILES))


def _serve(settings: PyMacaronConfig, target: str, address: str, workers: int, threads: int) -> int:
    from pymacaron.serve import worker  # nothing of it is needed where gunicorn serves
    from pymacaron.serve.master import Master

    listener = listen(address)
    host, port = listener.getsockname()[:2]
    log.info("listening at %s:%s, %s workers with %s threads", host, port, workers, threads)
    health.share()
    metrics.prepare_processes(settings, Path(os.environ.get("TMPDIR") or "/tmp"))  # noqa: S108
    if os.environ.get("PYM_GUNICORN_PRELOAD") == "1":
        worker.load(target)
    common = worker.Settings(
        target=target,
        threads=threads,
        connections=connections(),
        largest_body=settings.get("max_body_size", MAX_BODY),
        most_requests=most_requests(),
    )
    return Master(listener, workers, partial(worker.work, common)).run()
