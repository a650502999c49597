"""What is known of the request being served, without Flask: its id, start and user."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

ACCEPTED_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
ID_BYTES = 16
MADE_AT_ONCE = 256


class RequestInfo:
    """One request on its way through the server. Filled as it goes; never outlives the answer."""

    # What most requests leave as it is stands here, and costs them nothing.
    route = ""
    user = ""
    fresh_token: str | None = None
    completed = False
    reported = False
    trace_id = ""
    span: Any = None
    token: Any = None

    def __init__(self, environ: dict[str, Any], id: str) -> None:
        self.environ = environ
        self.id = id
        self.started = time.perf_counter()

    @property
    def started_at(self) -> float:
        """The time of day."""
        return time.time() - (time.perf_counter() - self.started)

    @property
    def method(self) -> str:
        return str(self.environ.get("REQUEST_METHOD", ""))

    @property
    def path(self) -> str:
        return text_of(self.raw_path)

    @property
    def raw_path(self) -> str:
        """As WSGI has it."""
        return str(self.environ.get("PATH_INFO", ""))


def text_of(raw_path: str) -> str:
    if raw_path.isascii():
        return raw_path
    return raw_path.encode("latin-1", "replace").decode("utf-8", "replace")


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
    try:
        return _new_ids.pop()
    except IndexError:
        return _new_id()


# Made in advance, many at a time: asking the system for random bytes gives other threads the
# interpreter, in the middle of a request that has to wait for it then.
_new_ids: list[str] = []
os.register_at_fork(after_in_child=_new_ids.clear)


def _new_id() -> str:
    digits = os.urandom(ID_BYTES * MADE_AT_ONCE).hex()
    size = 2 * ID_BYTES
    first, *others = (digits[i : i + size] for i in range(0, len(digits), size))
    _new_ids.extend(others)
    return first
