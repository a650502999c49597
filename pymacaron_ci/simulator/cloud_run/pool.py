"""Instances of revisions: started when needed, kept while a URL leads to them, ended when their
requests are done.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pymacaron_ci.simulator.forwarding import Lease
from pymacaron_ci.simulator.instances import Instance, alive


@dataclass
class Slot:
    """A revision's place in the pool. `lock` is held while its instance starts."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    instance: Instance | None = None
    busy: int = 0
    wanted: bool = False


class Pool:
    """`start` makes an instance of a revision that listens; it raises NoInstance."""

    def __init__(self, start: Callable[[str], Instance]) -> None:
        self._start = start
        self._slots: dict[str, Slot] = {}
        self._lock = threading.Lock()
        self._stopping = ThreadPoolExecutor(8, "stopping")

    def acquire(self, revision: str) -> tuple[Instance, Lease]:
        """An instance for one request, started if there is none."""
        slot = self._slot(revision)
        with self._lock:
            slot.busy += 1
            instance = slot.instance
        try:
            if instance is None or not alive(instance):
                instance = self._replace(revision, slot)
        except BaseException:  # whatever it was, the place that was taken is free again
            self._release(revision, slot)
            raise
        return instance, lambda: self._release(revision, slot)

    def _replace(self, revision: str, slot: Slot) -> Instance:
        with slot.lock:
            instance = slot.instance
            if instance is not None and alive(instance):
                return instance
            if instance is not None:
                instance.stop(0)
                slot.instance = None
            slot.instance = self._start(revision)
            return slot.instance

    def put(self, revision: str, instance: Instance) -> None:
        """Hands over an instance that was started to prove its revision."""
        slot = self._slot(revision)
        with slot.lock:
            old, slot.instance = slot.instance, instance
        if old is not None:
            old.stop(0)

    def has(self, revision: str) -> bool:
        slot = self._slots.get(revision)
        return slot is not None and slot.instance is not None and alive(slot.instance)

    def want(self, service: str, revisions: set[str]) -> None:
        """From now on only these of a service are kept; others end with their last request."""
        with self._lock:
            for revision in revisions:
                self._slots.setdefault(revision, Slot())
            own = [(n, s) for n, s in self._slots.items() if n.startswith(f"{service}/")]
            for revision, slot in own:
                slot.wanted = revision in revisions
        for revision, slot in own:
            self._end_if_idle(revision, slot)

    def _slot(self, revision: str) -> Slot:
        with self._lock:
            return self._slots.setdefault(revision, Slot())

    def _release(self, revision: str, slot: Slot) -> None:
        with self._lock:
            slot.busy -= 1
        self._end_if_idle(revision, slot)

    def _end_if_idle(self, revision: str, slot: Slot) -> None:
        with self._lock:
            if slot.busy or slot.wanted:
                return
            instance, slot.instance = slot.instance, None
            if self._slots.get(revision) is slot and not slot.lock.locked():
                del self._slots[revision]
        if instance is not None:
            # once the pool is closed its runner ends what is left
            with contextlib.suppress(RuntimeError):
                self._stopping.submit(instance.stop)

    def close(self) -> None:
        self._stopping.shutdown()
