"""The connections that a worker serves, and the socket where clients knock."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pymacaron.manners import KEEPALIVE, PATIENCE, hold_off
from pymacaron.serve.connection import Connection

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log = logging.getLogger(__name__)

TOGETHER = 16
"""Of so many connections it is told at a time."""
LAST_WORDS = 1.0
"""Seconds without a byte after which a request that has begun is not waited for at the end."""
LINGER = 2.0
"""Seconds for a client to take an answer while it goes on talking."""
PAUSE = 0.01
TCP_INFO_UNACKED = slice(24, 28)


class Room:
    """At most `most` connections at a time. `environ`: what all their requests share."""

    def __init__(self, listener: socket.socket, environ: WSGIEnvironment, most: int) -> None:
        self._environ, self._most = environ, most
        self._listener: socket.socket | None = listener
        self.connections: dict[int, Connection] = {}
        # Held where others than the leader of the crew touch connections.
        self.hands = threading.Lock()
        self._epoll = select.epoll()
        listener.setblocking(False)
        self._epoll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._waker, select.EPOLLIN)

    def told(self, seconds: float) -> list[tuple[int, int]]:
        """What has happened on some connections, by their handles; waits for so long at most."""
        return self._epoll.poll(seconds, TOGETHER)

    def wake(self) -> None:
        """Whoever waits goes on."""
        os.eventfd_write(self._waker, 1)

    def take_the_last(self, deadline: float) -> None:
        """Waits until all connections are taken that the kernel has accepted for us, which closing
        would reset. Later ones are refused, and their clients go elsewhere."""
        listener = self._listener
        if listener is None:
            return
        hold_off(listener)
        while _unaccepted(listener) and time.monotonic() < deadline:
            time.sleep(PAUSE)  # nothing tells when the last one is taken

    def stop_listening(self) -> None:
        """Our workers' common socket lives on with the others."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._epoll.unregister(listener)
            listener.close()

    def welcome(self, handle: int, *, wait: bool) -> None:
        """Accepts a client, if that is what was told. `wait`: for a moment, where nobody can go."""
        listener = self._listener
        if handle == self._waker:
            os.eventfd_read(self._waker)
        if listener is None or handle != listener.fileno():
            return
        try:
            client, peer = listener.accept()
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            name, port = client.getsockname()[:2]
        except OSError as error:  # it is gone again, or another worker was quicker
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._make_room(wait)
            return
        if len(self.connections) >= self._most:
            self._make_room(wait)
        environ = {**self._environ, "SERVER_NAME": name, "SERVER_PORT": str(port)}
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = peer[0], str(peer[1])
        connection = Connection(client, environ)
        self.connections[connection.handle] = connection
        self._listen(connection, select.EPOLLIN)

    def settle(self, connection: Connection) -> None:
        """What comes next on a connection on which nobody works."""
        try:
            if connection.unsent:
                connection.since = time.monotonic()
                self._listen(connection, select.EPOLLOUT)
            elif not connection.ends:
                self._listen(connection, select.EPOLLIN)
            elif connection.talks_on and not connection.lingers:
                connection.linger()
                self._listen(connection, select.EPOLLIN)
            elif not connection.lingers:
                self.close(connection)
        except OSError:  # the system has no room for it
            log.exception("a connection is lost")
            self.connections.pop(connection.handle, None)
            connection.close()

    def pause(self, connection: Connection) -> None:
        """What it has to say waits: somebody works on it."""
        self._listen(connection, 0)

    def _listen(self, connection: Connection, events: int) -> None:
        if connection.events == events:
            return
        if not connection.events:
            self._epoll.register(connection.handle, events)
        elif events:
            self._epoll.modify(connection.handle, events)
        else:  # even the end of the connection would be told else, again and again
            self._epoll.unregister(connection.handle)
        connection.events = events

    def close(self, connection: Connection) -> None:
        if self.connections.pop(connection.handle, None) is not None:
            self._listen(connection, 0)
            connection.close()

    def _make_room(self, wait: bool) -> None:
        """For one more, by ending the one that is silent for longest."""
        with self.hands:
            idle = [c for c in self.connections.values() if not c.busy]
            if idle:
                self.close(min(idle, key=lambda c: c.since))
                return
        if wait:  # until one of them is answered
            time.sleep(PAUSE)

    def sweep(self, now: float) -> None:
        """Ends what has been silent for too long."""
        with self.hands:
            for connection in list(self.connections.values()):
                if connection.busy:
                    continue
                silent = now - connection.since
                if silent > (PATIENCE if connection.begun else KEEPALIVE) or (
                    connection.lingers and silent > LINGER
                ):
                    self.close(connection)

    def emptied(self, now: float) -> bool:
        """Ends what is idle; whether that was all."""
        with self.hands:
            for connection in list(self.connections.values()):
                if not connection.busy and (
                    not connection.begun or now > connection.since + LAST_WORDS
                ):
                    self.close(connection)
            return not self.connections


def _unaccepted(listener: socket.socket) -> int:
    """How many connections nobody has accepted yet; 0 where the kernel doesn't tell."""
    with suppress(OSError, AttributeError):
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return int.from_bytes(info[TCP_INFO_UNACKED], sys.byteorder)
    return 0
