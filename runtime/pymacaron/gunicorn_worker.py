"""The gunicorn worker that leaves politely: it serves on for a moment when the container stops."""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from pymacaron.config import ConfigError
from pymacaron.health import health
from pymacaron.manners import drain_seconds, hold_off
from pymacaron.openapi import SpecError

if TYPE_CHECKING:
    from types import FrameType


class DrainingWorker(ThreadWorker):  # type: ignore[misc]
    """A threaded worker. Told to stop with the whole container, it first goes on for a while
    (drain_seconds): /ready says no, new connections are taken, each answer closes its connection.
    Then it stops as gunicorn does: requests in flight finish, kept-alive connections get a last
    chance.

    A worker that is only replaced (its requests are used up, a reload) leaves the connections that
    wait to the other workers.
    """

    alive: bool
    sockets: list[socket.socket]
    _leave_at: float | None = None

    def load_wsgi(self) -> None:
        """Loads the application. A mistake of the user's is told in a sentence, not a traceback."""
        try:
            super().load_wsgi()
        except (ConfigError, SpecError) as error:
            self.log.error("the service can't start:\n%s", error)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not health.leaving or self._leave_at is not None:
            super().handle_exit(sig, frame)
            return
        self._leave_at = time.monotonic() + drain_seconds()
        # With no room for kept-alive connections gunicorn answers `Connection: close`.
        self.max_keepalived = 0
        self.method_queue.defer(_nothing)  # wakes the loop

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        if self._leave_at is None or not self.alive:
            super().wait_for_and_dispatch_events(timeout)
            return
        left = self._leave_at - time.monotonic()
        super().wait_for_and_dispatch_events(min(timeout, max(left, 0.0)))
        if time.monotonic() >= self._leave_at:
            self._stop_listening()
            self.alive = False

    def _stop_listening(self) -> None:
        """Takes the connections the kernel has accepted for us, which closing would reset. Later
        ones are refused, and their clients go elsewhere."""
        self.set_accept_enabled(False)
        for listener in self.sockets:
            hold_off(listener)
            before = -1
            while before != self.nr_conns:
                before = self.nr_conns
                self.accept(listener)
            listener.close()
        self.sockets = []


def _nothing() -> None:
    pass
