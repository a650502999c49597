"""Handlers of the built-in endpoints: /ping, /version, /auth/version."""

from __future__ import annotations

import os
from typing import Any

from pymacaron.config import get_config
from pymacaron.exceptions import UnhandledServerError
from pymacaron.health import health
from pymacaron.pool import apipool
from pymacaron.utils import get_container_version


def do_ping() -> Any:
    failed = health.check()
    if failed:
        raise UnhandledServerError(f"the ping hook {' and '.join(failed)} failed")
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
