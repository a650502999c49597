"""Whether the leader waits awake for what comes next. To fall asleep and be woken takes processor
time, too: in many virtual machines more than a client takes to ask again. What costs less is
measured, and told nobody in advance."""

from __future__ import annotations

import time

SHORT = 0.0002
"""Seconds that are waited awake at most; nor are they after a longer wait."""
WINDOW = 64
"""Short waits after which is judged what they cost: few, for what is asked next may cost more."""
TRIED = 32
"""Of so many windows one is for what is not chosen."""
WORTH = 1.1
"""How many times the cost the quicker answers are worth, of who is awake."""


class Vigil:
    """Of one worker's leaders, one after the other."""

    def __init__(self) -> None:
        self._costs: dict[bool, float] = {}
        self._windows = 0
        self.begins(0)

    def begins(self, answers: int) -> None:
        """To be told by a thread that begins to lead. `answers`: given in all."""
        # Whether the next wait begins awake.
        self.awake = False
        self._chosen = False
        self._window(answers)

    def waited(self, seconds: float, answers: int) -> None:
        """To be told after each wait, by who waited."""
        if seconds > SHORT:
            self.awake = False
            return
        self._waits += 1
        if self._waits >= WINDOW:
            self._judge(answers)
        self.awake = self._chosen

    def _window(self, answers: int) -> None:
        self._waits, self._answers, self._spent = 0, answers, time.thread_time()

    def _judge(self, answers: int) -> None:
        answered, spent, chosen = self._answers, self._spent, self._chosen
        self._window(answers)
        if answers == answered:
            return
        self._costs[chosen] = (self._spent - spent) / (answers - answered)
        if len(self._costs) == 1:
            self._chosen = not chosen
            return
        self._windows += 1
        best = self._costs[True] <= self._costs[False] * WORTH
        self._chosen = best if self._windows % TRIED else not best
