"""How long each thing may take, and how often it is asked about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pymacaron_ci.targets.aws import AwsRefused, AwsUnreachable
from pymacaron_ci.waiting import Clock, Pending, Ready, wait_for

T = TypeVar("T")
_BUSY = ("Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Seconds. `grace`: how long a new environment may be unwell before it counts as failed;
    `settle`: how long until a call whose answer was lost shows its effect, if it had any;
    `drain`: how long clients may still use an address after a name has moved."""

    process: float = 300
    launch: float = 1800
    grace: float = 120
    swap: float = 900
    settle: float = 30
    lead: float = 300
    end: float = 1800
    drain: float = 180
    logs: float = 60
    first: float = 0.5
    most: float = 10


@dataclass(frozen=True, kw_only=True)
class Waiter:
    """Waits politely. AWS not answering for a while is no reason to give up before the deadline."""

    clock: Clock
    patience: Patience
    progress: Callable[[str], None]

    def until(
        self, what: str, probe: Callable[[], Ready[T] | Pending], timeout: float, hint: str = ""
    ) -> T:
        def patiently() -> Ready[T] | Pending:
            try:
                return probe()
            except AwsUnreachable as error:
                return Pending(str(error))
            except AwsRefused as refused:
                if refused.code not in _BUSY:
                    raise
                return Pending(str(refused))

        return wait_for(
            what,
            patiently,
            timeout=timeout,
            clock=self.clock,
            progress=self.progress,
            first=self.patience.first,
            most=self.patience.most,
            hint=hint or None,
        )


def is_busy(refused: AwsRefused) -> bool:
    return refused.code in _BUSY
