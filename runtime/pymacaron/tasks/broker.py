"""The Celery application of this process, its settings, and what happens while its broker is
down."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from redis.exceptions import AuthenticationError, ResponseError

from pymacaron.config import ConfigError, get_config
from pymacaron.redaction import redactor
from pymacaron.tasks.task import BrokerUnavailable
from pymacaron.urls import REDIS, Settings, broker_url

QUEUE = "celery"
LEASE = 30.0
RESULTS_KEPT = 3600
CONNECT_SECONDS = 0.8
ANSWER_SECONDS = 1.0
RETRY_AFTER = 1.0


# At DEBUG it tells of each connection that the server knows no maintenance notices.
if logging.getLogger("redis").level == logging.NOTSET:
    logging.getLogger("redis").setLevel(logging.INFO)


def shown_url(url: str) -> str:
    """A broker's URL without its user and password."""
    parts = urlsplit(url)
    return redactor.text(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def make_app(conf: Settings, *, worker: bool = False) -> Celery:
    """A Celery application for a server, which never waits long for its broker, or for a worker,
    which waits for as long as it takes."""
    url = broker_url(conf)
    app = Celery("pymacaron", set_as_current=worker)
    app.conf.update(
        broker_url=url,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=64,  # the most threads that a server of ours has
        task_default_queue=QUEUE,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=4,
        task_store_errors_even_if_ignored=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        enable_utc=True,
        timezone="UTC",
        result_expires=RESULTS_KEPT,
    )
    if urlsplit(url).scheme in REDIS:
        app.conf.update(
            broker_transport="pymacaron.tasks.transport:Transport",
            broker_transport_options=_redis_options(worker=worker),
            result_backend=conf.get("result_backend") or f"pymacaron.tasks.results:Results+{url}",
            redis_socket_connect_timeout=CONNECT_SECONDS,
            redis_socket_timeout=30 if worker else ANSWER_SECONDS,
        )
    else:
        app.conf.update(result_backend=conf.get("result_backend"))
    _check_transport(app)
    return app


def _check_transport(app: Celery) -> None:
    """Raises ConfigError when nothing here speaks with this kind of broker."""
    try:
        app.connection_for_write().transport  # noqa: B018  (made at the first look)
    except Exception as error:
        text = str(error.args[0]) if error.args else type(error).__name__
        raise ConfigError(
            f"broker_url can't be used: {text}; pymacaron[async] brings what redis:// and amqp://"
            " need, another broker needs a package of its own"
        ) from error


def lease_seconds(environ: Mapping[str, str] = os.environ) -> float:
    """PYM_TASK_LEASE, else 30: the seconds after which a silent worker's tasks are another's."""
    return float(environ.get("PYM_TASK_LEASE") or LEASE)


def _redis_options(*, worker: bool) -> dict[str, Any]:
    options: dict[str, Any] = {
        "visibility_timeout": lease_seconds(),
        "unacked_mutex_expire": 10,  # a worker that dies while it looks must not stop the others
        "priority_steps": [0],
        "socket_keepalive": True,
        "socket_connect_timeout": CONNECT_SECONDS,
    }
    if worker:
        options["worker_id"] = uuid.uuid4().hex
    else:
        options.update(
            socket_timeout=ANSWER_SECONDS,
            max_retries=1,
            interval_start=0,
            interval_step=0,
            interval_max=0,
            connect_retries_timeout=CONNECT_SECONDS,
        )
    return options


class Gate:
    """Closed for a moment after the broker failed: the calls of that moment fail at once instead
    of each waiting for it."""

    def __init__(self) -> None:
        self._closed_until = 0.0
        self._failure: BrokerUnavailable | None = None

    def check(self) -> None:
        failure = self._failure
        if failure is not None and time.monotonic() < self._closed_until:
            raise _again(failure)

    def failed(self, cause: BaseException) -> BrokerUnavailable:
        """Closes the gate. What to raise is reported once until the broker takes a task again."""
        self._closed_until = time.monotonic() + RETRY_AFTER
        former = self._failure
        if former is not None:
            return _again(former)
        self._failure = failure = unavailable(cause)
        failure.error_id = str(uuid.uuid4())
        return failure

    def worked(self) -> None:
        self._failure = None


def unavailable(cause: BaseException | None = None) -> BrokerUnavailable:
    url = shown_url(broker_url(get_config()))
    why = "does not answer"
    reason = cause.__cause__ if cause is not None else None
    if isinstance(reason, AuthenticationError | ResponseError):
        why = f"refuses it ({redactor.text(str(reason).rstrip('.'))})"
    error = BrokerUnavailable(
        f"the task could not be queued: the broker {url} {why}; try again later"
    )
    error.user_message = None
    return error


def _again(failure: BrokerUnavailable) -> BrokerUnavailable:
    error = BrokerUnavailable(*failure.args)
    error.user_message, error.error_id, error.reported_before = None, failure.error_id, True
    return error


class _Process:
    """The Celery application in use, made when it is first needed; tests exchange it."""

    def __init__(self) -> None:
        self.app: Celery | None = None
        self.gate = Gate()
        self.lock = threading.Lock()

    def celery(self) -> Celery:
        with self.lock:
            if self.app is None:
                self.app = make_app(get_config())
            return self.app

    def forget(self) -> None:
        """After a fork, and when settings changed: connections must not be shared."""
        self.app, self.gate, self.lock = None, Gate(), threading.Lock()


process = _Process()
os.register_at_fork(after_in_child=process.forget)
