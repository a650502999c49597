"""What is known of the request being served, without Flask: its id, start and user."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

ACCEPTED_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")


@dataclass(slots=True)
class RequestInfo:
    """One request on its way through the server. Filled as it goes; never outlives the answer."""

    environ: dict[str, Any]
    id: str
    started: float = field(default_factory=time.perf_counter)
    started_at: float = field(default_factory=time.time)
    route: str = ""
    user: str = ""
    fresh_token: str | None = None
    completed: bool = False
    reported: bool = False
    trace_id: str = ""
    span: Any = None
    token: Any = None

    @property
    def method(self) -> str:
        return str(self.environ.get("REQUEST_METHOD", ""))

    @property
    def path(self) -> str:
        raw = str(self.environ.get("PATH_INFO", ""))
        if raw.isascii():
            return raw
        return raw.encode("latin-1", "replace").decode("utf-8", "replace")


current: ContextVar[RequestInfo | None] = ContextVar("pymacaron_request", default=None)


def request_id() -> str:
    """The id of the request being served, taken from X-Request-ID or made; empty outside of one."""
    info = current.get()
    return info.id if info else ""


def id_for(environ: Mapping[str, Any]) -> str:
    """The caller's own request id if it is a decent one, else a new one."""
    given = environ.get("HTTP_X_REQUEST_ID")
    if isinstance(given, str) and ACCEPTED_ID.fullmatch(given):
        return given
    return os.urandom(16).hex()
