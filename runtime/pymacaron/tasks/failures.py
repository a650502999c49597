"""Reports of tasks that failed, on the road that all errors take: never a secret in them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pymacaron import monitor
from pymacaron.model.base import PymacaronBaseModel
from pymacaron.redaction import redactor
from pymacaron.report_data import surroundings, timing, trace_of
from pymacaron.reports import quietly, reports

LONGEST_ARGUMENT = 1000


def report_failure(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    error: BaseException,
    *,
    attempt: int,
    last: bool = True,
    task_id: str = "",
) -> None:
    """Reports and logs a task's exception; `last`: no further attempt follows."""
    what = "failed" if last else "failed and will be retried"
    text = redactor.text(str(error) or type(error).__name__)
    title = f"task {name} {what}: {text}"
    quietly(
        logging.ERROR if last else logging.WARNING,
        "task %s %s (attempt %d): %s",
        name,
        what,
        attempt,
        text,
        exc_info=(type(error), error, error.__traceback__),
    )
    data: dict[str, object] = {
        "title": title,
        "trace": trace_of(error),
        "is_fatal_error": last,
        "time": timing(),
        "task": {
            "name": name,
            "id": task_id,
            "attempt": attempt,
            "args": [shown(v) for v in args],
            "kwargs": {k: shown(v) for k, v in kwargs.items()},
        },
        **surroundings(),
    }
    reports.send(title, data, error)
    if last:
        monitor.count_exception("TASK_FAILED")


def shown(value: Any) -> object:
    """An argument for a report: models as data, so that what looks like a secret can be masked."""
    if isinstance(value, PymacaronBaseModel):
        return shown(value.to_json())
    if isinstance(value, Mapping):
        return {str(k): shown(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [shown(v) for v in value]
    if isinstance(value, bytes | bytearray):
        return f"({len(value)} bytes)"
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= LONGEST_ARGUMENT else f"{text[:LONGEST_ARGUMENT]}..."
