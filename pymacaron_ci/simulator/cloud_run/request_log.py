"""The last requests that revisions answered, for Cloud Logging to show."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from pymacaron_ci.simulator.cloud_run.records import timestamp

KEPT = 5000


@dataclass(frozen=True)
class Answered:
    time: str
    revision: str
    method: str
    target: str
    status: int


class RequestLog:
    """Of all services; the oldest are forgotten. Appending is safe from any thread."""

    def __init__(self) -> None:
        self._answered: deque[Answered] = deque(maxlen=KEPT)

    def add(self, revision: str, method: str, target: str, status: int) -> None:
        self._answered.append(Answered(timestamp(), revision, method, target, status))

    def of(self, revision: str) -> Iterator[Answered]:
        return (a for a in tuple(self._answered) if a.revision == revision)
