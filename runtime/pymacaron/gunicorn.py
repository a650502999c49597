"""gunicorn's configuration.

    gunicorn --bind 0.0.0.0:$PORT --config python:pymacaron.gunicorn server:app

Reads pym-config.yaml once, before any worker starts: what is wrong with it, or a secret that is not
set, stops the start; what happens to the file later touches nobody.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from pymacaron import log as logs
from pymacaron import metrics
from pymacaron.config import ConfigError, get_config
from pymacaron.gunicorn_worker import DrainingWorker
from pymacaron.health import health
from pymacaron.manners import (
    BACKLOG,
    KEEPALIVE,
    LONGEST_LINE,
    SILENCE,
    default_bind,
    graceful_seconds,
    most_requests,
)
from pymacaron.resources import get_gunicorn_thread_count, get_gunicorn_worker_count

sys.path.append(".")

if os.getpid() == 1:
    # The kernel ignores signals that process 1 has no handler for: gunicorn has none while loading.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

try:
    settings = get_config()
    with_async = bool(settings.get("with_async"))
    workers = get_gunicorn_worker_count()
    threads = get_gunicorn_thread_count(workers)
except (ConfigError, ValueError) as error:
    sys.exit(f"the service can't start:\n{error}")

bind = default_bind()
backlog = BACKLOG
worker_class = DrainingWorker
worker_connections = 1000
timeout = SILENCE
keepalive = KEEPALIVE
graceful_timeout = graceful_seconds()
max_requests = most_requests()
max_requests_jitter = max_requests // 5
preload_app = os.environ.get("PYM_GUNICORN_PRELOAD") == "1"
control_socket_disable = True
limit_request_line = LONGEST_LINE
limit_request_fields = 100
limit_request_field_size = LONGEST_LINE
# Heartbeats on a slow disk would look like hanging workers.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108

# Each request is logged by the service itself, with route and user.
accesslog = None
errorlog = "-"
loglevel = "info"
logconfig_dict: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {},
    "handlers": {"stdout": {"()": logs.make_handler}},
    "root": {"level": "INFO", "handlers": ["stdout"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["stdout"], "propagate": False},
        "gunicorn.access": {"level": "ERROR", "handlers": [], "propagate": False},
    },
}

health.share()
metrics.prepare_processes(settings, Path(os.environ.get("TMPDIR") or "/tmp"))  # noqa: S108


def when_ready(server: Any) -> None:
    """From now on SIGTERM first tells all workers that it is the container that stops."""
    server.log.info("ready: %s workers with %s threads", workers, threads)

    def leave(sig: int, frame: FrameType | None) -> None:
        health.leave()
        server.signal(sig, frame)

    signal.signal(signal.SIGTERM, leave)


def post_worker_init(worker: Any) -> None:  # noqa: ARG001  (gunicorn's signature)
    """The application is loaded."""
    logs.write_behind()


def child_exit(server: Any, worker: Any) -> None:  # noqa: ARG001  (gunicorn's signature)
    """Metrics of a worker that is gone are no longer live ones."""
    metrics.forget_process(worker.pid)


def worker_abort(worker: Any) -> None:
    """A worker that no longer answers the master tells where its threads hang."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        stack = "".join(traceback.format_stack(frame))
        worker.log.error("thread %s hangs in:\n%s", names.get(ident, ident), stack)
