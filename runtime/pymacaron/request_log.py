"""The line of each request, which is written more often than all others together: without a
LogRecord, where nobody could see the difference, and put together later, many at a time."""

from __future__ import annotations

import logging
import time
from functools import lru_cache

from pymacaron.config import get_config
from pymacaron.context import RequestInfo, text_of
from pymacaron.log import (
    SEVERITY,
    JsonFormatter,
    SafeHandler,
    date_and_time,
    fraction,
    origin_of,
    printable,
    process,
    quoted,
)
from pymacaron.log_behind import Line
from pymacaron.redaction import redactor

log = logging.getLogger("pymacaron.request")

# Asked every few seconds by load balancers: not worth a line each.
PROBES = ("/ping", "/ready", "/metrics")
LOGGER = '"pymacaron.request"'
# Where no operation is, the route comes from outside, and longer ones would fill the memory.
REMEMBERED_LENGTH = 100
# Stands in no line: there it would be escaped.
GAP = "\0"
LOOKED_UP = 1.0
"""Seconds for which a server's worker takes it for granted where its lines go."""


class _Lane:
    """Where lines of requests that went well go at the moment, if they go there without detours."""

    def __init__(self) -> None:
        self._looked = -LOOKED_UP
        self._handler: SafeHandler | None = None

    def handler(self, now: float) -> SafeHandler | None:
        if not 0 <= now - self._looked < LOOKED_UP:
            self._looked = now
            found = _only_ours(logging.INFO) if log.isEnabledFor(logging.INFO) else None
            self._handler = found if found is not None and found.behind is not None else None
        return self._handler


_lane = _Lane()


def write(
    method: str, route: str, status: int, seconds: float, size: int, info: RequestInfo | None
) -> None:
    """One line per request; none for a probe that went well, unless `log_probes: true`."""
    if status < 400 and route in PROBES and not get_config().get("log_probes"):
        return
    created = time.time()
    path = info.raw_path if info is not None else route
    handler = _lane.handler(created) if status < 400 else None
    if handler is None:
        level = level_of(status)
        if not log.isEnabledFor(level):
            return
        handler = _only_ours(level)
        if handler is None:
            _record(level, method, route, printable(text_of(path)), status, seconds * 1000, size)
            return
    what = (_line, handler.formatter, method, route, status, path, created, seconds, size)
    handler.write_made(what + origin_of(info), at_once=status >= 500)


def level_of(status: int) -> int:
    return logging.ERROR if status >= 500 else logging.INFO


def _line(line: Line) -> str:
    # fmt: off
    (
        _, formatter, method, route, status, path, created, seconds, size,
        request_id, trace_id, user,
    ) = line
    # fmt: on
    make = _form if len(route) <= REMEMBERED_LENGTH else _form.__wrapped__
    second = int(created)
    of_route, form = make(formatter, method, route, status, second, redactor.version, process.id)
    shown = of_route if path == route else _shown(text_of(path))
    ms = f"{seconds * 1000:.2f}"
    a, b, c, d, e, f, g, h, i = form
    return (
        f"{a}{fraction(created - second)}{b}{shown}{c}{ms}{d}{size}{e}"
        f"{formatter.origin(request_id, trace_id, user)}{f}{shown}{g}{ms}{h}{size}{i}"
    )


def _shown(path: str) -> str:
    return quoted(redactor.text(printable(path)))[1:-1]


@lru_cache(maxsize=512)
def _form(
    formatter: JsonFormatter,
    method: str,
    route: str,
    status: int,
    second: int,
    version: int,
    pid: int,
) -> tuple[str, list[str]]:
    """The route as a path is shown, and what is the same in all lines of a route and status within
    a second; in between stand the second's fraction, path, ms, bytes, origin, path, ms and bytes.
    `version`: of what is redacted."""
    del version, pid
    method, route_text = quoted(redactor.text(method)), quoted(redactor.text(route))
    message = f'"{method[1:-1]} {GAP} {status} {GAP} ms {GAP} B"'
    severity = SEVERITY[level_of(status)]
    line = (
        f"{formatter.start(f'{date_and_time(second)}.{GAP}Z', severity, message, LOGGER)}{GAP}"
        f', "method": {method}, "route": {route_text}, "path": "{GAP}", '
        f'"status": {status}, "ms": {GAP}, "bytes": {GAP}}}'
    )
    return _shown(route), line.split(GAP)


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
