"""What happens when a call fails or is slow: an answer without secrets, a report, a log line.

`ErrorHandling` is the one road for every error of a served application.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from pymacaron import monitor, request_log, services
from pymacaron.config import get_config
from pymacaron.context import current
from pymacaron.error_handlers import own_answer
from pymacaron.exceptions import PyMacaronException, UnhandledServerError, headers_of
from pymacaron.report_data import redacted_answer, surroundings, text_of, timing, trace_of
from pymacaron.reports import (
    Reporter,
    populate_error_report,
    quietly,
    report_error,
    report_warning,
    reports,
    set_error_reporter,
)

__all__ = [
    "ErrorHandling",
    "crash_handler",
    "populate_error_report",
    "postmortem",
    "report_error",
    "report_warning",
    "set_error_reporter",
]

F = TypeVar("F", bound=Callable[..., Any])
Body = dict[str, object]
ErrorCallback = Callable[[PyMacaronException], Any]

GENERIC = "the server failed to handle this request; the error_id leads to its report"


class ErrorHandling:
    """Answers, reports and logs for one application. Nothing it does can fail the request."""

    def __init__(
        self,
        error_reporter: Reporter | None = None,
        error_callback: ErrorCallback | None = None,
        debug: bool = False,
    ) -> None:
        self._callback = error_callback
        self._debug = debug
        if error_reporter is not None:
            reports.use(error_reporter)

    def answer(self, exception: BaseException) -> tuple[int, Body]:
        """Status and JSON body for whatever left a handler; reports from 500. Never raises."""
        try:
            return self._answer(exception)
        except Exception:  # noqa: BLE001  (the caller needs an answer, whatever went wrong in making one)
            quietly(logging.ERROR, "answering an error failed", exc_info=True)
            return 500, UnhandledServerError(GENERIC).to_dict()

    def completed(
        self, operation_id: str, path: str, method: str, started: float, status: int, size: int
    ) -> None:
        """Called once after each call of an operation: request line, metrics, slow-call report.

        `path` is the route as the API file writes it, `started` a time.perf_counter(), `size` the
        number of bytes of the answer's body. Never raises.
        """
        try:
            seconds = time.perf_counter() - started
            info = current.get()
            if info is not None:
                info.completed = True
                info.route = path
            request_log.write(method, path, status, seconds, size, info)
            monitor.observe(method, path, status, seconds)
            if status >= 500 and info is not None and not info.reported:
                self._report_returned(operation_id, status)
            limit = get_config().get("report_call_exceeding_ms")
            if limit and seconds * 1000 > float(limit):
                self._report_slow(operation_id, float(limit), seconds, status)
        except Exception:  # noqa: BLE001  (the answer is ready; nothing here may spoil it)
            quietly(logging.ERROR, "could not complete the record of a call", exc_info=True)

    def install(self, app: Flask, needs_tokens: bool = False) -> None:
        """Makes errors outside of operations take the same road, and adds request ids, security
        headers, the request log, /ready and monitoring. To be called once all routes are bound.
        Raises ConfigError for unusable JWT settings."""
        services.install(app, self, needs_tokens)

    def by_application(self, exception: Exception) -> Response | None:
        """The answer of the application's own error handler, in a request that Flask serves; None:
        it has none. Reported from 500, as every failure. Never raises."""
        error = self._as_ours(exception)
        try:
            response = own_answer(exception)
        except Exception as failure:  # noqa: BLE001  (a failing handler is a failure like any other)
            return self.flask_answer(failure)
        if response is not None and response.status_code >= 500:
            self._failed(error, exception)
        return response

    def unexpected(self, exception: Exception) -> Response:
        """The Flask error handler for what the application has none for, outside of operations."""
        return self.by_application(exception) or self.flask_answer(exception)

    def flask_answer(self, exception: BaseException) -> Response:
        """PyMacaron's own answer, as Flask wants it."""
        if isinstance(exception, HTTPException) and (
            exception.response is not None or (exception.code or 500) < 400
        ):
            return exception.get_response()  # type: ignore[return-value]
        status, body = self.answer(exception)
        response = Response(json.dumps(body), status=status, mimetype="application/json")
        if isinstance(exception, HTTPException):
            response.headers.extend(headers_of(exception))
        return response

    def _answer(self, exception: BaseException) -> tuple[int, Body]:
        error = self._as_ours(exception)
        body = self._body(error)
        if int(error.status) >= 500:
            self._failed(error, exception)
        return int(error.status), body

    def _failed(self, error: PyMacaronException, exception: BaseException) -> None:
        if error.reported_before:
            self._reported()
        else:
            self._report(error, exception)
        monitor.count_exception(error.code)

    def _as_ours(self, exception: BaseException) -> PyMacaronException:
        error = exception if isinstance(exception, PyMacaronException) else self._made_of(exception)
        if int(error.status) >= 500 and not error.error_id:
            error.error_id = str(uuid.uuid4())
        return error

    def _made_of(self, exception: BaseException) -> PyMacaronException:
        if isinstance(exception, HTTPException) and exception.code is not None:
            error = PyMacaronException(exception.description or exception.name)
            error.status = exception.code
            error.code = (
                UnhandledServerError.code
                if exception.code == 500
                else exception.name.upper().replace(" ", "_").replace("'", "").replace("-", "_")
            )
            error.user_message = None
        else:
            error = UnhandledServerError(f"{exception}" if self._debug else GENERIC)
            error.user_message = None
        error.__cause__ = exception
        return error

    def _body(self, error: PyMacaronException) -> Body:
        if self._callback is not None:
            try:
                body = self._callback(error)
                if isinstance(body, dict):
                    json.dumps(body)
                    return redacted_answer(body)
                problem = f"returned {type(body).__name__} instead of a dict"
            except Exception as failure:  # noqa: BLE001  (the default body still answers)
                problem = f"raised {type(failure).__name__}"
                self._report_callback(problem, failure)
            else:
                self._report_callback(problem, None)
        return redacted_answer(error.to_dict())

    def _reported(self) -> None:
        info = current.get()
        if info is not None:
            info.reported = True

    def _report_callback(self, problem: str, failure: Exception | None) -> None:
        data: Body = {"is_fatal_error": False, "time": timing(), **surroundings()}
        if failure is not None:
            data["trace"] = trace_of(failure)
        quietly(logging.ERROR, "the error_callback %s", problem)
        reports.send(f"NON-FATAL ERROR: the error_callback {problem}", data, failure)

    def _report_returned(self, operation_id: str, status: int) -> None:
        """A handler that returns a failure instead of raising it has failed all the same."""
        data: Body = {
            "title": f"{operation_id}(): returned an answer with status {status}",
            "error_id": str(uuid.uuid4()),
            "is_fatal_error": True,
            "time": timing(),
            "response": {"status": status},
            **surroundings(),
        }
        reports.send(str(data["title"]), data)

    def _report(self, error: PyMacaronException, exception: BaseException) -> None:
        info = current.get()
        where = (info.route or f"{info.method} {info.path}") if info else "a call"
        quietly(
            logging.ERROR,
            "%s failed with %s %s, error_id %s",
            where,
            error.status,
            error.code,
            error.error_id,
            exc_info=(type(exception), exception, exception.__traceback__),
        )
        title = f"{where}: {text_of(exception)}"
        data: Body = {
            "title": title,
            "trace": trace_of(exception),
            "error_id": error.error_id,
            "is_fatal_error": True,
            "time": timing(),
            "response": {
                "status": error.status,
                "error_code": error.code,
                "error_description": text_of(exception),
                "user_message": error.user_message,
            },
            **surroundings(),
        }
        self._reported()
        reports.send(title, data, exception)

    def _report_slow(self, operation_id: str, limit: float, seconds: float, status: int) -> None:
        end = time.time()
        data: Body = {
            "title": f"{operation_id}() calltime exceeded {limit:.0f} millisec!",
            "is_fatal_error": False,
            "time": timing(end - seconds, end),
            "response": {
                "status": status,
                "error_code": "",
                "error_description": "",
                "user_message": "",
            },
            **surroundings(),
        }
        reports.send(f"NON-FATAL ERROR: {data['title']}", data)


def crash_handler(f: F) -> F:
    """Answers and reports what `f` raises, for routes made with Flask itself (1.x name)."""

    @wraps(f)
    def handled(*args: Any, **kwargs: Any) -> Any:
        try:
            return f(*args, **kwargs)
        except Exception as exception:  # noqa: BLE001  (all of them become an answer)
            return ErrorHandling().flask_answer(exception)

    return handled  # type: ignore[return-value]


def postmortem(
    f: Callable[..., object] | None = None,
    t0: datetime | None = None,
    t1: datetime | None = None,
    exception: BaseException | None = None,
    args: object = (),
    kwargs: object = None,
) -> None:
    """Reports a failed call of `f` outside of any operation, as a task's (2.x name)."""
    del args, kwargs  # arguments may hold anything: they stay out of reports
    if exception is None or int(getattr(exception, "status", 500)) < 500:
        return
    name = f"{getattr(f, '__module__', '')}.{getattr(f, '__name__', 'call')}" if f else "call"
    title = f"{name}(): {text_of(exception)}"
    data: Body = {
        "title": title,
        "trace": trace_of(exception),
        "error_id": str(uuid.uuid4()),
        "is_fatal_error": True,
        "time": timing(t0.timestamp() if t0 else None, t1.timestamp() if t1 else None),
        "response": {
            "status": getattr(exception, "status", 500),
            "error_code": getattr(exception, "code", "UNKNOWN"),
            "error_description": text_of(exception),
            "user_message": getattr(exception, "user_message", None),
        },
        **surroundings(),
    }
    quietly(logging.ERROR, "%s", title, exc_info=exception)
    reports.send(title, data, exception)
