"""The application's own error handlers (`@app.errorhandler`): which one Flask would call for an
error, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask, Response, current_app, request
from flask.signals import got_request_exception
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.routing import RoutingException

from pymacaron.exceptions import InternalValidationError, PyMacaronException


def is_ours(handler: Callable[..., Any]) -> bool:
    """Whether PyMacaron registered it, and not the application."""
    return getattr(handler, "__module__", "") == "pymacaron.crash"


def own_answer(error: Exception) -> Response | None:
    """What the application's handler for an error answers, in a request that Flask serves; None: it
    has none. Raises what the handler raises."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    for asked in _asked(app, error):
        handler = app._find_error_handler(asked, request.blueprints)
        if handler is not None and not is_ours(handler):
            return app.make_response(app.ensure_sync(handler)(asked))
    return None


def _asked(app: Flask, error: Exception) -> Iterator[Exception]:
    """The errors to find a handler for, in their order; none where an answer was raised."""
    if isinstance(error, RoutingException) or (
        isinstance(error, HTTPException) and error.code is None
    ):
        return
    if isinstance(error, InternalValidationError) and isinstance(error.__cause__, Exception):
        yield error.__cause__
    yield error
    if isinstance(error, (HTTPException, PyMacaronException)):
        return
    # Nobody expected it: what Flask.handle_exception() does then.
    got_request_exception.send(app, _async_wrapper=app.ensure_sync, exception=error)
    yield InternalServerError(original_exception=error)
