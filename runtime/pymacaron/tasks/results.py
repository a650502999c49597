"""Results in Redis, asked for only by who wants one."""

from __future__ import annotations

from typing import Any

from celery.backends.redis import RedisBackend


class Results(RedisBackend):  # type: ignore[misc]
    """Celery subscribes to each task's result when the task is sent: a server that never asks would
    hold one subscription a task for good, and reconnect for twenty seconds while Redis is down."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Nothing: a TaskHandle polls."""
