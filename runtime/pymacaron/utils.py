"""Small things that services of PyMacaron 2 import: time, None-pruning, what this process is."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pymacaron.config import get_config

VERSION_FILE = Path("/pym/VERSION")
# Written by the hypervisor into the machine's own description; reading them asks nobody.
EC2_FILES = (
    Path("/sys/hypervisor/uuid"),
    Path("/sys/devices/virtual/dmi/id/sys_vendor"),
    Path("/sys/devices/virtual/dmi/id/board_vendor"),
)


def timenow() -> datetime:
    """Now, in UTC and aware of it."""
    return datetime.now(timezone.utc)


def to_epoch(t: datetime | str) -> int:
    """Seconds since 1970 of a time, or of its ISO form; one without a zone is UTC.

    >>> to_epoch("2020-01-01T00:00:00")
    1577836800
    """
    if isinstance(t, str):
        text = t.strip().replace(" ", "T", 1)
        if text.endswith(("Z", "z")):
            text = text[:-1] + "+00:00"
        t = datetime.fromisoformat(_six_digits(text))
    if t.tzinfo is None or t.tzinfo.utcoffset(t) is None:
        t = t.replace(tzinfo=timezone.utc)
    return int((t - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds())


def to_datetime(e: float) -> datetime:
    """The aware time of an epoch."""
    return datetime.fromtimestamp(e, timezone.utc)


def get_container_version() -> str:
    """The version of the image this process runs in; `local` outside of one.

    A simulated cloud without containers runs an image's files in another folder, as a release.
    """
    beside = [Path("VERSION")] if os.environ.get("PYM_RELEASE") else []
    for file in (VERSION_FILE, *beside):
        try:
            return file.read_text(encoding="utf-8").strip()
        except OSError:
            continue
    return "local"


def get_app_name() -> str:
    """The service's name, from pym-config.yaml."""
    return str(get_config().name)


def is_ec2_instance() -> bool:
    """Whether this machine is one of Amazon's; asks the environment and its own files only."""
    if os.environ.get("AWS_EXECUTION_ENV") or os.environ.get("ECS_CONTAINER_METADATA_URI_V4"):
        return True
    for file in EC2_FILES:
        try:
            text = file.read_text(encoding="utf-8", errors="replace").strip().lower()
        except OSError:
            continue
        if text.startswith("ec2") or text == "amazon ec2":
            return True
    return False


def prune_none(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """The dictionary (or the keywords) without None values, also in nested ones and lists of them.
    As in 2.x a dictionary that is passed is itself changed.

    >>> prune_none(foo="bar", baz=None)
    {'foo': 'bar'}
    """
    if len(args) == 1:
        if not isinstance(args[0], dict):
            raise TypeError(f"prune_none() needs a dictionary, not {type(args[0]).__name__}")
        found: dict[str, Any] = args[0]
    else:
        found = dict(args) if args else kwargs
    _prune(found)
    return found


def _prune(value: dict[str, Any]) -> None:
    for key in [k for k, v in value.items() if v is None]:
        del value[key]
    for v in value.values():
        for one in v if isinstance(v, list) else [v]:
            if isinstance(one, dict):
                _prune(one)


def _six_digits(text: str) -> str:
    """Fractions of a second with the six digits that Python 3.10's fromisoformat insists on."""
    head, dot, tail = text.partition(".")
    if not dot:
        return text
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return f"{head}.{tail[:digits][:6]:0<6}{tail[digits:]}"
