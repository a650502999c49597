"""Tasks that a worker does not know: left to a worker that does.

While a release is rolled out its servers queue tasks which workers of the former one lack. Celery
would throw these away, and log their arguments.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

from celery.worker.consumer import Consumer

from pymacaron.tasks.failures import report_failure

log = logging.getLogger("pymacaron.task")

PAUSE = 1.0
PATIENCE = 3600.0


class UnknownTask(Exception):
    """No worker knows the task. It is given up."""


class PatientConsumer(Consumer):  # type: ignore[misc]
    """Gives an unknown task back after a pause, to the far end of the queue, for an hour."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._since: dict[str, float] = {}

    def on_unknown_task(self, body: object, message: Any, exc: Exception) -> None:  # noqa: ARG002
        name, task_id = str(message.headers.get("task")), str(message.headers.get("id"))
        now = monotonic()
        self._since = {k: v for k, v in self._since.items() if now - v < 2 * PATIENCE}
        if task_id not in self._since:
            log.warning("no task %s is known here: left to a worker that knows it", name)
        if now - self._since.setdefault(task_id, now) < PATIENCE:
            self.timer.call_after(PAUSE, self._reject, (message, True))
            return
        del self._since[task_id]
        error = UnknownTask(f"no worker knew it for {PATIENCE:.0f} s: was it removed or renamed?")
        report_failure(name, (), {}, error, attempt=1, task_id=task_id)
        self._reject(message, False)
        self.app.backend.mark_as_failure(task_id, error)

    def _reject(self, message: Any, requeue: bool) -> None:
        message.reject_log_error(log, self.connection_errors, requeue=requeue)
