"""Results in Redis, asked for only by who wants one."""

from __future__ import annotations

from typing import Any

from celery import states
from celery.backends.redis import RedisBackend


class Results(RedisBackend):  # type: ignore[misc]
    """Nobody is told of a result: a TaskHandle polls. So a server that never asks holds no
    subscription a task for good, and a worker makes one call a task in the place of five."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Celery would subscribe, and reconnect for twenty seconds while Redis is down."""

    def _store_result(
        self, task_id: str, result: Any, state: str, *args: Any, request: Any = None, **kwargs: Any
    ) -> Any:
        """Celery would look first whether a success is stored already, which nothing may replace
        but another success."""
        if state != states.SUCCESS:
            return super()._store_result(task_id, result, state, *args, request=request, **kwargs)
        meta = self._get_result_meta(result=result, state=state, traceback=None, request=request)
        meta["task_id"] = task_id
        self.set(self.get_key_for_task(task_id), self.encode(meta))
        return result

    def _set(self, key: Any, value: Any, expires: int | None = None) -> None:
        """Celery would publish it, too."""
        self.client.set(key, value, ex=expires or self.expires or None)
