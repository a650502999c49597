"""How reports of errors reach the service's reporter, without holding up or failing a request."""

from __future__ import annotations

import inspect
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from pymacaron.config import get_config
from pymacaron.redaction import redactor
from pymacaron.report_data import Data, redacted, surroundings, text_of, trace_of

log = logging.getLogger("pymacaron.crash")

Reporter = Callable[..., object]

MOST_UNFINISHED = 8


class Reports:
    """Hands reports to a reporter in a thread of its own: whatever it does, the request goes on.

    A reporter that takes longer than `limit` seconds goes on alone; when too many do, reports are
    only logged.
    """

    def __init__(self, reporter: Reporter | None = None, limit: float = 2.0) -> None:
        self._reporter = reporter
        self._limit = limit
        self._unfinished = threading.BoundedSemaphore(MOST_UNFINISHED)

    def use(self, reporter: Reporter | None) -> None:
        """From now on reports go to this reporter; None: to the log only."""
        self._reporter = reporter

    def send(self, title: str, data: Data, exception: BaseException | None = None) -> None:
        """Reports, waiting for the reporter no longer than the limit. Never raises."""
        try:
            self._send(redactor.text(title), redacted(data), exception)
        except Exception:  # noqa: BLE001  (a report must never fail the call it is about)
            quietly(logging.ERROR, "the report %r could not be sent", title, exc_info=True)

    def _send(self, title: str, data: Data, exception: BaseException | None) -> None:
        reporter = self._reporter
        if reporter is None:
            return
        if not self._unfinished.acquire(blocking=False):
            quietly(logging.ERROR, "the report %r was dropped: the error_reporter hangs", title)
            return
        shown = _showable(exception)

        def run() -> None:
            try:
                _call(reporter, title, data, shown)
            except BaseException:  # noqa: BLE001  (also SystemExit: it is the reporter's, not ours)
                quietly(logging.ERROR, "the error_reporter failed on %r", title, exc_info=True)
            finally:
                self._unfinished.release()

        context = copy_context()
        thread = threading.Thread(target=context.run, args=(run,), name="error-report", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._unfinished.release()
            raise
        thread.join(self._limit)
        if thread.is_alive():
            quietly(logging.WARNING, "the error_reporter takes over %s s on %r", self._limit, title)


reports = Reports()


def quietly(level: int, message: str, *args: object, **kwargs: Any) -> None:
    """Logs; a log sink that fails must not fail the request."""
    with suppress(Exception):  # nowhere left to tell
        log.log(level, message, *args, **kwargs)


def _call(reporter: Reporter, title: str, data: Data, exception: BaseException | None) -> None:
    """As documented by keyword; reporters of 1.x took (title, text)."""
    try:
        accepts = inspect.signature(reporter).bind
    except (TypeError, ValueError):
        reporter(title=title, data=data, exception=exception)
        return
    documented: dict[str, object] = {"title": title, "data": data, "exception": exception}
    for names in (("title", "data", "exception"), ("title", "data")):
        keywords = {name: documented[name] for name in names}
        try:
            accepts(**keywords)
        except TypeError:
            continue
        reporter(**keywords)
        return
    reporter(title, json.dumps(data, indent=4, sort_keys=True, default=str))


def _showable(exception: BaseException | None) -> BaseException | None:
    """The exception itself, unless its text or its arguments hold a secret: then a stand-in."""
    if exception is None:
        return None
    try:
        text = f"{exception} {exception!r} {exception.args!r}"
    except Exception:  # noqa: BLE001  (a broken __str__ is the application's)
        text = ""
    if not redactor.shows_secret(text):
        return exception
    kind: type[Exception] = type(type(exception).__name__, (Exception,), {})
    return kind(redactor.text(str(exception))).with_traceback(exception.__traceback__)


def set_error_reporter(f: Reporter | None) -> None:
    """From now on errors are reported by `f(title=, data=, exception=)`; None: only logged."""
    reports.use(f)


def report_warning(
    title: str | None = None,
    data: Mapping[str, object] = {},
    exception: BaseException | None = None,
) -> None:
    """Reports something odd; the call goes on."""
    full: Data = {**data, "title": title, "is_fatal_error": False, **surroundings()}
    if exception is not None:
        full["trace"] = trace_of(exception)
        full["error_caught"] = text_of(exception)
    quietly(logging.WARNING, "reported: %s", title)
    reports.send(title or "warning", full, exception)


def report_error(
    title: str | None = None,
    data: Mapping[str, object] = {},
    caught: BaseException | str | None = None,
    is_fatal: bool = False,
) -> None:
    """Reports an error that need not fail the call. NO_ERROR_REPORTING=1 in the environment
    (without DO_REPORT_ERROR) keeps it to the log."""
    kind = "FATAL ERROR" if is_fatal else "NON-FATAL ERROR"
    name = f"{kind} {get_config().get('name', '')}: {title or 'error'}"
    quietly(logging.ERROR if is_fatal else logging.WARNING, "%s", name)
    if os.environ.get("NO_ERROR_REPORTING") == "1" and not os.environ.get("DO_REPORT_ERROR"):
        return
    exception = caught if isinstance(caught, BaseException) else None
    full: Data = {**data, "title": title, "is_fatal_error": is_fatal}
    if caught is not None:
        full["error_caught"] = str(caught) if exception is None else text_of(exception)
    if exception is not None:
        full["trace"] = trace_of(exception)
    reports.send(name, {**surroundings(), **full}, exception)


def populate_error_report(data: dict[str, object]) -> None:
    """Adds user, server and request to a report (2.x name)."""
    data.update(surroundings())
