"""GitHub Actions: what a runner tells a run, and is told by it. Nothing else knows GitHub."""

from collections.abc import Sequence
from pathlib import Path

from pymacaron_ci.github.commands import annotation
from pymacaron_ci.model import Problem


def annotations(problems: Sequence[Problem], root: Path | None = None) -> list[str]:
    """One workflow command for each problem; files count from the working directory."""
    here = Path.cwd()
    return [annotation(problem, root or here, here) for problem in problems]
