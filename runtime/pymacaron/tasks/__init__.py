"""Asynchronous tasks on Celery. Needs the extra [async], but where `async_fallback: inline` lets
tasks run in place.

>>> from pymacaron.tasks import asynctask
"""

from pymacaron.tasks.beside import kill_celery, start_celery
from pymacaron.tasks.handle import NoResult, TaskFailed, TaskHandle
from pymacaron.tasks.task import (
    BrokerUnavailable,
    asynctask,
    check_queue,
    is_celery_task,
    needs_queue,
)
from pymacaron.tasks.wire import CannotTravel

try:
    import pymacaron.tasks.queueing  # noqa: F401  (makes the queue known)
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("celery", "kombu", "redis"):
        raise
    if needs_queue():
        raise ImportError(
            "pymacaron.tasks needs Celery: pip install 'pymacaron[async]' "
            "(or set async_fallback: inline in pym-config.yaml, and tasks run in place)"
        ) from error

__all__ = [
    "BrokerUnavailable",
    "CannotTravel",
    "NoResult",
    "TaskFailed",
    "TaskHandle",
    "asynctask",
    "check_queue",
    "is_celery_task",
    "kill_celery",
    "start_celery",
]
