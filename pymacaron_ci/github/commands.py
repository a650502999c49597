"""Workflow commands: what a runner reads out of a step's log. Foreign text never becomes one.

The rules are actions/runner's own: ActionCommand.cs (escaping), ActionCommandManager.cs (what is
a command), ExecutionContext.cs (limits).
"""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pymacaron_ci.model import Location, Problem, Secret

# The runner shows ten annotations of a kind for each step, a whole composite action being one step;
# "Process completed with exit code 1" takes one of them.
MOST_ANNOTATIONS = 9
LONGEST_MESSAGE = 4096  # the runner cuts there without a word


def command(name: str, message: str = "", **properties: str | int | None) -> str:
    """One line; `%`, CR and LF (and in properties `:` and `,`) escaped as @actions/core does it."""
    pairs = ",".join(
        f"{key}={_escape(str(value)).replace(':', '%3A').replace(',', '%2C')}"
        for key, value in properties.items()
        if value not in (None, "")
    )
    return f"::{name}{' ' + pairs if pairs else ''}::{_escape(message)}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def plain(text: str) -> str:
    """One log line that is no command: the runner looks for `::` behind blanks and for `##[`
    anywhere, and ends a line at CR too."""
    text = re.sub(r"\r\n?|\n", "⏎", text.rstrip("\r\n"))
    text = text.replace("##[", "##\u200b[")
    return re.sub(r"^(\s*):(?=:)", "\\1:\u200b", text)


def annotation(problem: Problem, root: Path, folder: Path, title: str = "") -> str:
    """A problem on its line of the pull request: paths count from the repository's root."""
    where = problem.location or Location(file="")
    text = f"{problem.text}\n{problem.hint}" if problem.hint else problem.text
    end = None
    if where.line is not None and where.column is not None and where.length > 1:
        end = where.column + where.length - 1
    return command(
        problem.severity,
        text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…",
        title=title,
        file=from_root(where.file, root, folder) if where.file else None,
        line=where.line,
        col=where.column if where.line is not None else None,
        endColumn=end,
    )


def from_root(file: str, root: Path, folder: Path) -> str:
    """`file`, as told by a run in `folder`, seen from the repository's root."""
    path = (folder / file).resolve()
    try:
        return path.relative_to(root.resolve()).as_posix()
    except ValueError:
        return file


def masks(secrets: Iterable[Secret]) -> list[str]:
    """What has to be masked: each value, and the forms of it that our own output could hold.

    The runner masks each line of a value, and its base64, URL, XML and JSON forms; not the JSON of
    Python's `ensure_ascii`, nor a repr.
    """
    found: dict[str, None] = {}
    for secret in secrets:
        value = secret.reveal()
        if not value.strip():
            continue
        found[value] = None
        if len(value) > 3:  # a derived form of a shorter one would hide half the log
            for form in (json.dumps(value)[1:-1], repr(value)[1:-1], value.strip()):
                found[form] = None
    return list(found)


class Commands:
    """Writes commands and text to a runner's log, one after the other."""

    def __init__(self, out: IO[str], *, root: Path, folder: Path) -> None:
        self._out = out
        self._root = root
        self._folder = folder
        self._shown = {"error": 0, "warning": 0, "notice": 0}
        self._token: str | None = None
        self._grouped = False

    @property
    def stopped(self) -> bool:
        """Whether the runner takes everything for text just now."""
        return self._token is not None

    def emit(self, name: str, message: str = "", **properties: str | int | None) -> None:
        self._write(command(name, message, **properties))

    def _write(self, line: str) -> None:
        """A command, also amid foreign output, where the runner has to be told to listen."""
        if self._token:
            line = f"::{self._token}::\n{line}\n::stop-commands::{self._token}"
        self._out.write(line + "\n")
        self._out.flush()

    def mask(self, secrets: Iterable[Secret]) -> None:
        for value in masks(secrets):
            self.emit("add-mask", value)

    def annotate(self, problem: Problem, title: str = "") -> bool:
        """False when the runner would no longer show it: then the log and the summary must do."""
        if not self._room(problem.severity):
            return False
        self._write(annotation(problem, self._root, self._folder, title))
        return True

    def notice(self, text: str, title: str = "") -> bool:
        if not self._room("notice"):
            return False
        self.emit("notice", text[:LONGEST_MESSAGE], title=title)
        return True

    def _room(self, kind: str) -> bool:
        self._shown[kind] += 1
        return self._shown[kind] <= MOST_ANNOTATIONS

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """A fold of the log; a group within a group is none, as the runner knows only one level."""
        if self._grouped:
            yield
            return
        self._grouped = True
        self.emit("group", title)
        try:
            yield
        finally:
            self._grouped = False
            self.emit("endgroup")

    @contextmanager
    def foreign(self) -> Iterator[None]:
        """All that is printed inside is text: builds, tests and clouds say what they like."""
        if self._token:
            yield
            return
        token = uuid.uuid4().hex
        self.emit("stop-commands", token)
        self._token = token
        try:
            yield
        finally:
            self._token = None
            self._out.write(f"::{token}::\n")
            self._out.flush()


class Log(io.TextIOBase):
    """The log as a stream for text: no line of it is a command, whoever wrote it."""

    def __init__(self, out: IO[str], commands: Commands) -> None:
        super().__init__()
        self._out = out
        self._commands = commands
        self._rest = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._out, "encoding", None) or "utf-8"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        """Whole lines only: half a line could become a command by its other half."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._out.write((line if self._commands.stopped else plain(line)) + "\n")
        return len(text)

    def flush(self) -> None:
        if not self.closed:
            self._out.flush()

    def close(self) -> None:
        if not self.closed and self._rest:
            self.write("\n")
        super().close()
