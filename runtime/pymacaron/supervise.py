"""PID 1 of a container that serves and works: the server beside `pymasync`, they end together."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

SERVER = ("pymacaron-serve", "server:app")
WORKER = ("pymasync",)
PATIENCE = 25.0
"""Seconds for an orderly end; Kubernetes kills after 30."""

PR_SET_PDEATHSIG = 1  # Linux's

# A child that had no time yet to install a handler dies of the signal itself.
_OBEYED = (0, -signal.SIGTERM)


def main(server: Sequence[str] = SERVER, worker: Sequence[str] = WORKER) -> int:
    """Runs both until SIGTERM, SIGINT or the end of either; returns the exit status.

    0 when a signal asked for the end and both obeyed; else that of the one that died by itself,
    and 1 when that was 0: it had no business ending.
    """
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    # Groups of their own: a Ctrl-C in a terminal reaches them through us, in order.
    children = [_start(command) for command in (server, worker)]
    dead: subprocess.Popen[bytes] | None = None
    while dead is None and not told.wait(0.2):
        dead = next((child for child in children if child.poll() is not None), None)
    if dead is not None:
        name = (server, worker)[children.index(dead)][0]
        print(f"{name} ended with status {dead.returncode}: ending", file=sys.stderr, flush=True)
    deadline = time.monotonic() + PATIENCE
    # The server first: what it has accepted may still hand a task to the worker.
    statuses = [_stop(child, deadline) for child in children]
    if dead is not None:
        return abs(dead.returncode) or 1
    return max((abs(status) for status in statuses if status not in _OBEYED), default=0)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """A child that the kernel ends with this process, where no container does that."""
    parent = os.getpid()
    prctl = getattr(ctypes.CDLL(None), "prctl", None)

    def tie() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return subprocess.Popen(command, start_new_session=True, preexec_fn=tie)


def _stop(child: subprocess.Popen[bytes], deadline: float) -> int:
    if child.poll() is None:
        child.terminate()
    try:
        return child.wait(timeout=max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


if __name__ == "__main__":
    sys.exit(main())
