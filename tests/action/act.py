"""Runs workflows with nektos/act on this machine (no Docker image) and reads its JSON log.

What act does otherwise than GitHub: its host mode hands its own environment to every step; it
masks exact values only, and only in `msg`; undeclared inner outputs reach the caller; `${{` inside
a value is evaluated again. So the environment is small here, and `shown()` masks as GitHub does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.action.runner import masked, parse

ROOT = Path(__file__).resolve().parents[2]
ACTION = "pymacaron/deploy-action@v1"
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
# What a runner has and act needs; certificates and indexes of this machine for the installer.
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "DOCKER_HOST")


@dataclass(frozen=True)
class Ran:
    """What came of a workflow."""

    status: int
    records: tuple[dict[str, Any], ...]
    notes: str

    def commands(self, name: str, step: str | None = None) -> list[dict[str, Any]]:
        return [
            record
            for record in self.records
            if record.get("command") == name
            and (step is None or (record.get("stepID") or [None])[0] == step)
        ]

    def annotations(self, step: str, kind: str = "error") -> list[tuple[str, str, str]]:
        """File, line and message, read from the raw line as GitHub does it: act splits a command at
        the last `::` of its message."""
        found = []
        for record in self.records:
            if (record.get("stepID") or [None])[0] != step or record.get("command") == "ignored":
                continue
            command = parse(str(record.get("raw", "")).rstrip("\n"))
            if command and command.name == kind:
                where = command.properties
                found.append((where.get("file", ""), where.get("line", ""), command.message))
        return found

    def outputs(self, step: str) -> dict[str, str]:
        """As action.yml maps them: act repeats all inner outputs after the step's result."""
        found: dict[str, str] = {}
        for record in self.records:
            if record.get("stepID") != [step] or record.get("stage") != "Main":
                continue
            if record.get("stepResult"):
                break
            if record.get("command") == "set-output":
                found[record["name"]] = record["arg"]
        return found

    def summary(self, step: str) -> str:
        """Of the inner step: act repeats it for the outer one."""
        return "".join(
            record["content"]
            for record in self.commands("summary", step)
            if len(record["stepID"]) == 2
        )

    def result(self, step: str) -> str | None:
        for record in self.records:
            if record.get("stepID") == [step] and record.get("stage") == "Main":
                if not record.get("stepResult"):
                    continue
                return str(record["stepResult"])
        return None

    def exit_status(self, step: str) -> int:
        for record in self.records:
            found = re.fullmatch(r"exit status (\d+)", str(record.get("msg", "")))
            if found and (record.get("stepID") or [None])[0] == step:
                return int(found[1])
        return 0

    def log(self, step: str | None = None) -> str:
        """What was printed, commands and all; nothing masked but by act."""
        return "\n".join(
            str(record.get("msg", "")).rstrip("\n")
            for record in self.records
            if step is None or (record.get("stepID") or [None])[0] == step
        )

    def shown(self, secrets: Mapping[str, str]) -> str:
        """Log, annotations, summaries and outputs as GitHub would show them: masked as it does."""
        masks = [*secrets.values(), *(record["arg"] for record in self.commands("add-mask"))]
        parts = []
        for record in self.records:
            if record.get("command") == "add-mask":
                continue  # the runner swallows the line
            parts += [str(record.get(key, "")) for key in ("msg", "arg", "content")]
        return masked("\n".join(parts), masks)


def caller(
    folder: Path, workflow: str, files: Mapping[str, str], *, service: Path | None = None
) -> Path:
    """A repository outside this one that uses the action; committed, on its main branch."""
    if service:
        shutil.copytree(service, folder, ignore=shutil.ignore_patterns(".pymacaron", "__pycache__"))
    for name, text in {".github/workflows/deploy.yml": workflow, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    commit(folder)
    return folder


def release(folder: Path) -> Path:
    """The action's files as a tag of this repository would hold them, and nothing else: act copies
    them for every use."""
    folder.mkdir(parents=True)
    for name in ("action.yml", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("action", "pymacaron_ci", "runtime"):
        shutil.copytree(
            ROOT / name,
            folder / name,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"),
        )
    return folder


def commit(folder: Path) -> None:
    if not (folder / ".git").exists():
        git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "change")


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.email=caller@example.com", "-c", "user.name=Caller")
    subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        timeout=60,
    )


def program() -> str:
    beside = Path(sys.executable).parent / "act"
    return str(beside) if beside.exists() else "act"


def run(
    workspace: Path,
    home: Path,
    *,
    event: str = "push",
    payload: object = None,
    secrets: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    action: Path,
    uses: str = ACTION,
    timeout: float = 240,
) -> Ran:
    """`home`: a folder of the test's own for act's caches and the runner's temporary files."""
    home.mkdir(parents=True, exist_ok=True)
    # Not by -s NAME (act's environment, so every step's) nor -s NAME=VALUE (argv), nor a .env file
    # (it expands $ and backslashes): a YAML file holds exact values.
    secret_file = home / "secrets.yml"
    secret_file.write_text(json.dumps(dict(secrets or {}), ensure_ascii=False), encoding="utf-8")
    event_file = home / "event.json"
    event_file.write_text(json.dumps(payload or {}), encoding="utf-8")
    command = [
        *(program(), event, "--json", "-P", "ubuntu-latest=-self-hosted", "--no-cache-server"),
        *("--action-cache-path", str(home / "actions"), "--secret-file", str(secret_file)),
        *("--eventpath", str(event_file), "--env-file", "/dev/null", "--var-file", "/dev/null"),
        *("--input-file", "/dev/null", "--local-repository", f"{uses}={action}"),
    ]
    for name, value in (environ or {}).items():
        command += ["--env", f"{name}={value}"]
    child = {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith("PIP_")}
    child |= {"XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    try:
        done = subprocess.run(
            command,
            cwd=workspace,
            env=child,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
        )
    finally:
        end_leftovers(home)
    records = []
    for line in done.stdout.splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return Ran(done.returncode, tuple(records), done.stderr)


def end_leftovers(folder: Path) -> None:
    """Ends what a job left running below a folder: GitHub's runner does so, act doesn't."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
            if b"pymacaron_ci.simulator" in line and os.fsencode(folder) in line:
                os.kill(int(entry.name), signal.SIGTERM)
        except OSError:
            continue  # it ended meanwhile


def workflow(*steps: str, on: str = "push") -> str:
    """A job of these steps on this machine."""
    body = "".join(f"      {line}\n" for step in steps for line in step.rstrip().splitlines())
    return (
        f"name: Deploy\non: {on}\npermissions:\n  contents: read\njobs:\n  deploy:\n"
        f"    runs-on: ubuntu-latest\n    steps:\n      - uses: {CHECKOUT}\n{body}"
    )


def use(
    step: str,
    *,
    inputs: Mapping[str, str] | None = None,
    secrets: tuple[str, ...] = (),
    uses: str = ACTION,
    lenient: bool = False,
) -> str:
    """One use of the action."""
    text = f"- id: {step}\n  uses: {uses}\n"
    if lenient:
        text += "  continue-on-error: true\n"
    if inputs:
        text += "  with:\n" + "".join(f"    {k}: {json.dumps(v)}\n" for k, v in inputs.items())
    if secrets:
        text += "  env:\n" + "".join(f"    {n}: ${{{{ secrets.{n} }}}}\n" for n in secrets)
    return text
