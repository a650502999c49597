"""What the pipeline needs of a deployment target.

A target looks up API calls; it never decides the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pymacaron_ci.model import Change, Live, Phase, Plan, Release, Step, Verdict


class Target(Protocol):
    """Five methods. They raise `errors.DeployError` for whatever the platform refuses, all problems
    together where several can be found; foreign exceptions never pass."""

    def plan(self, release: Release) -> Plan:
        """Reads what is there (preflight) and says what would be done. Changes nothing.

        Half-made resources of the same release are adopted; a release that is live and proven
        gives no phases."""

    def apply(self, step: Step, release: Release) -> Change:
        """Makes one change and waits until the platform has it. Made already: adopts it. When it
        fails half-way it cleans up its own half before it raises."""

    def verify(self, phase: Phase, changes: Sequence[Change]) -> Verdict:
        """The platform's own health verdict, and the URL at which this phase's release answers."""

    def rollback(self, change: Change) -> None:
        """Undoes one change, and waits until it is undone. Undone already: nothing to do.

        Also called with `Change(step=step)` for a step that was begun and interrupted (by a signal,
        or by a failure of `apply`): whatever of it is there is removed, as far as step and cloud
        tell."""

    def live(self) -> Live:
        """What runs now and what it replaced, read from the cloud."""
