"""`@asynctask()`: a function that is queued when a request calls it, and runs in a worker.

Knows no Celery: `queueing` puts itself in, where Celery is installed."""

from __future__ import annotations

import inspect
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Protocol, TypeVar

from flask import has_request_context

from pymacaron.config import get_config
from pymacaron.crash import report_warning
from pymacaron.exceptions import PyMacaronException
from pymacaron.tasks import wire
from pymacaron.tasks.failures import report_failure
from pymacaron.tasks.handle import Finished, TaskHandle

log = logging.getLogger("pymacaron.task")

F = TypeVar("F", bound=Callable[..., Any])


class BrokerUnavailable(PyMacaronException):
    """The call needs a task to be queued, and nothing takes it."""

    code = "BROKER_UNAVAILABLE"
    status = 503


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a task is queued and run. Times are in seconds."""

    delay: float = 0
    retries: int = 0
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    backoff: float = 1.0
    time_limit: float | None = None
    keep_result: bool = True


@dataclass(frozen=True, kw_only=True)
class Task:
    """A registered function: `name` is its import path, by which a worker finds it."""

    name: str
    function: Callable[..., Any]
    options: Options


class Queue(Protocol):
    """What takes tasks to workers. Raises BrokerUnavailable."""

    def check(self) -> None:
        """Raises ConfigError when nothing here speaks with what is to take them."""

    def enqueue(
        self, task: Task, args: tuple[Any, ...], kwargs: dict[str, Any], delay: float
    ) -> TaskHandle: ...


class _Registry:
    """The tasks of this process by name, and the queue that they go to (None: no Celery here)."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.queue: Queue | None = None
        self.running: ContextVar[str] = ContextVar("pymacaron_task", default="")

    def add(self, task: Task) -> None:
        former = self.tasks.get(task.name)
        if former is not None:
            places = [_place(one.function) for one in (former, task)]
            if places[0] != places[1]:
                log.warning(
                    "two tasks are called %s: %s and %s; the latter runs", task.name, *places
                )
        self.tasks[task.name] = task


registry = _Registry()


def _place(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def is_celery_task() -> bool:
    """Whether this code runs in a worker, as part of a task."""
    return bool(registry.running.get())


def asynctask(
    delay: float = 0,
    *,
    retries: int = 0,
    retry_on: type[BaseException] | Sequence[type[BaseException]] = Exception,
    backoff: float = 1.0,
    time_limit: float | None = None,
    keep_result: bool = True,
) -> Callable[[F], F]:
    """Makes a function a task. Called inside a request it is queued, and the call returns a
    TaskHandle at once; elsewhere, and inside a worker, it runs like any function.

    `delay`: seconds that the task waits at least. `retries`: how many more attempts it gets when
    it raises one of `retry_on`, after `backoff` seconds, then twice that, and so on. `time_limit`:
    seconds after which it is ended (celery.exceptions.SoftTimeLimitExceeded is raised in it; 10 s
    later its process is killed). `keep_result`: whether handle.get() can ask for what it returned.

    The task can also be called as `f.direct(...)`, which runs it here, and `f.enqueue(...)`, which
    queues it from anywhere.

    >>> @asynctask(delay=10, retries=3)
    ... def send_mail(order): ...
    """
    if callable(delay):
        raise TypeError("asynctask needs its parentheses: write @asynctask(), not @asynctask")
    if delay < 0 or retries < 0 or backoff < 0 or (time_limit is not None and time_limit <= 0):
        raise ValueError("asynctask: delay, retries, backoff and time_limit can't be negative")
    options = Options(
        delay=delay,
        retries=retries,
        retry_on=(retry_on,) if isinstance(retry_on, type) else tuple(retry_on),
        backoff=backoff,
        time_limit=time_limit,
        keep_result=keep_result,
    )

    def decorate(function: F) -> F:
        if not callable(function) or isinstance(function, type):
            raise TypeError("asynctask makes tasks of functions only")
        if inspect.iscoroutinefunction(function):
            raise TypeError(
                f"asynctask makes no task of the coroutine function {function.__qualname__}:"
                " call asyncio.run() in a plain function"
            )
        task = Task(name=name_of(function), function=function, options=options)
        registry.add(task)
        signature = inspect.signature(function)

        def enqueue(*args: Any, **kwargs: Any) -> Any:
            signature.bind(*args, **kwargs)  # a wrong call fails here, not in a worker
            return _enqueue(task, args, kwargs)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if has_request_context() and not is_celery_task():
                return enqueue(*args, **kwargs)
            return function(*args, **kwargs)

        call.direct = function  # type: ignore[attr-defined]
        call.enqueue = enqueue  # type: ignore[attr-defined]
        call.task = task  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return decorate


def name_of(function: Callable[..., Any]) -> str:
    """The import path; a module that was started as a script has its file's name in a worker."""
    module = function.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        if spec is not None:  # python -m
            module = spec.name.removesuffix(".__main__")
        elif file:
            module = Path(file).stem
    return f"{module}.{function.__qualname__}"


def always_in_place() -> bool:
    """Whether tasks run in their callers, as for acceptance tests of a service without workers."""
    return os.environ.get("PYM_TASKS_IN_PLACE") == "1"


def needs_queue() -> bool:
    """Whether a task that can't be queued fails, instead of running in its caller."""
    return not always_in_place() and get_config().get("async_fallback") != "inline"


def check_queue() -> None:
    """Raises ConfigError for a queue that can't be used, whether it answers or not."""
    if registry.queue is not None and not always_in_place():
        registry.queue.check()


def _enqueue(task: Task, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if always_in_place():
        return _run_in_place(task, *_travelled(task, args, kwargs))
    queue = registry.queue
    if queue is not None:
        try:
            return queue.enqueue(task, args, kwargs, task.options.delay)
        except BrokerUnavailable as error:
            if needs_queue():
                raise
            if not error.reported_before:
                report_warning("the broker is down: tasks run in place", {"task": task.name}, error)
    elif needs_queue():
        raise BrokerUnavailable("tasks can't be queued: Celery is not installed")
    return _run_in_place(task, args, kwargs)


def _travelled(
    task: Task, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as a worker would get them; CannotTravel for those that it would not."""
    call = wire.write_call(task.name, args, kwargs)
    return tuple(map(wire.read, call["args"])), {k: wire.read(v) for k, v in call["kwargs"].items()}


def _run_in_place(task: Task, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finished:
    """As in a worker: a failure is reported, and is not the caller's."""
    try:
        return Finished(task.name, task.function(*args, **kwargs))
    except Exception as error:  # noqa: BLE001  (the caller only wanted the task queued)
        report_failure(task.name, args, kwargs, error, attempt=1)
        return Finished(task.name, error=error)


__all__ = [
    "BrokerUnavailable",
    "Options",
    "Queue",
    "Task",
    "asynctask",
    "is_celery_task",
    "needs_queue",
    "registry",
]
