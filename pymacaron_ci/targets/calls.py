"""Calls of a REST API that may fail for a moment: the error they have in common, and patience."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from pymacaron_ci.errors import DeployError
from pymacaron_ci.waiting import Clock, Pending, Ready, wait_for

T = TypeVar("T")

BUSY = frozenset({429, 500, 502, 503, 504})
TIMEOUT = (10.0, 60.0)  # seconds to connect, to wait for an answer
RETRY_FOR = 90.0  # seconds that a call which may be repeated keeps trying
LONGEST_WAIT = 60.0  # seconds of a Retry-After that are honoured


class CallFailed(DeployError):
    """A call that was refused or got lost. `transient`: it may be different a moment later."""

    def __init__(
        self,
        text: str,
        *,
        code: int | None = None,
        message: str = "",
        transient: bool = False,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(text, hint=hint)
        self.code = code
        self.message = message
        self.transient = transient
        self.retry_after = retry_after


def repeated(
    what: str,
    call: Callable[[], T],
    *,
    clock: Clock,
    progress: Callable[[str], None],
    again: Callable[[CallFailed], bool] = lambda error: error.transient,
) -> T:
    """Makes a call that does no harm when it is made twice, until it is answered."""
    start = not_before = clock.now()

    def attempt() -> Ready[T] | Pending:
        nonlocal not_before
        if clock.now() < not_before:
            return Pending()
        try:
            return Ready(call())
        except CallFailed as error:
            if not again(error):
                raise
            not_before = clock.now() + (error.retry_after or 0)
            if not_before - start > RETRY_FOR:
                raise
            return Pending(f"{error}; trying again")

    return wait_for(
        what, attempt, timeout=RETRY_FOR, clock=clock, progress=progress, first=0.25, most=8
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After", "")
    return min(float(value), LONGEST_WAIT) if value.isdigit() else None
