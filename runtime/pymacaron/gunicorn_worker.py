"""The gunicorn worker that leaves politely: it serves on for a moment when the container stops."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from pymacaron.health import health

if TYPE_CHECKING:
    from types import FrameType


def drain_seconds() -> float:
    """How long requests are still taken after SIGTERM, until load balancers have noticed."""
    return float(os.environ.get("PYM_DRAIN_SECONDS") or 1)


class DrainingWorker(ThreadWorker):  # type: ignore[misc]
    """A threaded worker. Told to stop with the whole container, it first goes on for a while
    (drain_seconds): /ready says no, new connections are taken, each answer closes its connection.
    Then it stops as gunicorn does: requests in flight finish, kept-alive connections get a last
    chance.

    A worker that is only replaced (its requests are used up, a reload) leaves the connections that
    wait to the other workers.
    """

    alive: bool
    _leave_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not health.leaving or self._leave_at is not None:
            super().handle_exit(sig, frame)
            return
        self._leave_at = time.monotonic() + drain_seconds()
        # With no keep-alive gunicorn answers `Connection: close`.
        self.cfg.set("keepalive", 0)
        self.method_queue.defer(_nothing)  # wakes the loop

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        if self._leave_at is None or not self.alive:
            super().wait_for_and_dispatch_events(timeout)
            return
        left = self._leave_at - time.monotonic()
        super().wait_for_and_dispatch_events(min(timeout, max(left, 0.0)))
        if time.monotonic() >= self._leave_at:
            self._take_waiting()
            self.alive = False

    def _take_waiting(self) -> None:
        """Takes the connections the kernel has accepted for us: closing would reset them."""
        for listener in self.sockets:
            before: Any = None
            while before != self.nr_conns:
                before = self.nr_conns
                self.accept(listener)


def _nothing() -> None:
    pass
