"""What a task knows of the request that called it: its URL, its id, its user and token."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask import Flask, g, request

from pymacaron.context import RequestInfo, current, id_for
from pymacaron.tasks import wire

# All that a base URL, a log line and a report need. No body and no cookies: a token that came in
# a cookie is in the user's claims.
CARRIED = (
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "SERVER_NAME",
    "SERVER_PORT",
    "REMOTE_ADDR",
    "HTTP_HOST",
    "HTTP_AUTHORIZATION",
    "HTTP_USER_AGENT",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PREFIX",
    "wsgi.url_scheme",
)
NOWHERE = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.url_scheme": "http",
}


def capture() -> dict[str, Any]:
    """The request being served, as JSON data."""
    environ = request.environ
    info = current.get()
    return {
        "environ": {name: environ[name] for name in CARRIED if name in environ},
        "id": info.id if info else id_for(environ),
        "user": wire.write(dict(g.get("current_user") or {}), "the user's claims"),
    }


@contextmanager
def restored(app: Flask, origin: Mapping[str, Any] | None) -> Iterator[None]:
    """Within the block the task's thread is in a request like the one that called; without an
    origin in the application's context only."""
    if origin is None:
        with app.app_context():
            yield
        return
    environ: dict[str, Any] = {
        **NOWHERE,
        **origin["environ"],
        "wsgi.version": (1, 0),
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    user = wire.read(origin["user"])
    info = RequestInfo(environ=environ, id=origin["id"])
    info.user = str(user.get("sub", ""))
    told = current.set(info)
    try:
        with app.request_context(environ):
            if user:
                g.current_user = user
            yield
    finally:
        current.reset(told)
