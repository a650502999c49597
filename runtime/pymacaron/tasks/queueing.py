"""Tasks into Celery: the one place where a call becomes a message."""

from __future__ import annotations

from typing import Any

from flask import has_request_context
from kombu.exceptions import OperationalError

from pymacaron.config import get_config
from pymacaron.tasks import origin, wire
from pymacaron.tasks.broker import make_app, process
from pymacaron.tasks.handle import TaskHandle
from pymacaron.tasks.running import celery_task
from pymacaron.tasks.task import Task, registry


class CeleryQueue:
    """Queues through this process's Celery application."""

    def check(self) -> None:
        make_app(get_config())

    def enqueue(
        self, task: Task, args: tuple[Any, ...], kwargs: dict[str, Any], delay: float
    ) -> TaskHandle:
        call = {
            **wire.write_call(task.name, args, kwargs),
            "origin": origin.capture() if has_request_context() else None,
        }
        gate = process.gate
        gate.check()
        try:
            sent = celery_task(process.celery(), task).apply_async(
                kwargs={"call": call},
                countdown=delay or None,
                retry=False,
                # What Celery would log and show of the arguments: they may hold secrets.
                argsrepr="",
                kwargsrepr="",
            )
        except (OperationalError, OSError) as error:
            raise gate.failed(error) from error
        gate.worked()
        return TaskHandle(str(sent.id), task.name)


registry.queue = CeleryQueue()
