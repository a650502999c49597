"""Reports of errors: what they hold, without secrets, and how they reach the service's reporter."""

from __future__ import annotations

import inspect
import json
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from flask import g, has_app_context, has_request_context, request

from pymacaron.config import get_config
from pymacaron.context import current
from pymacaron.redaction import MASK, is_sensitive, redactor
from pymacaron.utils import get_container_version, is_ec2_instance

log = logging.getLogger("pymacaron.crash")

Reporter = Callable[..., object]
Data = dict[str, object]

LONGEST_BODY = 10_000
MOST_UNFINISHED = 8
# The claims of the user that 2.x copied into its reports.
USER_CLAIMS = ("name", "email", "is_expert", "is_admin", "is_support", "is_tester", "language")


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


def redacted(data: Mapping[str, object]) -> Data:
    """A copy of a report's data in JSON types, without secrets."""
    clean = redactor.data(data)
    return clean if isinstance(clean, dict) else {}


def trace_of(exception: BaseException) -> list[str]:
    """The traceback's lines, without secrets."""
    try:
        lines = traceback.format_exception(
            type(exception), exception, exception.__traceback__, limit=30
        )
    except Exception:  # noqa: BLE001  (an exception whose own __str__ raises)
        lines = [f"{type(exception).__name__}: its text can't be read\n"]
    return [redactor.text(line) for line in lines]


def surroundings() -> Data:
    """What is known of the user, the server and the request, for any report."""
    data: Data = {"is_ec2_instance": is_ec2_instance(), "user": _user(), "server": _server()}
    info = current.get()
    if info is not None or has_request_context():
        data["request"] = _request()
    return data


def timing(started: float | None = None, ended: float | None = None) -> Data:
    """Start, end and duration of the request being served; times are seconds since 1970."""
    info = current.get()
    end = time.time() if ended is None else ended
    begin = started if started is not None else info.started_at if info else end
    return {"start": _iso(begin), "end": _iso(end), "microsecs": max(0.0, (end - begin) * 1e6)}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()


def _user() -> Data:
    info = current.get()
    environ = info.environ if info else request.environ if has_request_context() else {}
    user: Data = {"id": "", "is_auth": 0, "ip": environ.get("REMOTE_ADDR", "")}
    for key, header in (("forwarded_ip", "X_FORWARDED_FOR"), ("user_agent", "USER_AGENT")):
        if environ.get(f"HTTP_{header}"):
            user[key] = environ[f"HTTP_{header}"]
    claims = g.get("current_user") if has_app_context() else None
    if isinstance(claims, Mapping) and claims.get("sub"):
        user.update({k: claims[k] for k in USER_CLAIMS if claims.get(k)})
        user.update({"id": claims["sub"], "is_auth": 1})
    return user


def _server() -> Data:
    info = current.get()
    environ = info.environ if info else request.environ if has_request_context() else {}
    host = str(environ.get("HTTP_HOST") or environ.get("SERVER_NAME") or "")
    fqdn, _, port = host.partition(":") if not host.startswith("[") else (host, "", "")
    conf = get_config()
    return {
        "fqdn": fqdn,
        "port": port or str(environ.get("SERVER_PORT", "")),
        "api_name": conf.get("name", ""),
        "api_version": get_container_version(),
        "release": os.environ.get("PYM_RELEASE", ""),
        "PYM_ENV": os.environ.get("PYM_ENV", ""),
    }


def _request() -> Data:
    info = current.get()
    environ = info.environ if info else request.environ
    scheme, host = environ.get("wsgi.url_scheme", "http"), environ.get("HTTP_HOST", "")
    path = str(environ.get("PATH_INFO", "")).encode("latin-1", "replace").decode("utf-8", "replace")
    method, query = str(environ.get("REQUEST_METHOD", "")), str(environ.get("QUERY_STRING", ""))
    base = f"{scheme}://{host}{path}"
    return {
        "id": f"{get_config().get('name', '')}, {method}, {path}",
        "request_id": info.id if info else "",
        "url": without_secrets(f"{base}?{query}") if query else base,
        "base_url": base,
        "path": path,
        "method": method,
        "headers": _headers(environ),
        "request_body": _body(environ),
        "request_query": without_secrets(f"?{query}")[1:] if query else "",
    }


def _headers(environ: Mapping[str, Any]) -> Data:
    names = (n for n in environ if n.startswith("HTTP_") or n == "CONTENT_TYPE")
    return {
        n.removeprefix("HTTP_").replace("_", "-").title(): (
            MASK if is_sensitive(n) else redactor.free_text(str(environ[n]))
        )
        for n in names
    }


def without_secrets(url: str) -> str:
    """A URL whose query and user part show no credentials."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True, errors="replace")
    query = "&".join(f"{k}={MASK if is_sensitive(k) else redactor.free_text(v)}" for k, v in pairs)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def _body(environ: Mapping[str, Any]) -> str:
    """The body without secrets, at most LONGEST_BODY characters of it."""
    if not has_request_context():
        return ""
    kind = str(environ.get("CONTENT_TYPE", ""))
    if kind.startswith("multipart/"):
        return f"({environ.get('CONTENT_LENGTH', '?')} bytes of {kind.split(';')[0]})"
    raw = request.__dict__.get("_cached_data")
    if raw is None and (request.content_length or 0) <= LONGEST_BODY:
        try:
            raw = request.get_data(cache=True)
        except Exception:  # noqa: BLE001  (the client may be gone: then there is no body to show)
            raw = None
    if not isinstance(raw, bytes):
        return f"({environ.get('CONTENT_LENGTH', '?')} bytes, not read)"
    return body_text(raw, kind)


def body_text(raw: bytes, kind: str) -> str:
    """A body as text for a report: capped, without secrets."""
    text = raw.decode("utf-8", "backslashreplace")
    if kind.startswith("application/x-www-form-urlencoded"):
        text = without_secrets(f"?{text}")[1:]
    elif len(raw) <= 20 * LONGEST_BODY:
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            text = redactor.free_text(text[: 2 * LONGEST_BODY])
        else:
            text = json.dumps(redactor.foreign_data(parsed))
    else:
        text = redactor.free_text(text[: 2 * LONGEST_BODY])
    if len(text) > LONGEST_BODY:
        text = f"{text[:LONGEST_BODY]}... ({len(raw)} bytes)"
    return text
