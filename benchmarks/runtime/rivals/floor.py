"""What a server costs without any application: constant bytes, after the body is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ANSWER = b'{"ok":"ok"}'
HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(ANSWER)))]


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    if environ["REQUEST_METHOD"] == "POST":
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", list(HEADERS))
    return [ANSWER]
