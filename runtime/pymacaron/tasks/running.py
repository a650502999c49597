"""A task in a worker: its request restored, timed, retried, its failure reported."""

from __future__ import annotations

import logging
import random
import time
from typing import Any

from celery import Celery
from celery.exceptions import Reject, Retry
from flask import Flask

from pymacaron.monitor import monitor
from pymacaron.redaction import redactor
from pymacaron.tasks import origin, wire
from pymacaron.tasks.failures import report_failure
from pymacaron.tasks.handle import TaskFailed
from pymacaron.tasks.task import Task, registry

log = logging.getLogger("pymacaron.task")

MERCY = 10
"""Seconds between a task's time limit, which it can catch, and the end of its process."""
LONGEST_PAUSE = 600.0
MOST_DEATHS = 5
"""Times that a task may come back because its process died; then it is what kills it."""


class _Place:
    """The Flask application in whose requests tasks run: the service's, in a worker."""

    def __init__(self) -> None:
        self.flask = Flask("pymacaron.tasks")


place = _Place()


def celery_task(app: Celery, task: Task) -> Any:
    """The task of a Celery application that stands for ours; registered at the first look."""
    found = app.tasks.get(task.name)
    if found is None:
        options = task.options
        limit = options.time_limit
        found = app.task(
            _runner(task),
            name=task.name,
            bind=True,
            max_retries=None,
            ignore_result=not options.keep_result,
            soft_time_limit=limit,
            time_limit=None if limit is None else limit + MERCY,
            throws=(TaskFailed,),
        )
    return found


def _runner(task: Task) -> Any:
    def run(self: Any, call: dict[str, Any]) -> Any:
        request = self.request
        attempt = request.retries + 1
        started = time.perf_counter()
        token = registry.running.set(str(request.id))
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        try:
            with origin.restored(place.flask, call["origin"]):
                try:
                    args = [wire.read(v) for v in call["args"]]
                    kwargs = {k: wire.read(v) for k, v in call["kwargs"].items()}
                    _check_deaths(self)
                    with monitor(kind="Celery", method=task.name):
                        result = task.function(*args, **kwargs)
                    answer = _answer(task, result)
                except (Exception, SystemExit) as error:  # noqa: BLE001  (reported and kept)
                    # SystemExit, too: it would end the worker, and the task would come back.
                    options = task.options
                    again = isinstance(error, options.retry_on) and attempt <= options.retries
                    again = again and not isinstance(error, KillsWorkers)
                    report_failure(
                        task.name,
                        args,
                        kwargs,
                        error,
                        attempt=attempt,
                        last=not again,
                        task_id=str(request.id),
                    )
                    if again:
                        _retry(self, call, error, pause_after(attempt, options.backoff))
                    raise TaskFailed(
                        f"{type(error).__name__}: {redactor.text(str(error))}"
                    ) from None
                finally:
                    ms = (time.perf_counter() - started) * 1000
                    log.info("%s attempt %d took %.2f ms", task.name, attempt, ms)
                return answer
        finally:
            registry.running.reset(token)

    run.__module__, run.__qualname__ = task.function.__module__, task.function.__qualname__
    return run


class KillsWorkers(Exception):
    """A task whose process died each time it ran. It is given up, so that others can run."""


def _check_deaths(celery: Any) -> None:
    redelivered = (celery.request.delivery_info or {}).get("redelivered")
    client = getattr(celery.backend, "client", None)
    if not redelivered or client is None:
        return
    key = f"pymacaron:deaths:{celery.request.id}"
    deaths = client.incr(key)
    client.expire(key, 86400)
    if deaths > MOST_DEATHS:
        raise KillsWorkers(f"its process died {MOST_DEATHS} times while it ran: it is given up")


def _answer(task: Task, result: Any) -> Any:
    if not task.options.keep_result:
        return None
    try:
        return wire.pack(result, f"the result of {task.name}")
    except wire.CannotTravel as error:
        log.warning("%s; a handle's get() answers None", error)
        return None


def _retry(celery: Any, call: dict[str, Any], error: BaseException, pause: float) -> None:
    cause = error if isinstance(error, Exception) else None
    try:
        celery.retry(kwargs={"call": call}, countdown=pause, exc=cause)
    except Retry:
        raise
    except Exception as failure:
        # The broker does not take the next attempt: this one must not count as finished.
        raise Reject(failure, requeue=True) from failure


def pause_after(attempt: int, backoff: float) -> float:
    """Seconds until the next attempt: doubled each time, up to a quarter more or less."""
    pause: float = min(backoff * 2.0 ** (attempt - 1), LONGEST_PAUSE)
    return pause * random.uniform(0.75, 1.25)  # noqa: S311  (spreads load; no secret)
