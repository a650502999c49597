"""Waiting for a condition, with a deadline, a message, progress and polite back-off."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pymacaron_ci.errors import OutOfTime

T = TypeVar("T")
_ceiling: ContextVar[float] = ContextVar("ceiling", default=math.inf)


class Clock(Protocol):
    """Time, so that tests can do without it."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # the one place where the product sleeps: always inside wait_for


@dataclass(frozen=True)
class Ready(Generic[T]):
    """The condition holds; this is what it gave."""

    value: T


@dataclass(frozen=True)
class Pending:
    """Not yet; `text` says where it stands."""

    text: str = ""


@contextmanager
def at_most(seconds: float | None) -> Iterator[None]:
    """Within it no wait lasts longer than this, whoever waits. None: as long as it would anyway,
    for what must take its time."""
    token = _ceiling.set(math.inf if seconds is None else seconds)
    try:
        yield
    finally:
        _ceiling.reset(token)


def wait_for(
    what: str,
    probe: Callable[[], Ready[T] | Pending],
    *,
    timeout: float,
    clock: Clock,
    progress: Callable[[str], None] = lambda _: None,
    first: float = 0.2,
    most: float = 5.0,
    hint: str | None = None,
) -> T:
    """Polls `probe` until it answers Ready. A probe raises for a state that will never become good.

    Raises OutOfTime, naming `what` and the last state seen, when `timeout` seconds have passed.
    """
    if _ceiling.get() < timeout:
        timeout, hint = _ceiling.get(), "--wait-timeout allows it no more"
    start = clock.now()
    pause, state = first, ""
    while True:
        answer = probe()
        if isinstance(answer, Ready):
            return answer.value
        if answer.text and answer.text != state:
            state = answer.text
            progress(state)
        left = timeout - (clock.now() - start)
        if left <= 0:
            last = f"; last seen: {state}" if state else ""
            raise OutOfTime(f"{what} took longer than {timeout:.0f} s{last}", hint=hint)
        clock.sleep(min(pause, left))
        pause = min(pause * 1.5, most)
