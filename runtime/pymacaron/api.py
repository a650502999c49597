"""The 2.x names of the built-in APIs' parts."""

from __future__ import annotations

from pymacaron.crash_api import (
    MyFatalCustomError,
    MyNonFatalCustomError,
    do_crash_internal_exception,
    do_crash_pymacaron_exception,
    do_crash_report_error,
    do_crash_return_error_instance,
    do_crash_return_error_model,
    do_crash_return_fatal_error_response,
    do_crash_return_non_fatal_error_response,
    do_crash_slow_call,
)
from pymacaron.health import add_ping_hook

__all__ = [
    "MyFatalCustomError",
    "MyNonFatalCustomError",
    "add_ping_hook",
    "do_crash_internal_exception",
    "do_crash_pymacaron_exception",
    "do_crash_report_error",
    "do_crash_return_error_instance",
    "do_crash_return_error_model",
    "do_crash_return_fatal_error_response",
    "do_crash_return_non_fatal_error_response",
    "do_crash_slow_call",
]
