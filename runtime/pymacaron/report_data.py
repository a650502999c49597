"""What a report of an error holds: user, server, request and trace, all without secrets."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from flask import has_request_context, request

from pymacaron.config import get_config
from pymacaron.context import current
from pymacaron.flask_contexts import current_user
from pymacaron.redaction import MASK, is_sensitive, redactor
from pymacaron.utils import get_container_version, is_ec2_instance

Data = dict[str, object]

LONGEST_BODY = 10_000
LONGEST_TRACE = 50
# The claims of the user that 2.x copied into its reports.
USER_CLAIMS = ("name", "email", "is_expert", "is_admin", "is_support", "is_tester", "language")


def redacted(data: Mapping[str, object]) -> Data:
    """A copy of a report's data in JSON types, without secrets."""
    clean = redactor.data(data)
    return clean if isinstance(clean, dict) else {}


def trace_of(exception: BaseException) -> list[str]:
    """The traceback's lines, without secrets."""
    try:
        lines = traceback.format_exception(
            type(exception), exception, exception.__traceback__, limit=-LONGEST_TRACE
        )
    except Exception:  # noqa: BLE001  (an exception whose own __str__ raises)
        lines = [f"{type(exception).__name__}: its text can't be read\n"]
    return [redactor.text(line) for line in lines]


def text_of(exception: BaseException) -> str:
    """What an exception says, without secrets; its class, when it says nothing."""
    try:
        return redactor.text(str(exception) or type(exception).__name__)
    except Exception:  # noqa: BLE001  (an exception whose own __str__ raises)
        return type(exception).__name__


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
    claims = current_user()
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


def redacted_answer(body: Mapping[str, object]) -> dict[str, object]:
    """An answer's body as JSON can hold it, in which no known secret value stands."""
    clean = {k: redactor.text(v) if isinstance(v, str) else v for k, v in body.items()}
    try:
        harmless = not redactor.shows_secret(json.dumps(clean, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        harmless = False
    return clean if harmless else redacted(clean)
