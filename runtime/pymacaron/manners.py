"""How a server of this runtime behaves, whichever it is: how long it waits, and how it leaves."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from contextlib import suppress

BACKLOG = 2048
# Longer than load balancers keep idle connections (ALB 60 s, Google's 600 s): they, not we, close.
KEEPALIVE = 620
# A client that is silent in the middle of a request, or takes nothing of an answer, is gone.
PATIENCE = 60
# A worker that gives no sign of life for so long is replaced. Not a limit for requests.
SILENCE = 180
LONGEST_LINE = 8190

SO_ATTACH_FILTER = 26


def drain_seconds() -> float:
    """How long requests are still taken after SIGTERM, until load balancers have noticed."""
    return float(os.environ.get("PYM_DRAIN_SECONDS") or 1)


def graceful_seconds() -> int:
    """How long all that takes at most. Shorter than the shortest grace of the platforms: Cloud Run
    and `docker stop` give 10 seconds."""
    return int(os.environ.get("PYM_GRACEFUL_SECONDS") or 8)


def most_requests() -> int:
    """A worker is replaced after so many requests, up to a fifth more, so that leaks stay small."""
    return int(os.environ.get("PYM_MAX_REQUESTS") or 500_000)


def default_bind() -> str:
    """All addresses, as a container needs it, unless PYM_BIND_HOST names one."""
    host = os.environ.get("PYM_BIND_HOST") or "0.0.0.0"  # noqa: S104
    return f"{host}:{os.environ.get('PORT') or '8080'}"


def hold_off(listener: socket.socket) -> None:
    """Makes the kernel drop what comes for a listening socket (SO_ATTACH_FILTER with a program that
    lets nothing pass), so that nobody slips in between the last accept() and close()."""
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF_RET, 0 bytes
    with suppress(OSError):  # not Linux, or a sandbox: then a rare connection is reset
        program = struct.pack("@HP", 1, ctypes.addressof(drop_all))
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
