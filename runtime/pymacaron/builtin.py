"""Handlers of the built-in endpoints: /ping, /version, /auth/version."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from typing import Any

from pymacaron.config import get_config
from pymacaron.exceptions import UnhandledServerError
from pymacaron.health import health
from pymacaron.pool import apipool
from pymacaron.utils import get_container_version

REPORT_EVERY_SECONDS = 60


class PingFailed(UnhandledServerError):
    """A ping hook failed. Load balancers ask every few seconds: one report a minute is enough, and
    the answers in between carry its error_id."""

    _report: tuple[str, str, float] | None = None

    def __init__(self, msg: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(msg)
        last, now = PingFailed._report, clock()
        self.reported_before = last is not None and last[0] == msg and now < last[2]
        if last is None or not self.reported_before:
            last = PingFailed._report = (msg, str(uuid.uuid4()), now + REPORT_EVERY_SECONDS)
        self.error_id = last[1]


def do_ping() -> Any:
    failed = health.check()
    if failed:
        raise PingFailed(f"the ping hook {' and '.join(failed)} failed")
    return apipool.ping.Ok()


def do_version() -> Any:
    version = apipool.ping.Version(
        name=str(get_config().get("name", "")),
        version=get_container_version(),
        apis=apipool.get_api_names(),
        pym_env=os.environ.get("PYM_ENV", ""),
    )
    release = os.environ.get("PYM_RELEASE")
    if release:
        version.release = release
    return version
