"""Kombu's Redis transport without its two gaps: a message that was just fetched is never only in a
worker's memory, and one whose worker died comes back within a lease, however long tasks may take.

Kombu fetches with BRPOP and notes the message as unacknowledged in a second step; SIGKILL between
the two loses it. Here BLMOVE puts it into a list of the worker's, which the second step clears.
Kombu gives a message to another worker a fixed time (visibility_timeout) after it was fetched, done
or not; here a worker renews the time of all it holds for as long as it lives.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import contextlib
import logging
import threading
import weakref
from collections.abc import Iterator
from queue import Empty
from time import monotonic, time
from typing import Any, ClassVar

from celery import Celery
from kombu.transport import redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads

log = logging.getLogger("pymacaron.task")

WORKERS = "pymacaron:workers"
BEATS = 4
"""How often a lease is renewed before it would end."""


def alive_key(worker: str) -> str:
    return f"pymacaron:worker:{worker}"


def taken_key(worker: str) -> str:
    return f"pymacaron:taken:{worker}"


class QoS(redis.QoS):
    """What a worker holds. `held` are those of all channels of this process."""

    held: ClassVar[weakref.WeakSet[QoS]] = weakref.WeakSet()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.held.add(self)

    def append(self, message: Any, delivery_tag: str) -> None:
        taken = getattr(self.channel, "taken", None)
        if taken is None:
            super().append(message, delivery_tag)
            return
        info = message.delivery_info
        # As kombu notes it, without writing the message's JSON anew.
        where = f", {dumps(info['exchange'])}, {dumps(info['routing_key'])}]".encode()
        with self.pipe_or_acquire() as pipe:
            pipe.hset(self.unacked_key, delivery_tag, b"[" + taken + where)
            pipe.zadd(self.unacked_index_key, {delivery_tag: time()})
            pipe.lrem(taken_key(self.channel.worker_id), 1, taken)
            pipe.execute()
        super(redis.QoS, self).append(message, delivery_tag)

    @contextlib.contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:
        """Without MULTI, which costs as much as the commands: wherever the server stops between
        two of them, the message is still noted somewhere."""
        if pipe is not None:
            yield pipe
            return
        with self.channel.conn_or_acquire(client) as acquired:
            yield acquired.pipeline(transaction=False)

    def tags(self) -> list[str]:
        """What is held now; asked from another thread than the one that changes it."""
        while True:
            with contextlib.suppress(RuntimeError):
                return [str(tag) for tag in self._delivered]


class Channel(redis.Channel):
    """`worker_id` is empty in a server, which fetches nothing."""

    QoS = QoS
    worker_id = ""
    from_transport_options: Any = (*redis.Channel.from_transport_options, "worker_id")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.taken: bytes | None = None
        self._moving_from: str | None = None
        self._client: Any = None
        super().__init__(*args, **kwargs)

    def _create_client(self, asynchronous: bool = False) -> Any:
        """One client for a pool of connections; kombu makes one for each command."""
        if asynchronous:
            return super()._create_client(asynchronous=True)
        if self._client is None or self._client.connection_pool is not self.pool:
            self._client = super()._create_client()
        return self._client

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        self._moving_from = None
        if not self.worker_id or len(queues) != 1 or self.global_keyprefix:
            super()._brpop_start(timeout)
            return
        (self._moving_from,) = queues
        self._in_poll = self.client.connection
        self._brpop_sent_at: Any = monotonic()
        self.client.connection.send_command(
            *("BLMOVE", self._moving_from, taken_key(self.worker_id), "RIGHT", "LEFT"),
            timeout or self.brpop_timeout,
        )

    def _brpop_read(self, **options: Any) -> bool:
        queue = self._moving_from
        if queue is None:
            return bool(super()._brpop_read(**options))
        try:
            try:
                item = self.client.parse_response(self.client.connection, "BLMOVE", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            if not item:
                raise Empty
            self.taken = item
            self.connection._deliver(loads(bytes_to_str(item)), queue)
            return True
        finally:
            self.taken = None
            self._in_poll: Any = None
            self._flush_brpop_reauth()


class Transport(redis.Transport):
    Channel = Channel


class Lease(threading.Thread):
    """Says that this worker lives, renews the time of what it holds, and brings back what dead
    workers held. Its own thread and connection: a busy worker is not a dead one."""

    def __init__(self, app: Celery, worker_id: str, seconds: float, queue: str) -> None:
        super().__init__(name="lease", daemon=True)
        self._app = app
        self._id = worker_id
        self._seconds = seconds
        self._queue = queue
        self._stopped = threading.Event()
        self._seen: set[bytes] = set()

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._app.connection_for_write() as connection:
                    channel = connection.default_channel
                    while True:
                        self._beat(channel)
                        if self._stopped.wait(self._seconds / BEATS):
                            return
            except Exception as error:  # noqa: BLE001  (Redis is away: whatever it was, try again)
                log.warning("the lease of tasks could not be renewed: %s", error)
                self._stopped.wait(1)

    def stop(self) -> None:
        self._stopped.set()

    def _beat(self, channel: Any) -> None:
        with channel.conn_or_acquire() as client:
            client.set(alive_key(self._id), 1, px=int(self._seconds * 1000))
            client.sadd(WORKERS, self._id)
            held = {tag: time() for qos in list(QoS.held) for tag in qos.tags()}
            if held:
                client.zadd(channel.unacked_index_key, held, xx=True)
            for name in client.smembers(WORKERS):
                worker = bytes_to_str(name)
                if worker == self._id:
                    self._return_stuck(client)
                elif not client.exists(alive_key(worker)):
                    count = self._return_all(client, worker)
                    client.srem(WORKERS, worker)
                    log.warning("a worker died; %d tasks it was fetching are queued again", count)
        channel.qos.restore_visible(num=1000, interval=1)

    def _return_all(self, client: Any, worker: str) -> int:
        count = 0
        # To the end from which workers take: these tasks have waited already.
        while client.lmove(taken_key(worker), self._queue, "RIGHT", "RIGHT"):
            count += 1
        return count

    def _return_stuck(self, client: Any) -> None:
        """What was moved to this worker while its connection broke: still there a beat later."""
        items = set(client.lrange(taken_key(self._id), 0, -1))
        for item in items & self._seen:
            with client.pipeline() as pipe:
                pipe.lrem(taken_key(self._id), 1, item)
                pipe.rpush(self._queue, item)
                pipe.execute()
        self._seen = items - self._seen
