"""What actions/runner does with a step's log, rebuilt from its source to judge ours by.

ActionCommand.cs (TryParseV2, TryParse), ActionCommandManager.cs (stop-commands),
FileCommandManager.cs (outputs), HostContext.cs and ValueEncoders.cs (masks).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote
from xml.sax.saxutils import escape

KNOWN = {
    "error", "warning", "notice", "debug", "group", "endgroup", "add-mask", "set-output",
    "save-state", "set-env", "add-path", "add-matcher", "remove-matcher", "echo", "stop-commands",
    "internal-set-repo-path",
}  # fmt: skip


@dataclass(frozen=True)
class Command:
    name: str
    properties: Mapping[str, str]
    message: str


def unescape(text: str, *, is_property: bool = False) -> str:
    pairs = [("%0D", "\r"), ("%0A", "\n")]
    if is_property:
        pairs += [("%3A", ":"), ("%2C", ",")]
    for escaped, plain in (*pairs, ("%25", "%")):
        text = text.replace(escaped, plain)
    return text


def parse(line: str) -> Command | None:
    stripped = line.lstrip()
    if stripped.startswith("::"):
        end = stripped.find("::", 2)
        if end >= 0:
            return _command(stripped[2:end], stripped[end + 2 :])
    start = line.find("##[")
    if start >= 0:
        end = line.find("]", start)
        if end >= 0:
            return _command(line[start + 3 : end], line[end + 1 :])
    return None


def _command(info: str, message: str) -> Command | None:
    name, _, rest = info.partition(" ")
    properties = {}
    for pair in filter(None, rest.strip().split(",")):
        key, _, value = pair.partition("=")
        properties[key] = unescape(value, is_property=True)
    return Command(name, properties, unescape(message))


@dataclass
class Runner:
    """Reads a log as the runner does: commands are carried out, the rest is text."""

    commands: list[Command] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    stopped_by: str | None = None

    def read(self, log: str) -> Runner:
        for line in re.split(r"\r\n|\r|\n", log):  # .NET's ReadLine
            self._line(line)
        return self

    def _line(self, line: str) -> None:
        found = parse(line)
        if self.stopped_by is not None:
            if found and found.name == self.stopped_by:
                self.stopped_by = None
            else:
                self.text.append(line)
            return
        if found and found.name == "stop-commands":
            self.stopped_by = found.message
        elif found and found.name in KNOWN:
            self.commands.append(found)
        else:
            self.text.append(line)

    def named(self, *names: str) -> list[Command]:
        return [command for command in self.commands if command.name in names]

    @property
    def masks(self) -> list[str]:
        return [command.message for command in self.named("add-mask")]

    def shown(self) -> str:
        """The log as a person sees it, masked by what was masked, whenever that was."""
        text = "\n".join(self.text + [c.message for c in self.commands if c.name != "add-mask"])
        return masked(text, self.masks)


def masked(text: str, secrets: Iterable[str]) -> str:
    forms: set[str] = set()
    for secret in secrets:
        for value in {secret, secret.strip(), *(line.strip() for line in secret.splitlines())}:
            if value:
                forms.update(_forms(value))
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return text


def _forms(value: str) -> Iterable[str]:
    data = value.encode("utf-8", "surrogatepass")
    yield value
    for shift in range(3):
        if data[shift:]:
            yield base64.b64encode(data[shift:]).decode()
    yield value.replace('"', '\\"')
    yield value.replace("'", "''")
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="", errors="surrogatepass")
    yield escape(value, {'"': "&quot;", "'": "&apos;"})


def read_outputs(text: str) -> dict[str, str]:
    """GITHUB_OUTPUT as FileCommandManager reads it."""
    found: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        equals, heredoc = line.find("="), line.find("<<")
        if equals >= 0 and (heredoc < 0 or equals < heredoc):
            found[line[:equals]] = line[equals + 1 :]
            continue
        assert heredoc > 0, f"invalid line {line!r}"
        name, delimiter = line[:heredoc], line[heredoc + 2 :]
        value = []
        for inner in lines:
            if inner == delimiter:
                break
            value.append(inner)
        else:
            raise AssertionError(f"the delimiter of {name} is missing")
        found[name] = "\n".join(value)
    return found
