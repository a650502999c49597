"""What surrounds every request of an application: its id, log line, security headers, /ready."""

from __future__ import annotations

import json
import logging
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, Response

from pymacaron import log as logs
from pymacaron import monitor, request_log, tokens
from pymacaron.config import ConfigError, get_config
from pymacaron.context import RequestInfo, current, id_for
from pymacaron.health import health

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from pymacaron.crash import ErrorHandling

log = logging.getLogger("pymacaron.request")
auth_log = logging.getLogger("pymacaron.auth")

REQUEST_ID = "X-Request-ID"
FRESH_TOKEN = "X-Renewed-Token"  # noqa: S105  (a header's name)
INSTALLED = "pymacaron_services"
OLD_JWT_SETTINGS = ("jwt_secret", "jwt_issuer", "jwt_audience")
NEW_JWT_SETTINGS = ("jwt_algorithms", "jwt_public_key", "jwt_jwks_url")
ALWAYS: tuple[tuple[str, str], ...] = (("X-Content-Type-Options", "nosniff"),)
FOR_JSON = (
    *ALWAYS,
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
)
STRICT_TRANSPORT = ("Strict-Transport-Security", "max-age=31536000")
# Asked every few seconds by load balancers: not worth a line each.
PROBES = ("/ping", "/ready", "/metrics")


def install(app: Flask, handling: ErrorHandling, needs_tokens: bool = False) -> None:
    """Wraps an application, once."""
    if INSTALLED in app.extensions:
        return
    logs.setup_if_needed()
    check_jwt(needs_tokens)
    app.extensions[INSTALLED] = handling
    handlers = app.error_handler_spec[None][None]
    if Exception not in handlers:
        app.register_error_handler(Exception, handling.flask_answer)
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
    problems = tokens.problems(conf)
    begun = any(conf.get(name) is not None for name in OLD_JWT_SETTINGS)
    meant = any(conf.get(name) is not None for name in NEW_JWT_SETTINGS)
    guessable = secret is not None and tokens.secret_problem(secret, conf.get("env_secrets") or [])
    if problems and (meant or guessable or (needs_tokens and begun)):
        raise ConfigError("\n".join(problems))
    if problems and (needs_tokens or begun):
        auth_log.warning("tokens can't be used: %s", "; ".join(problems))
    if secret is not None and len(str(secret).encode()) < tokens.SHORT_SECRET:
        auth_log.warning(
            "jwt_secret has fewer than %d bytes and can be guessed by trying: use a longer one",
            tokens.SHORT_SECRET,
        )


class Surroundings:
    """WSGI middleware: gives each request its RequestInfo and each answer its headers."""

    def __init__(self, app: WSGIApplication, handling: ErrorHandling) -> None:
        self._app, self._handling = app, handling

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        info = RequestInfo(environ=environ, id=id_for(environ))
        told = current.set(info)
        status, size, begun = 500, 0, False

        def start(
            line: str, headers: list[tuple[str, str]], exc_info: Any = None, /
        ) -> Callable[[bytes], object]:
            nonlocal status, size, begun
            begun = True
            status = int(line[:3])
            size = _add_headers(headers, info, environ)
            return start_response(line, headers, exc_info)

        monitored = monitor.backends.active
        if monitored:
            monitor.backends.each(lambda backend: backend.started(info))
        try:
            return self._app(environ, start)
        except (SystemExit, CancelledError) as stop:
            # Flask leaves these to the server, and the server would end the whole process.
            if begun:
                raise
            return self._handling.flask_answer(stop)(environ, start)
        finally:
            if not info.completed:
                _outside_operations(info, status, size)
            if monitored:
                monitor.backends.each(lambda backend: backend.finished(info))
            current.reset(told)


def _add_headers(
    headers: list[tuple[str, str]], info: RequestInfo, environ: WSGIEnvironment
) -> int:
    """Adds ours where the application has none; the answer's Content-Length, or 0."""
    size = 0
    ours = ALWAYS
    names = set()
    for name, value in headers:
        lower = name.lower()
        names.add(lower)
        if lower == "content-length" and value.isdigit():
            size = int(value)
        elif lower == "content-type" and value.startswith("application/json"):
            ours = FOR_JSON
    headers.extend([pair for pair in ours if pair[0].lower() not in names])
    if "x-request-id" not in names:
        headers.append((REQUEST_ID, info.id))
    if "HTTP_ORIGIN" in environ and "access-control-expose-headers" not in names:
        headers.append(("Access-Control-Expose-Headers", f"{REQUEST_ID}, {FRESH_TOKEN}"))
    schemes = (environ.get("wsgi.url_scheme"), environ.get("HTTP_X_FORWARDED_PROTO"))
    if "https" in schemes and STRICT_TRANSPORT[0].lower() not in names:
        headers.append(STRICT_TRANSPORT)
    if info.fresh_token:
        headers.append((FRESH_TOKEN, info.fresh_token))
        if "cache-control" not in names:
            headers.append(("Cache-Control", "no-store"))
    return size


def _outside_operations(info: RequestInfo, status: int, size: int) -> None:
    """The line of a request that no operation completed: a 404, a route made with Flask itself."""
    try:
        seconds = time.perf_counter() - info.started
        log_request(info.method, info.path, status, seconds, size)
        monitor.observe(info.method, "(other)", status, seconds)
    except Exception:  # noqa: BLE001, S110  (the answer is ready; nothing here may spoil it)
        pass


def log_request(method: str, route: str, status: int, seconds: float, size: int) -> None:
    """One line per request; none for a probe that went well, unless `log_probes: true`."""
    level = logging.ERROR if status >= 500 else logging.INFO
    if not log.isEnabledFor(level):
        return
    if route in PROBES and status < 400 and not get_config().get("log_probes"):
        return
    info = current.get()
    path = info.path if info else route
    request_log.write(level, method, route, path, status, seconds, size)


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
