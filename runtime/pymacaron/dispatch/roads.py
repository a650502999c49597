"""Which road operations take: the long one, through Flask, wherever the application uses something
of Flask's that only happens there."""

from __future__ import annotations

from collections.abc import Iterator

from blinker import Signal
from flask import Flask, Request, Response, signals
from werkzeug.routing import UnicodeConverter

from pymacaron import flask_contexts
from pymacaron.error_handlers import is_ours
from pymacaron.response import LazySessions

# What Flask sends where the short road sends nothing.
SIGNALS: tuple[Signal, ...] = (
    signals.request_started,
    signals.request_finished,
    signals.request_tearing_down,
    signals.got_request_exception,
    signals.appcontext_pushed,
    signals.appcontext_popped,
    signals.appcontext_tearing_down,
)
FUNCTIONS = (
    "before_request_funcs",
    "after_request_funcs",
    "teardown_request_funcs",
    "url_value_preprocessors",
)
METHODS = (
    *("wsgi_app", "__call__", "request_context", "app_context", "create_url_adapter"),
    *("full_dispatch_request", "preprocess_request", "dispatch_request", "make_response"),
    *("finalize_request", "process_response", "handle_exception", "handle_user_exception"),
    *("handle_http_exception", "do_teardown_request", "do_teardown_appcontext"),
    *("raise_routing_exception", "ensure_sync", "make_default_options_response"),
)
# The settings that make hosts matter.
HOSTS = ("SERVER_NAME", "TRUSTED_HOSTS")
OURS = "pymacaron_"


def reasons(app: Flask) -> list[str]:
    """Why an application's operations take the long road; empty: they need not."""
    return list(_reasons(app))


def _reasons(app: Flask) -> Iterator[str]:
    if not flask_contexts.KNOWN:
        yield "this version of Flask keeps its contexts in a way we don't know"
    for name in FUNCTIONS:
        if getattr(app, name).get(None):
            yield f"the application has {name.removesuffix('_funcs')} functions"
    if app.teardown_appcontext_funcs:
        yield "the application has teardown_appcontext functions"
    for signal in SIGNALS:
        if signal.has_receivers_for(app):
            yield f"something receives Flask's signal {getattr(signal, 'name', '')}"
    for handlers in app.error_handler_spec.get(None, {}).values():
        for error, handler in handlers.items():
            if not is_ours(handler):
                yield f"the application handles {error.__name__} by itself"
    for name in app.extensions:
        if not name.startswith(OURS):
            yield f"the application has the extension {name}"
    if app.request_class is not Request or app.response_class is not Response:
        yield "the application has request or response classes of its own"
    if type(app.session_interface) is not LazySessions:
        yield "the application keeps sessions in its own way"
    for name in METHODS:
        own = name in vars(app) and name != "wsgi_app"
        if own or getattr(type(app), name) is not getattr(Flask, name):
            yield f"the application has its own {name}()"
    yield from _routing(app)


def _routing(app: Flask) -> Iterator[str]:
    routes = app.url_map
    for name in HOSTS:
        if app.config.get(name):
            yield f"{name} is set"
    if app.subdomain_matching or routes.host_matching or routes.default_subdomain:
        yield "the application looks at hosts to find its routes"
    if routes.converters["default"] is not UnicodeConverter:
        yield "the application has a default converter of its own"
