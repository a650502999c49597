"""What the checks before a deployment have in common: findings, made side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pymacaron_ci.model import Problem
from pymacaron_ci.targets.calls import CallFailed


@dataclass(frozen=True)
class Finding:
    """A problem; something worth knowing, or that could not be checked; or a repository that may
    be created."""

    problem: Problem | None = None
    note: str | None = None
    unchecked: str | None = None
    create_repository: str | None = None


CONNECTIONS = 10  # as many as an HTTP session keeps open
Check = tuple[str, Callable[[], Iterable[Finding]]]


def bad(text: str, hint: str | None) -> Finding:
    return Finding(Problem(text=text, hint=hint))


def side_by_side(checks: Sequence[Check]) -> list[Finding]:
    """A check that we may not make is named; what is wrong then, another check tells."""
    with ThreadPoolExecutor(max(1, min(len(checks), CONNECTIONS))) as pool:
        return [
            f for findings in pool.map(lambda check: _attempt(*check), checks) for f in findings
        ]


def _attempt(what: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except CallFailed as error:
        if error.code in (400, 403, 404):
            return [Finding(unchecked=what)]
        raise
