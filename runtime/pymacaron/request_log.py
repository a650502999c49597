"""The line of each request, which is written more often than all others together: without a
LogRecord, where nobody could see the difference, and put together later, many at a time."""

from __future__ import annotations

import logging
import time
from functools import lru_cache

from pymacaron.config import get_config
from pymacaron.context import RequestInfo
from pymacaron.log import SEVERITY, JsonFormatter, SafeHandler, origin_of, printable, quoted
from pymacaron.redaction import redactor

log = logging.getLogger("pymacaron.request")

# Asked every few seconds by load balancers: not worth a line each.
PROBES = ("/ping", "/ready", "/metrics")
LOGGER = '"pymacaron.request"'
# Longer paths come from outside, and would fill the memory.
REMEMBERED_LENGTH = 100


def write(
    method: str, route: str, status: int, seconds: float, size: int, info: RequestInfo | None
) -> None:
    """One line per request; none for a probe that went well, unless `log_probes: true`."""
    level = logging.ERROR if status >= 500 else logging.INFO
    if not log.isEnabledFor(level):
        return
    if route in PROBES and status < 400 and not get_config().get("log_probes"):
        return
    path = info.path if info is not None else route
    handler = _only_ours(level)
    if handler is None:
        _record(level, method, route, printable(path), status, seconds * 1000, size)
        return
    handler.write_made(
        (
            *(_line, handler.formatter, time.time(), level, method, route, path),
            *(status, seconds, size, *origin_of(info)),
        ),
        at_once=level >= logging.WARNING,
    )


def _line(
    formatter: JsonFormatter,
    created: float,
    level: int,
    method: str,
    route: str,
    path: str,
    status: int,
    seconds: float,
    size: int,
    *origin: str,
) -> str:
    words = _known if path == route and len(path) <= REMEMBERED_LENGTH else _words
    text, fields = words(method, route, path, redactor.version)
    ms = f"{seconds * 1000:.2f}"
    message = f'"{text} {status} {ms} ms {size} B"'
    start = formatter.line(created, SEVERITY[level], message, LOGGER, *origin)
    return f'{start}, {fields}, "status": {status}, "ms": {ms}, "bytes": {size}}}'


def _words(method: str, route: str, path: str, version: int) -> tuple[str, str]:
    """The beginning of the message, and the fields, in JSON. `version`: of what is redacted."""
    del version
    method, shown = quoted(redactor.text(method)), quoted(redactor.text(printable(path)))
    route = quoted(redactor.text(route))
    return f"{method[1:-1]} {shown[1:-1]}", f'"method": {method}, "route": {route}, "path": {shown}'


_known = lru_cache(maxsize=512)(_words)


def _only_ours(level: int) -> SafeHandler | None:
    """The handler that a record would reach, if there is no other, and nothing in between."""
    if log.filters or logging.getLogRecordFactory() is not logging.LogRecord:
        return None
    logger = log
    while (parent := logger.parent) is not None:
        if logger.handlers or not logger.propagate:
            return None
        logger = parent
    handlers = logger.handlers
    if len(handlers) != 1:
        return None
    handler = handlers[0]
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
        "%s %s %s %.2f ms %s B",
        (method, shown, status, ms, size),
        None,
    )
    record.fields = {
        "method": method,
        "route": route,
        "path": shown,
        "status": status,
        "ms": round(ms, 2),
        "bytes": size,
    }
    log.handle(record)
