"""The outermost layer of an application: CORS headers and compression. No Flask, so that it covers
every answer."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from werkzeug.http import parse_accept_header

from pymacaron.headers import allow_origin

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SMALLEST = 500  # bytes; below that compression gains nothing
LEVEL = 6
COMPRESSIBLE = (
    "application/json",
    "application/problem+json",
    "application/javascript",
    "application/xml",
    "application/yaml",
    "image/svg+xml",
    "text/",
)


class Edge:
    """WSGI middleware. Answers that the application streams, or compresses itself, pass as they
    are."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        preflight = (
            environ["REQUEST_METHOD"] == "OPTIONS"
            and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        )
        if "gzip" not in environ.get("HTTP_ACCEPT_ENCODING", ""):

            def start(
                status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
            ) -> Callable[[bytes], object]:
                allow_origin(headers, preflight)
                return start_response(status, headers, exc_info)

            return self._app(environ, start)
        return self._compressed(environ, start_response, preflight)

    def _compressed(
        self, environ: WSGIEnvironment, start_response: StartResponse, preflight: bool
    ) -> Iterable[bytes]:
        held: list[Any] = []

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
        ) -> Callable[[bytes], object]:
            allow_origin(headers, preflight)
            if environ["REQUEST_METHOD"] != "HEAD" and _worth_it(status, headers, environ):
                held[:] = [status, headers]
                return _no_write
            held.clear()
            return start_response(status, headers, exc_info)

        answer = self._app(environ, start)
        if not held:
            return answer
        try:
            body = b"".join(answer)
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()
        status, headers = held
        packed = gzip.compress(body, LEVEL, mtime=0)
        kept = [(k, v) for k, v in headers if k.lower() not in ("content-length", "etag")]
        etag = next((v for k, v in headers if k.lower() == "etag"), None)
        if etag is not None:
            kept.append(("ETag", etag if etag.startswith("W/") else f"W/{etag}"))
        kept += [("Content-Encoding", "gzip"), ("Content-Length", str(len(packed)))]
        kept.append(("Vary", "Accept-Encoding"))
        start_response(status, kept)
        return [packed]


def may_be_compressed(body: bytes, environ: WSGIEnvironment) -> bool:
    return len(body) >= SMALLEST and "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")


def _no_write(data: bytes) -> None:  # noqa: ARG001 - WSGI asks for it
    raise RuntimeError("the write() of WSGI is not supported")


def _worth_it(status: str, headers: list[tuple[str, str]], environ: WSGIEnvironment) -> bool:
    size, kind = 0, ""
    for name, value in headers:
        lower = name.lower()
        if lower == "content-encoding":
            return False
        if lower == "content-length" and value.isdigit():
            size = int(value)
        elif lower == "content-type":
            kind = value
    if size < SMALLEST or not kind.startswith(COMPRESSIBLE) or status[:3] in ("204", "206", "304"):
        return False
    accepted = parse_accept_header(environ.get("HTTP_ACCEPT_ENCODING", ""))
    return any(name in ("gzip", "*") and quality > 0 for name, quality in accepted)
