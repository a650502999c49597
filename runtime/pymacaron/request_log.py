"""The line of each request, which is written more often than all others together: without a
LogRecord, where nobody could see the difference."""

from __future__ import annotations

import logging
import time

from pymacaron.log import SEVERITY, JsonFormatter, SafeHandler, printable, quoted
from pymacaron.redaction import redactor

log = logging.getLogger("pymacaron.request")


def write(
    level: int, method: str, route: str, path: str, status: int, seconds: float, size: int
) -> None:
    ms = round(seconds * 1000, 2)
    shown = printable(path)
    handler = _only_ours(level)
    if handler is None:
        _record(level, method, route, shown, status, ms, size)
        return
    formatter: JsonFormatter = handler.formatter  # type: ignore[assignment]  # _only_ours looked
    method, shown = redactor.text(method), redactor.text(shown)
    path_text = quoted(shown)
    line = formatter.line(
        time.time(),
        SEVERITY[level],
        quoted(f"{method} {shown} {status} {ms} ms {size} B"),
        '"pymacaron.request"',
    )
    handler.write(
        f'{line}, "method": {quoted(method)}, "route": {quoted(redactor.text(route))}, '
        f'"path": {path_text}, "status": {status}, "ms": {ms!r}, "bytes": {size}}}',
        at_once=level >= logging.WARNING,
    )


def _only_ours(level: int) -> SafeHandler | None:
    """The handler that a record would reach, if there is no other, and nothing in between."""
    if log.filters or logging.getLogRecordFactory() is not logging.LogRecord:
        return None
    logger = log
    while logger.parent is not None:
        if logger.handlers or not logger.propagate:
            return None
        logger = logger.parent
    if len(logger.handlers) != 1:
        return None
    handler = logger.handlers[0]
    if type(handler) is not SafeHandler or type(handler.formatter) is not JsonFormatter:
        return None
    return handler if handler.level <= level and not handler.filters else None


def _record(
    level: int, method: str, route: str, shown: str, status: int, ms: float, size: int
) -> None:
    record = log.makeRecord(  # log.log() would search the stack for the caller's file and line
        log.name,
        level,
        __file__,
        0,
        "%s %s %s %s ms %s B",
        (method, shown, status, ms, size),
        None,
    )
    record.fields = {
        "method": method,
        "route": route,
        "path": shown,
        "status": status,
        "ms": ms,
        "bytes": size,
    }
    log.handle(record)
