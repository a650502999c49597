"""Whether answers wait for something: a database, another service. What only computes is answered
by the thread that read the request; threads are for waiting."""

from __future__ import annotations

import resource
import time

LOOKED_AT = 8
"""Of so many answers of the leader one is looked at."""
TRIED = 32
"""Of so many that other threads would give, the leader gives one. A multiple of the above."""
LONG = 0.0003
"""Seconds of waiting for an answer, on the average, that are worth another thread."""
LONGEST_COUNTED = 0.004
WEIGHT = 4


Sample = tuple[int, float]


class Pace:
    """Of one worker's answers. `waits`: how long they do, on the average."""

    def __init__(self) -> None:
        self.waits = 0.0
        self.answers = 0

    def next(self) -> int:
        """The number of the next answer; 0 where another thread than the leader should give it."""
        self.answers = number = self.answers + 1
        return number if self.waits < LONG or number % TRIED == 0 else 0

    def begins(self) -> Sample | None:
        """Before an answer of the leader; `ends` is to be told of it, in the same thread."""
        return None if self.answers % LOOKED_AT else (_switches(), time.perf_counter())

    def ends(self, sample: Sample) -> None:
        before, began = sample
        # A thread that was only made to wait for the processor has not given it up by itself.
        seconds = time.perf_counter() - began if _switches() != before else 0.0
        self.waits += (min(seconds, LONGEST_COUNTED) - self.waits) / WEIGHT


def _switches() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
