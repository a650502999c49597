"""What surrounds every request of an application: its id, log line, security headers, /ready."""

from __future__ import annotations

import importlib
import json
import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, Response

from pymacaron import log as logs
from pymacaron import monitor, request_log, token_rules
from pymacaron.config import ConfigError, get_config
from pymacaron.context import RequestInfo, current, id_for
from pymacaron.exceptions import PyMacaronException, is_stop
from pymacaron.headers import Headers, add_headers
from pymacaron.health import health

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from pymacaron.crash import ErrorHandling

auth_log = logging.getLogger("pymacaron.auth")

INSTALLED = "pymacaron_services"
OLD_JWT_SETTINGS = ("jwt_secret", "jwt_issuer", "jwt_audience")
NEW_JWT_SETTINGS = ("jwt_algorithms", "jwt_public_key", "jwt_jwks_url")


def install(app: Flask, handling: ErrorHandling, needs_tokens: bool = False) -> None:
    """Wraps an application, once."""
    if INSTALLED in app.extensions:
        return
    logs.setup_if_needed()
    check_jwt(needs_tokens)
    app.extensions[INSTALLED] = handling
    handlers = app.error_handler_spec[None][None]
    if PyMacaronException not in handlers:
        app.register_error_handler(PyMacaronException, handling.flask_answer)
    if Exception not in handlers:
        app.register_error_handler(Exception, handling.unexpected)
    if not any(rule.rule == "/ready" for rule in app.url_map.iter_rules()):
        app.add_url_rule("/ready", "pymacaron_ready", _ready, methods=["GET"])
    monitor.monitor_init(app=app)
    app.wsgi_app = Surroundings(app.wsgi_app, handling)  # type: ignore[method-assign]


def check_jwt(needs_tokens: bool = False) -> None:
    """Tells at the start of JWT settings that are unusable (ConfigError) or weak (a warning). What
    is incomplete is an error where operations need tokens, and a warning in a service of 2.x that
    may never look at one."""
    conf = get_config()
    secret = conf.get("jwt_secret")
    problems = token_rules.problems(conf)
    begun = any(conf.get(name) is not None for name in OLD_JWT_SETTINGS)
    meant = any(conf.get(name) is not None for name in NEW_JWT_SETTINGS)
    names = conf.get("env_secrets") or []
    guessable = secret is not None and token_rules.secret_problem(secret, names)
    if problems and (meant or guessable or (needs_tokens and begun)):
        raise ConfigError("\n".join(problems))
    if needs_tokens:
        importlib.import_module("jwt")  # now, and not in the first request
    if problems and (needs_tokens or begun):
        auth_log.warning("tokens can't be used: %s", "; ".join(problems))
    if secret is not None and len(str(secret).encode()) < token_rules.SHORT_SECRET:
        auth_log.warning(
            "jwt_secret has fewer than %d bytes and can be guessed by trying: use a longer one",
            token_rules.SHORT_SECRET,
        )


def begin(environ: WSGIEnvironment) -> RequestInfo:
    """A request comes in; `end` it in the same thread."""
    info = RequestInfo(environ=environ, id=id_for(environ))
    info.token = current.set(info)
    if monitor.backends.active:
        monitor.backends.each(lambda backend: backend.started(info))
    return info


def end(info: RequestInfo) -> None:
    if monitor.backends.active:
        monitor.backends.each(lambda backend: backend.finished(info))
    current.reset(info.token)


class Start:
    """WSGI's start_response(), with the headers that every answer gets."""

    __slots__ = ("_info", "_start", "begun", "size", "status")

    def __init__(self, info: RequestInfo, start: StartResponse) -> None:
        self._info, self._start = info, start
        self.status, self.size, self.begun = 500, 0, False

    def __call__(
        self, line: str, headers: Headers, exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        self.begun = True
        self.status = int(line[:3])
        self.size = add_headers(headers, self._info, self._info.environ)
        return self._start(line, headers, exc_info)


class Surroundings:
    """WSGI middleware: gives each request its RequestInfo and each answer its headers."""

    def __init__(self, app: WSGIApplication, handling: ErrorHandling) -> None:
        self._app, self._handling = app, handling

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        info = begin(environ)
        start = Start(info, start_response)
        try:
            return self._app(environ, start)
        except BaseException as stop:
            if start.begun or not is_stop(stop):
                raise
            return self._handling.flask_answer(stop)(environ, start)
        finally:
            if not info.completed:
                outside_operations(info, start.status, start.size)
            end(info)


def outside_operations(info: RequestInfo, status: int, size: int) -> None:
    """The line of a request that no operation completed: a 404, a route made with Flask itself."""
    try:
        seconds = time.perf_counter() - info.started
        request_log.write(info.method, info.path, status, seconds, size, info)
        monitor.observe(info.method, "(other)", status, seconds)
    except Exception:  # noqa: BLE001, S110  (the answer is ready; nothing here may spoil it)
        pass


def _ready() -> Response:
    """200 while this process wants requests, else 503 with the reason."""
    failed = [] if health.leaving else health.check()
    if health.leaving:
        body: dict[str, object] = {"ready": False, "reason": "shutting down"}
    elif failed:
        body = {"ready": False, "reason": f"failed: {', '.join(failed)}"}
    else:
        body = {"ready": True}
    status = 200 if body["ready"] else 503
    return Response(json.dumps(body), status=status, mimetype="application/json")
