"""GitHub Actions: what a runner tells a run, and is told by it. Nothing else knows GitHub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pymacaron_ci.github import context

if TYPE_CHECKING:
    from pymacaron_ci.github.run import Run


def begin(
    environ: Mapping[str, str], out: IO[str], folder: Path, *, wanted: bool = False
) -> Run | None:
    """None outside GitHub Actions, but where a person asked for its format. Files of problems count
    from `folder`, the working directory."""
    found = context.read(environ)
    if found is None and wanted:
        found = context.Context(event="", repository="", ref="", workspace=folder)
    if found is None:
        return None
    from pymacaron_ci.github.run import Run

    return Run(environ, found, out, folder)
