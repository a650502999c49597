"""The process that keeps the workers alive. It serves nothing itself."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from pymacaron import metrics
from pymacaron.health import health
from pymacaron.manners import SILENCE, graceful_seconds
from pymacaron.serve.life import BOOTS, DEAF, SERVES, Life, Mailbox

log = logging.getLogger(__name__)

STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
HEARD = (*STOP, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1)
START_FAILED = 3
# After a worker that could not start: not at once again, while others serve.
PAUSE = 1.0

Work = Callable[[socket.socket, Life], int]


@dataclass
class Worker:
    pid: int
    life: Life
    dismissed: bool = False
    born: float = field(default_factory=time.monotonic)

    @property
    def stays(self) -> bool:
        return not self.dismissed and self.life.state <= SERVES


class Master:
    """Starts `count` workers on one listening socket and replaces those that leave or die.

    SIGTERM stops all after they have finished what they began; SIGHUP replaces all.
    """

    def __init__(self, listener: socket.socket, count: int, work: Work) -> None:
        self._listener, self._count, self._work = listener, count, work
        self._workers: dict[int, Worker] = {}
        self._ready = False
        self._not_before = 0.0

    def run(self) -> int:
        """The exit status, at the end."""
        self._mailbox = Mailbox(HEARD)
        gc.freeze()  # what is loaded by now is shared with the workers, as long as nobody writes
        while True:
            self._fill()
            heard = self._mailbox.wait(1.0)
            if any(number in STOP for number in heard):
                return self._stop()
            if signal.SIGHUP in heard:
                log.info("replacing all workers")
                for worker in list(self._workers.values()):
                    self._dismiss(worker)
            failed = self._bury()
            if failed and not any(w.life.state == SERVES for w in self._workers.values()):
                log.error("no worker could start")
                self._stop()
                return START_FAILED
            if failed:
                self._not_before = time.monotonic() + PAUSE
            self._look_after()

    def _fill(self) -> None:
        if time.monotonic() < self._not_before:
            return
        while sum(worker.stays for worker in self._workers.values()) < self._count:
            self._start()

    def _start(self) -> None:
        life = Life()
        # A signal that came between fork and the child's own handlers would reach us both.
        signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for number in HEARD:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
            raise SystemExit(self._work(self._listener, life))
        self._workers[pid] = Worker(pid, life)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)

    def _bury(self) -> bool:
        """Forgets those that ended; whether one of them had not even started to serve."""
        failed = False
        for pid, status in _ended():
            metrics.forget_process(pid)
            worker = self._workers.pop(pid, None)
            if worker is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            failed |= worker.life.state == BOOTS and not worker.dismissed
            if code:
                log.error("worker %s ended with status %s", pid, code)
        return failed

    def _look_after(self) -> None:
        if not self._ready and all(w.life.state == SERVES for w in self._workers.values()):
            self._ready = True
            log.info("ready: %s workers", self._count)
        for worker in self._workers.values():
            if worker.life.silent_for() > SILENCE:
                log.error("worker %s hangs: killing it", worker.pid)
                _send(worker.pid, signal.SIGABRT)

    def _dismiss(self, worker: Worker) -> None:
        worker.dismissed = True
        _send(worker.pid, signal.SIGTERM)

    def _stop(self) -> int:
        health.leave()
        for worker in self._workers.values():
            self._dismiss(worker)
        # They look at the clock themselves; this one is for those that no longer can.
        deadline = time.monotonic() + graceful_seconds() + 1
        while self._workers and time.monotonic() < deadline:
            self._mailbox.wait(0.1)
            self._bury()
            if all(worker.life.state == DEAF for worker in self._workers.values()):
                self._listener.close()  # from now on connections are refused
        for pid in self._workers:
            log.error("worker %s does not end: killing it", pid)
            _send(pid, signal.SIGKILL)
        return 0


def _ended() -> list[tuple[int, int]]:
    """Process 1 inherits other people's children, too."""
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        found.append((pid, status))


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
