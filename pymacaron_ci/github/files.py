"""The files by which a step hands on outputs and its summary."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from pathlib import Path

from pymacaron_ci.model import Report

# In the order action.yml declares them; a test compares the two.
OUTPUTS = (
    "status",
    "release",
    "version",
    "image",
    "digest",
    "url",
    "staging-url",
    "previous-release",
    "changed",
    "report",
)

# The runner drops a longer summary whole (FileCommandManager.cs), without a word in the step.
LONGEST_SUMMARY = 1024 * 1024
_CUT = "\n\n_(cut here: GitHub shows at most 1 MiB)_\n"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def outputs_text(outputs: Mapping[str, str]) -> str:
    """What GITHUB_OUTPUT takes. Each value ends at a delimiter that nobody could have foreseen.

    Callers echo outputs in scripts: a line break in one could be a command of its own there.
    """
    parts = []
    for name, value in outputs.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"not the name of an output: {name!r}")
        value = " ".join(value.split())
        delimiter = f"ghadelimiter_{uuid.uuid4()}"
        parts.append(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")
    return "".join(parts)


def append_outputs(file: Path, outputs: Mapping[str, str]) -> None:
    with file.open("a", encoding="utf-8", newline="\n") as handle:
        handle.write(outputs_text(outputs))


def append_summary(file: Path, markdown: str) -> None:
    """Adds to the summary; what would make it too long is cut off, with a word about it."""
    used = file.stat().st_size if file.exists() else 0
    data = markdown.encode("utf-8", "replace")
    room = LONGEST_SUMMARY - used
    if len(data) > room:
        note = _CUT.encode()
        if room <= len(note):
            return
        data = data[: room - len(note)].decode("utf-8", "ignore").encode() + note
    with file.open("ab") as handle:
        handle.write(data)


def outputs(report: Report, report_file: Path | None = None) -> dict[str, str]:
    """All outputs, each always there: an empty one has nothing to tell."""
    release, previous = report.release, report.previous
    values = (
        report.status,
        release.id if release else "",
        release.version if release else "",
        str(release.image) if release else "",
        (release.image.digest or "") if release else "",
        _url(report.url),
        _url(report.staging_url),
        previous.id if previous else "",
        "true" if report.changed else "false",
        str(report_file) if report_file else "",
    )
    return dict(zip(OUTPUTS, values, strict=True))


def _url(value: str | None) -> str:
    """A report may hold a sentence where there is no URL yet; callers want a URL or nothing."""
    return value if value and value.startswith(("https://", "http://")) else ""
