"""Handlers of the crash API: one for each kind of failure, to see how it is reported."""

from __future__ import annotations

import importlib
import time
from typing import Any

from pymacaron.config import get_config
from pymacaron.crash import report_error
from pymacaron.exceptions import PyMacaronException


class MyFatalCustomError(PyMacaronException):
    """An error that is reported."""

    code = "FATAL_CUSTOM_ERROR"
    status = 543


class MyNonFatalCustomError(PyMacaronException):
    """An error that is only answered."""

    code = "NON_FATAL_CUSTOM_ERROR"
    status = 401


def do_crash_internal_exception() -> Any:
    raise RuntimeError("Raising an internal exception")


def do_crash_pymacaron_exception() -> Any:
    raise MyNonFatalCustomError("Raising a non-fatal custom error")


def do_crash_report_error() -> Any:
    report_error("called crash/reporterror to test error reporting")
    return _models().Ok()


def do_crash_slow_call() -> Any:
    limit = float(get_config().get("report_call_exceeding_ms") or 0)
    time.sleep(limit / 1000 + 0.1)  # being slow is what this endpoint is for
    return _models().Ok()


def do_crash_return_fatal_error_response() -> Any:
    return MyFatalCustomError("endpoint returns an Error response").jsonify()


def do_crash_return_non_fatal_error_response() -> Any:
    return MyNonFatalCustomError("endpoint returns a non-fatal Error response").jsonify()


def do_crash_return_error_model() -> Any:
    return _models().Error(
        status=543, error="ANOTHER_CUSTOM_ERROR", error_description="Testing error model"
    )


def do_crash_return_error_instance() -> Any:
    return MyFatalCustomError("endpoint returns an Error instance")


def _models() -> Any:
    return importlib.import_module("pymacaron").apipool.crash  # not before the API is loaded
