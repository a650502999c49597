"""The threads of a worker.

One thread leads: it waits for all connections, reads, and answers itself what is answered quickly,
so that nothing is handed from thread to thread. What has come at the same time is read together
and sent together. When an answer takes longer, another thread leads on; where answers mostly wait
for something, it does so at once.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from pymacaron.serve.pace import Pace
from pymacaron.serve.room import Room
from pymacaron.serve.vigil import SHORT, Vigil

if TYPE_CHECKING:
    from pymacaron.serve.connection import Connection
    from pymacaron.serve.gateway import Gateway

log = logging.getLogger(__name__)

TICK = 0.01
"""Seconds between two looks at how long the leader has been answering."""
DOZE = 100
"""Ticks without an answer after which nobody looks until there is one."""
HELD = 0.0005
"""Seconds after which answers are sent that are given together: code that runs again and again
takes a quarter less time than what takes turns with calls of the system."""
LONG = 0.002
"""Seconds for which an answer was held that should not have been, so that the next MOST_HURRIED are
sent at once."""
MOST_HURRIED = 64


class Crew:
    """`threads` that answer, and one more to lead meanwhile; `most` connections at a time. `tidy`
    is called when answers are sent, while clients think."""

    def __init__(
        self,
        listener: socket.socket,
        gateway: Gateway,
        *,
        threads: int,
        most: int,
        tidy: Callable[[], object],
    ) -> None:
        self._gateway, self._tidy = gateway, tidy
        self.room = Room(listener, gateway.environ, most)
        self._lead, self._leader = threading.Lock(), 0
        # Touched with the room's hands, as what waits for a seat.
        self._threads = self._seats = threads
        self._waiting: deque[Connection] = deque()
        # The leader's: what wants an answer, and what has one that is not sent yet. Whoever leads
        # next goes on with both.
        self._asking: deque[Connection] = deque()
        self._held: deque[Connection] = deque()
        self._hurried = 0
        # The number of the answer that the leader gives. Whoever takes it away takes the lead away.
        self._turns: list[int] = []
        self._dozes = False
        self._wake = threading.Event()
        self._pace, self._vigil = Pace(), Vigil()
        self._swept = time.monotonic()
        self._stopping = False
        self._over = threading.Event()
        for number in range(threads + 1):
            threading.Thread(target=self._work, name=f"serve-{number}", daemon=True).start()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def stop(self, seconds: float) -> bool:
        """Ends what is idle; whether all requests were finished in time."""
        self._stopping = True
        self.room.wake()
        self._wake.set()
        return self._over.wait(max(0.0, seconds))

    def _work(self) -> None:
        while True:
            self._lead.acquire()
            if self._over.is_set():
                self._lead.release()
                return
            self._leader = threading.get_ident()
            try:
                self._leads()
            except BaseException:  # a mistake of ours: the lead must not be lost with the thread
                log.exception("the server failed")
                time.sleep(TICK)  # what fails again and again must not fill the log
                if self._leader == threading.get_ident():
                    self._give_lead()

    def _give_lead(self) -> None:
        self._leader = 0
        self._lead.release()

    def _leads(self) -> None:
        """Returns when another thread leads, or none need."""
        self._vigil.begins(self._pace.answers)
        if self._held:  # for too long: somebody lost the lead
            self._hurried = MOST_HURRIED
            self._send_held()
        while self._answer_all():
            events = self._wait()
            for handle, event in events:
                connection = self.room.connections.get(handle)
                if connection is None:
                    self.room.welcome(handle, wait=not self._asking)
                elif self._asks(connection, event):
                    connection.busy = True
                    self._asking.append(connection)
            now = time.monotonic()
            if now > self._swept + 1:
                self._swept = now
                self.room.sweep(now)
            if self._stopping and not events and self.room.emptied(now):
                self._over.set()
                self._give_lead()
                return

    def _wait(self) -> list[tuple[int, int]]:
        """For what is told of the connections; nothing after a while."""
        told, began = self.room.told, time.monotonic()
        events: list[tuple[int, int]] = []
        # Who computes in another thread is not to be disturbed.
        alone = self._seats == self._threads
        if alone and self._vigil.awake:
            events = told(0)
            while not events and time.monotonic() < began + SHORT:
                os.sched_yield()
                events = told(0)
        events = events or told(TICK if self._stopping else 1.0)
        if alone:
            self._vigil.waited(time.monotonic() - began, self._pace.answers)
        return events

    def _answer_all(self) -> bool:
        """Answers all that ask; whether this thread still leads after that."""
        asking, began = self._asking, time.monotonic()
        while asking:
            if not self._turn(asking.popleft()):
                return False
            if self._held:
                seconds = time.monotonic() - began
                if seconds > LONG:
                    self._hurried = MOST_HURRIED
                if seconds > HELD:
                    self._send_held()
                    began += seconds
        self._send_held()
        self._tidy()
        return True

    def _send_held(self) -> None:
        while self._held:
            connection = self._held.popleft()
            connection.send(connection.unsent)
            self._idles(connection)

    def _asks(self, connection: Connection, event: int) -> bool:
        """Hears what a connection has to say; whether it wants an answer."""
        if connection.busy:
            with self.room.hands:
                if connection.busy:
                    self.room.pause(connection)
            return False
        if event & select.EPOLLOUT and connection.unsent:
            left = len(connection.unsent)
            connection.send(connection.unsent)
            if len(connection.unsent) < left:
                connection.since = time.monotonic()
        elif not connection.receive():
            with self.room.hands:
                self.room.close(connection)
            return False
        if connection.requests and not connection.unsent:
            return True
        if connection.ends or connection.events != select.EPOLLIN:
            with self.room.hands:
                self.room.settle(connection)
        return False

    def _turn(self, connection: Connection) -> bool:
        """Answers; whether this thread still leads after that."""
        number = self._pace.next() if self._seats else 0
        if number:
            hold = self._holds()
            self._turns.append(number)
            if self._dozes:
                self._wake.set()
            sample = self._pace.begins()
            self._gateway.serve(connection, hold=hold)
            if sample is not None:
                self._pace.ends(sample)
            try:
                self._turns.remove(number)
            except ValueError:  # another thread leads
                if _holds_back(connection):
                    connection.send(connection.unsent)
            else:
                if hold and _holds_back(connection):
                    self._held.append(connection)
                else:
                    self._idles(connection)
                return True
        else:
            with self.room.hands:
                self.room.pause(connection)
                if not self._seats:
                    self._waiting.append(connection)
                    return True
                self._seats -= 1
            self._send_held()
            self._give_lead()
            self._gateway.serve(connection)
        waits = self._answered(connection)
        while waits is not None:
            self._gateway.serve(waits)
            waits = self._answered(waits)
        return False

    def _holds(self) -> bool:
        """Whether the next answer is sent together with others."""
        if self._hurried:
            self._hurried -= 1
            return False
        return bool(self._asking or self._held)

    def _idles(self, connection: Connection) -> None:
        """The leader has answered."""
        connection.busy = False
        if connection.ends or connection.unsent:
            with self.room.hands:
                self.room.settle(connection)

    def _answered(self, connection: Connection) -> Connection | None:
        """Gives up a seat, or takes one that waits for it."""
        with self.room.hands:
            connection.since = time.monotonic()
            self.room.settle(connection)
            connection.busy = False  # last: the leader looks at it without our hands
            if self._waiting:
                return self._waiting.popleft()
            self._seats += 1
            return None

    def _watch(self) -> None:
        """Takes the lead away from a thread that can't go on leading."""
        last: list[int] = []
        answers = ticks = 0
        while not self._over.is_set():
            time.sleep(TICK)  # a thread that answers tells nobody that it goes on doing so
            turns = self._turns.copy()
            if turns and turns == last:
                with self.room.hands, suppress(IndexError):
                    self._turns.pop()
                    self._seats -= 1
                    self._give_lead()
            last = turns
            ticks = ticks + 1 if answers == self._pace.answers else 0
            answers = self._pace.answers
            if ticks > DOZE:
                self._dozes = True
                if not self._turns:
                    self._wake.wait(60)
                self._dozes = False
                self._wake.clear()
                ticks = 0


def _holds_back(connection: Connection) -> bool:
    """Whether its last answer is not sent. Where others come behind, its client is waited for."""
    return bool(connection.unsent) and not connection.requests
