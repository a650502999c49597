"""What the checks before a deployment find: problems, missing rights, notes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Problem
from pymacaron_ci.targets.aws import AwsRefused
from pymacaron_ci.targets.beanstalk import judging

T = TypeVar("T")


class Notebook:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self._denied: list[str] = []

    def wrong(self, text: str, hint: str | None = None) -> None:
        self.problems.append(Problem(text=text, hint=hint))

    def note(self, text: str) -> None:
        self.notes.append(text)

    def ask(self, check: Callable[[], T]) -> T | None:
        """A check's answer; a right that is missing does not keep the others from being checked."""
        try:
            return check()
        except AwsRefused as refused:
            if not refused.denied:
                raise
            self._denied.append(f"{refused.service}:{refused.operation}")
            return None

    def close(self) -> None:
        """Raises DeployError with every problem, if there is one."""
        if self._denied:
            self.problems.append(judging.missing_rights(self._denied))
        if self.problems:
            raise DeployError(problems=self.problems)
