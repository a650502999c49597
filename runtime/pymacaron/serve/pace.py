"""Whether answers wait for something: a database, another service. What only computes is answered
by the thread that read the request; threads are for waiting."""

from __future__ import annotations

import resource
import time

LOOKED_AT = 8
"""Of so many answers one is looked at."""
TRIED = 32
"""Of so many answers that other threads would give, one is tried by the leader."""
LONG = 0.0003
"""Seconds of waiting for an answer, on the average, that are worth another thread."""
LONGEST_COUNTED = 0.004
WEIGHT = 4


Sample = tuple[int, float]


class Pace:
    """Of one worker's answers."""

    def __init__(self) -> None:
        self.waits = 0.0
        self._answers = 0

    def begins(self) -> tuple[int, Sample | None]:
        """Before an answer, by the leader: its number, 0 for one that another thread should give;
        and what `ends` is to be told after it, in the same thread."""
        self._answers = number = self._answers + 1
        if self.waits > LONG:
            if number % TRIED:
                return 0, None
        elif number % LOOKED_AT:
            return number, None
        return number, (_switches(), time.perf_counter())

    def ends(self, sample: Sample) -> None:
        before, began = sample
        # A thread that was only made to wait for the processor has not given it up by itself.
        seconds = time.perf_counter() - began if _switches() != before else 0.0
        self.waits += (min(seconds, LONGEST_COUNTED) - self.waits) / WEIGHT


def _switches() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
