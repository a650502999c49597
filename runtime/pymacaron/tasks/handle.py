"""What a queued call gives back: which task it is, and what became of it."""

from __future__ import annotations

import time
from typing import Any, Literal

from pymacaron.tasks import wire

State = Literal["queued", "retrying", "done", "failed"]
STATES: dict[str, State] = {"SUCCESS": "done", "FAILURE": "failed", "RETRY": "retrying"}


class TaskFailed(Exception):
    """The task raised; the text is its exception's type and text."""


class NoResult(Exception):
    """The task keeps no result, or the broker is none that can."""


class TaskHandle:
    """A task that was queued. `id` is good in any process: TaskHandle(id).get() asks for it."""

    def __init__(self, id: str, name: str = "") -> None:
        self.id = id
        self.name = name

    def __repr__(self) -> str:
        return f"TaskHandle({self.id!r}, {self.name!r})"

    @property
    def state(self) -> State:
        """`queued` (also while it runs), `retrying`, `done` or `failed`. Results are kept for an
        hour; afterwards, and for an unknown id, it is `queued` again."""
        return STATES.get(str(self._meta()["status"]), "queued")

    def get(self, timeout: float = 10) -> Any:
        """What the task returned; waits for it. Raises TaskFailed, TimeoutError, NoResult."""
        deadline = time.monotonic() + timeout
        pause = 0.005
        while True:
            meta = self._meta()
            state = STATES.get(str(meta["status"]), "queued")
            if state == "done":
                return wire.read(meta["result"])
            if state == "failed":
                raise TaskFailed(str(meta["result"]))
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(
                    f"the task {self.name or self.id} was {state} for {timeout:g} s: "
                    "is a worker running (pymasync), and does the task keep its result?"
                )
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, 0.5)

    def _meta(self) -> Any:
        from pymacaron.tasks.broker import process

        backend = process.celery().backend
        if type(backend).__name__ == "DisabledBackend":
            raise NoResult("this broker keeps no results: set result_backend, or use Redis")
        return backend.get_task_meta(self.id)


class Finished:
    """A task that ran in place (async_fallback: inline), with a handle's methods."""

    def __init__(self, name: str, value: Any = None, error: BaseException | None = None) -> None:
        self.id = ""
        self.name = name
        self._value = value
        self._error = error

    @property
    def state(self) -> State:
        return "done" if self._error is None else "failed"

    def get(self, timeout: float = 10) -> Any:  # noqa: ARG002  (a handle's signature)
        if self._error is not None:
            raise TaskFailed(f"{type(self._error).__name__}: {self._error}") from self._error
        return self._value
