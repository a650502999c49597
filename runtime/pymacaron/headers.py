"""The headers that every answer gets besides its own: request id, security, CORS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pymacaron.context import RequestInfo

Headers = list[tuple[str, str]]

REQUEST_ID = "X-Request-ID"
FRESH_TOKEN = "X-Renewed-Token"  # noqa: S105  (a header's name)
ALWAYS: tuple[tuple[str, str], ...] = (("X-Content-Type-Options", "nosniff"),)
FOR_JSON = (
    *ALWAYS,
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
)
STRICT_TRANSPORT = ("Strict-Transport-Security", "max-age=31536000")
ALLOW_ORIGIN = "access-control-allow-origin"
ALLOWED_HEADERS = "Content-Type, Authorization"
# Stands in no header.
GAP = "\0"


def add_headers(headers: Headers, info: RequestInfo, environ: Mapping[str, Any]) -> int:
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
    if _secure(environ) and STRICT_TRANSPORT[0].lower() not in names:
        headers.append(STRICT_TRANSPORT)
    if info.fresh_token:
        headers.append((FRESH_TOKEN, info.fresh_token))
        if "cache-control" not in names:
            headers.append(("Cache-Control", "no-store"))
    return size


def allow_origin(headers: Headers, preflight: bool) -> None:
    for name, _ in headers:
        if len(name) == len(ALLOW_ORIGIN) and name.lower() == ALLOW_ORIGIN:
            return
    headers.append(("Access-Control-Allow-Origin", "*"))
    if preflight:
        methods = next((v for k, v in headers if k.lower() == "allow"), "GET, HEAD, OPTIONS")
        headers.append(("Access-Control-Allow-Methods", methods))
        headers.append(("Access-Control-Allow-Headers", ALLOWED_HEADERS))
        headers.append(("Access-Control-Max-Age", "600"))


def _secure(environ: Mapping[str, Any]) -> bool:
    return (
        environ.get("wsgi.url_scheme") == "https"
        or environ.get("HTTP_X_FORWARDED_PROTO") == "https"
    )


class PlainHeaders:
    """All headers of answers that bring none of their own but the type: put together once for each
    kind of answer and request, by the functions above. Not for a request that gets a fresh token,
    or asks what CORS allows."""

    def __init__(self) -> None:
        self._made: dict[tuple[str | None, bool, bool], _Form] = {}

    def of(self, content_type: str | None, size: int | None, info: RequestInfo) -> Headers:
        form = self._form(content_type, info)
        headers = form.headers.copy()
        headers[form.request_id] = (REQUEST_ID, info.id)
        if size is None:
            del headers[form.length]
        else:
            headers[form.length] = ("Content-Length", str(size))
        return headers

    def text(self, content_type: str | None, size: int, info: RequestInfo) -> str:
        """The same as HTTP writes it."""
        first, second, third = self._form(content_type, info).text
        return f"{first}{size}{second}{info.id}{third}"

    def _form(self, content_type: str | None, info: RequestInfo) -> _Form:
        environ = info.environ
        kind = (content_type, "HTTP_ORIGIN" in environ, _secure(environ))
        return self._made.get(kind) or self._made.setdefault(kind, _form(content_type, info))


class _Form(NamedTuple):
    """Headers, where among them the two stand that are another request's, and their text around
    those."""

    headers: Headers
    length: int
    request_id: int
    text: list[str]


def _form(content_type: str | None, info: RequestInfo) -> _Form:
    made = [] if content_type is None else [("Content-Type", content_type)]
    length = len(made)
    made.append(("Content-Length", "0"))
    add_headers(made, info, info.environ)
    allow_origin(made, preflight=False)
    request_id = made.index((REQUEST_ID, info.id))
    shown = [
        GAP if place in (length, request_id) else value for place, (_, value) in enumerate(made)
    ]
    lines = [f"{name}: {value}\r\n" for (name, _), value in zip(made, shown, strict=True)]
    return _Form(made, length, request_id, "".join(lines).split(GAP))
