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
"""Of so many windows one is for what is not chosen, and is compared with the one before."""
WORTH = 1.25
"""How many times the cost the quicker answers are worth, of who is awake."""
WEIGHT = 4
MOST = 2.0
"""What one comparison counts at most: others disturb the processor, too."""


class Vigil:
    """Of one worker's leaders, one after the other."""

    def __init__(self) -> None:
        # What it costs to be awake, relative to sleeping.
        self._ratio = 1.0
        self._windows = 0
        self.begins(0)

    def begins(self, answers: int) -> None:
        """To be told by a thread that begins to lead. `answers`: given in all."""
        # Whether the next wait begins awake, and whether that is so in this window.
        self.awake, self._way = False, self._ratio <= WORTH
        self._cost: float | None = None
        self._window(answers)

    def waited(self, seconds: float, answers: int) -> None:
        """To be told after each wait, by who waited."""
        if seconds > SHORT:
            self.awake = False
            return
        self._waits += 1
        if self._waits >= WINDOW:
            self._judge(answers)
        self.awake = self._way

    def _window(self, answers: int) -> None:
        self._waits, self._answers, self._spent = 0, answers, time.thread_time()

    def _judge(self, answers: int) -> None:
        answered, spent, before = self._answers, self._spent, self._cost
        self._window(answers)
        if answers == answered:
            return
        self._cost = (self._spent - spent) / (answers - answered)
        if self._trying and before and self._cost:
            ratio = self._cost / before if self._way else before / self._cost
            self._ratio += (min(max(ratio, 1 / MOST), MOST) - self._ratio) / WEIGHT
        self._windows += 1
        self._way = (self._ratio <= WORTH) is not self._trying

    @property
    def _trying(self) -> bool:
        """Whether this window is for what is not chosen."""
        return self._windows % TRIED == 1
