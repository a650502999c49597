"""Logging: text on a terminal, one JSON object a line in a container; secrets masked in both.

>>> from pymacaron.log import pymlogger
>>> log = pymlogger(__name__)
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymacaron.context import RequestInfo, current
from pymacaron.flask_contexts import current_user
from pymacaron.log_behind import Behind, Line, ready_made, takes_more
from pymacaron.redaction import redactor

DEFAULT_LEVEL = logging.DEBUG
quoted = json.encoder.encode_basestring_ascii
# The libraries whose lower levels say nothing about the service.
QUIET: Mapping[str, int] = {
    "boto": logging.INFO,
    "boto3": logging.WARNING,
    "botocore": logging.WARNING,
    "urllib3": logging.INFO,
    "celery": logging.INFO,
    "kombu": logging.INFO,
    "amqp": logging.INFO,
    "opentelemetry": logging.WARNING,
    "scout_apm": logging.INFO,
    "elasticsearch": logging.INFO,
    "asyncio": logging.INFO,
}
# severity names as Google Cloud and most log systems know them
SEVERITY: Mapping[int, str] = {
    logging.DEBUG: "DEBUG",
    logging.INFO: "INFO",
    logging.WARNING: "WARNING",
    logging.ERROR: "ERROR",
    logging.CRITICAL: "CRITICAL",
}


class _Process:
    """This process. Asking the system for its id takes longer than most of a line."""

    def __init__(self) -> None:
        self.renew()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.id = os.getpid()


process = _Process()


class TextFormatter(logging.Formatter):
    """time - FLASK|WORKER pid [user] logger - level - message"""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"%(asctime)s - {kind} %(process)d%(user)s %(name)s - %(levelname)s - %(message)s"
        )

    def format(self, record: logging.LogRecord) -> str:
        user = printable(origin_of(current.get())[2])
        record.user = f" [{user}]" if user else ""
        return redactor.text(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the fields that log systems look for."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        release = os.environ.get("PYM_RELEASE")
        self._constant = f', "kind": {quoted(kind)}' + (
            f', "release": {quoted(release)}' if release else ""
        )

    def format(self, record: logging.LogRecord) -> str:
        severity = SEVERITY.get(record.levelno) or quoted(record.levelname)[1:-1]
        message = quoted(redactor.text(record.getMessage()))
        start = self.start(rfc3339(record.created), severity, message, quoted(record.name))
        parts = [start + self.origin(*origin_of(current.get()))]
        fields = getattr(record, "fields", None)
        if fields:
            parts.extend(f"{quoted(str(k))}: {_json(v)}" for k, v in fields.items())
        if record.exc_info:
            trace = redactor.text(self.formatException(record.exc_info))
            parts.append(f'"exception": {quoted(trace)}')
        if record.stack_info:
            parts.append(f'"stack": {quoted(redactor.text(record.stack_info))}')
        return ", ".join(parts) + "}"

    def start(self, when: str, severity: str, message: str, logger: str) -> str:
        """The beginning of a line, which all lines have. `message` and `logger` are JSON.

        Written by hand: json.dumps() of a dict takes longer than all the rest of a line."""
        return (
            f'{{"time": "{when}", "severity": "{severity}", "message": {message}, '
            f'"logger": {logger}, "pid": {process.id}{self._constant}'
        )

    def origin(self, request_id: str, trace_id: str, user: str) -> str:
        """What follows, of a request."""
        text = f', "request_id": "{request_id}"' if request_id else ""
        if trace_id:
            text += f', "trace_id": "{trace_id}"'
        return f'{text}, "user": {_shown_user(user, redactor.version)}' if user else text


class SafeHandler(logging.Handler):
    """Writes to what is standard output at the time. Its failures never reach who logs."""

    behind: Behind | None = None
    """Writes the lines, where they may come a moment later."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record).encode("utf-8", "backslashreplace").decode("utf-8")
        except Exception:  # noqa: BLE001  (a record that can't be shown must not fail a request)
            self.handleError(record)
            return
        self.write(text, at_once=record.levelno >= logging.WARNING)

    def write(self, line: str, at_once: bool = True) -> None:
        """A line, now, or soon where lines are written behind."""
        self.write_made(ready_made(line), at_once)

    def write_made(self, line: Line, at_once: bool) -> None:
        """The same for a line that need not be put together yet."""
        if self.behind is None:
            self._print(f"{line[0](line)}\n")
            return
        self.behind.add(line)
        if at_once:
            self.behind.flush()

    def write_behind(self) -> None:
        """From now on lines below WARNING are written a moment later, together."""
        self.behind = self.behind or Behind(self._print, _ready)

    def flush(self) -> None:
        if self.behind is not None:
            self.behind.flush()

    def _print(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except Exception:  # noqa: BLE001  (a full disk or a closed pipe must not fail a request)
            with contextlib.suppress(Exception):  # no place left to say it
                sys.stderr.write(f"the log can't be written: {traceback.format_exc(limit=1)}")

    def handleError(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):  # no place left to say it
            sys.stderr.write(
                f"a line of {record.name} could not be logged: {traceback.format_exc(limit=1)}"
            )


def _ready() -> bool:
    try:
        return takes_more(sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):  # no file, as in tests; or closed
        return True


def make_handler(celery: bool = False) -> logging.Handler:
    """A handler that writes to standard output in the format of the place."""
    kind = "WORKER" if celery else "FLASK"
    handler = SafeHandler()
    handler.setFormatter(JsonFormatter(kind) if wants_json(os.environ) else TextFormatter(kind))
    return handler


def write_behind() -> None:
    """Makes handlers of this kind write lines below WARNING a moment later: for a server's worker,
    which flushes them when it ends."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, SafeHandler):
            handler.write_behind()


def let_tidy() -> Callable[[], object]:
    """After write_behind(), what a server promises to call whenever it has answered."""
    handlers = logging.getLogger().handlers
    tidy = [h.behind.let_tidy() for h in handlers if isinstance(h, SafeHandler) and h.behind]
    return tidy[0] if len(tidy) == 1 else lambda: [one() for one in tidy]


def setup_logger(celery: bool = False) -> None:
    """Logs everything to standard output, in the place of whatever was set up before."""
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(make_handler(celery))
    root.setLevel(DEFAULT_LEVEL)
    quieten()


def setup_if_needed() -> None:
    """Gives the log a place to go, unless the application, a test runner or the server has."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(make_handler())
    quieten()


def quieten() -> None:
    """Keeps chatty libraries from drowning the service's own lines."""
    for name, level in QUIET.items():
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(level)
    werkzeug = logging.getLogger("werkzeug")
    if _no_access_line not in werkzeug.filters:
        werkzeug.addFilter(_no_access_line)


def _no_access_line(record: logging.LogRecord) -> bool:
    """False for the line Flask's own server writes for each request: we write that line."""
    return " - - [" not in str(record.msg)


def wants_json(environ: Mapping[str, str]) -> bool:
    """PYM_LOG_FORMAT says `json` or `text`; else JSON in a container that writes to no terminal."""
    asked = environ.get("PYM_LOG_FORMAT", "").lower()
    if asked in ("json", "text"):
        return asked == "json"
    try:
        if sys.stdout.isatty():
            return False
    except (AttributeError, ValueError):
        return False
    return any(name in environ for name in ("K_SERVICE", "KUBERNETES_SERVICE_HOST")) or any(
        Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv", "/pym/VERSION")
    )


def get_logger() -> logging.Logger:
    """The root logger."""
    return logging.getLogger()


def set_level(newlevel: int | str) -> None:
    """Sets the level below which nothing is logged."""
    logging.getLogger().setLevel(newlevel)


if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:  # can't be subscripted on Python 3.10
    _Adapter = logging.LoggerAdapter


class PymacaronLogger(_Adapter):
    """A logger with 2.x's `warn`, which newer Pythons are about to drop."""

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """The caller's `extra` stays, which logging's own adapter replaces."""
        return msg, kwargs

    def warn(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.warning(msg, *args, **kwargs)


def pymlogger(name: str | None = None) -> PymacaronLogger:
    """A logger; its lines carry the user's id."""
    return PymacaronLogger(logging.getLogger(name or __name__), {})


def printable(text: str) -> str:
    """Text from outside on one line: control characters can't forge another log line."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text
    )


@functools.lru_cache(maxsize=1024)
def _shown_user(user: str, version: int) -> str:
    """`version`: of what is redacted."""
    del version
    return quoted(redactor.text(printable(user)))


def _json(value: object) -> str:
    if isinstance(value, str):
        return quoted(redactor.text(value))
    if type(value) in (int, float):
        return repr(value)
    return json.dumps(redactor.data(value))


def origin_of(info: RequestInfo | None) -> tuple[str, str, str]:
    """The ids of a request, of its trace and of its user; empty: there is none."""
    request_id, trace_id, user = (info.id, info.trace_id, info.user) if info else ("", "", "")
    if not user:
        claims = current_user()
        if claims is not None and isinstance(claims, Mapping):
            user = str(claims.get("sub", ""))
    return request_id, trace_id, user


def rfc3339(seconds: float) -> str:
    whole = int(seconds)
    return f"{date_and_time(whole)}.{fraction(seconds - whole)}Z"


@functools.lru_cache(maxsize=2)
def date_and_time(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def fraction(of_second: float) -> str:
    """Six digits."""
    return str(int(of_second * 1_000_000) + 1_000_000)[1:]  # faster than to ask for zeros
