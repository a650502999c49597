"""Whether the leader waits awake for what comes next. To fall asleep and be woken takes processor
time, too: in many virtual machines more than a client takes to ask again. What costs less is
measured, and told nobody in advance."""

from __future__ import annotations

import threading
import time

SHORT = 0.0002
"""Seconds that are waited awake at most; nor are they after a longer wait."""
WINDOW = 256
"""Short waits after which is judged what they cost."""
TRIED = 32
"""Of so many windows one is for what is not chosen."""
WORTH = 1.1
"""How many times the cost the quicker answers are worth, of who is awake."""


class Vigil:
    """Of one worker's leaders, one after the other."""

    def __init__(self) -> None:
        # Whether the next wait begins awake.
        self.awake = False
        self._chosen = False
        self._costs: dict[bool, float] = {}
        self._waits = self._windows = 0
        self._before = _now(0)

    def waited(self, seconds: float, answers: int) -> None:
        """To be told after each wait, by who waited. `answers`: given in all."""
        if seconds > SHORT:
            self.awake = False
            return
        self._waits += 1
        if self._waits >= WINDOW:
            self._judge(answers)
        self.awake = self._chosen

    def _judge(self, answers: int) -> None:
        thread, spent, given = self._before
        now = _now(answers)
        self._before, self._waits = now, 0
        if now[0] != thread or answers == given:
            return
        cost = (now[1] - spent) / (answers - given)
        self._costs[self._chosen] = (cost + self._costs.get(self._chosen, cost)) / 2
        self._windows += 1
        if len(self._costs) == 1:
            self._chosen = not self._chosen
            return
        best = self._costs[True] <= self._costs[False] * WORTH
        self._chosen = best if self._windows % TRIED else not best


def _now(answers: int) -> tuple[int, float, int]:
    """This thread, what it has spent of the processor's time, and the answers."""
    return threading.get_ident(), time.thread_time(), answers
