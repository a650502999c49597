"""The example service, deployed by the command to simulated clouds of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "helloworld"
SECRET = 'planted "secret" with = and $HOME, 0123456789abcdef'


@dataclass
class Service:
    """A copy of the example with clouds of its own. `greet` changes what its code says."""

    folder: Path
    extra: Mapping[str, str]

    def tool(self, *arguments: str, expect: int | None = 0) -> str:
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        assert SECRET not in done.stdout
        if expect is not None:
            assert done.returncode == expect, done.stdout
        return done.stdout

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pymacaron_ci", *arguments]

    def environment(self) -> dict[str, str]:
        kept = ("PATH", "HOME", "TMPDIR", "DOCKER_HOST", "PIP_CERT", "SSL_CERT_FILE")
        return {
            **{k: os.environ[k] for k in kept if k in os.environ},
            "PYTHONPATH": str(REPOSITORY),
            "HELLO_JWT_SECRET": SECRET,
            **self.extra,
        }

    def greet(self, text: str) -> None:
        handlers = self.folder / "helloworld" / "api.py"
        original = (EXAMPLE / "helloworld" / "api.py").read_text(encoding="utf-8")
        handlers.write_text(original.replace("Hello {name}!", text), encoding="utf-8")

    def release(self, number: int) -> None:
        """A change that its tests don't see: another release."""
        (self.folder / "helloworld" / "number.py").write_text(f"NUMBER = {number}\n")

    def status(self, *options: str) -> dict[str, Any]:
        out = subprocess.run(
            self.command("status", "--simulate", *options, "--format", "json"),
            env=self.environment(), cwd=self.folder, capture_output=True, text=True, timeout=60,
            check=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(out.stdout)
        return found

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.status()["url"] + path, timeout=10) as answer:
            return json.load(answer)

    def live_release(self) -> Any:
        return self.get("/version")["release"]


def make(folder: Path, **extra: str) -> Service:
    ignored = shutil.ignore_patterns(".pymacaron", "__pycache__")
    shutil.copytree(EXAMPLE, folder, ignore=ignored, dirs_exist_ok=True)
    return Service(folder=folder, extra=extra)


@dataclass(frozen=True, kw_only=True)
class Life:
    """What the command said on each occasion of a service's life, and its two releases."""

    first: str
    second: str
    broken: str
    back: str
    one: str
    two: str


@contextmanager
def life(folder: Path, environment: str, *, refused: int) -> Iterator[tuple[Service, Life]]:
    """A release goes live, a second one takes its place, a broken one is refused with this exit
    code, and a rollback brings the first one back."""
    here = ("--simulate", "--env", environment)
    # Its acceptance tests check tokens, so a secret that arrived changed would fail them.
    secret = 'a line of "it" with = and $HOME\nand another, 0123456789abcdef\n'
    service = make(folder, DOCKER_HOST="tcp://127.0.0.1:9", HELLO_JWT_SECRET=secret)

    def live() -> str:
        return str(service.status("--env", environment)["release"]["id"])

    try:
        first, one = service.tool("deploy", *here), live()
        assert "11 tests in testaccept/ passed" in first
        assert "nothing to do" in service.tool("deploy", *here, "--no-test")

        service.release(2)
        second, two = service.tool("deploy", *here, "--no-test"), live()
        assert two != one

        server = service.folder / "server.py"
        server.write_text("raise SystemExit('no such database')\n", encoding="utf-8")
        broken = service.tool("deploy", *here, "--no-test", expect=refused)
        assert "no such database" in broken
        assert f"release {two} still serves" in broken
        assert live() == two

        back = service.tool("rollback", *here, "--no-test")
        assert live() == one
        for said in (first, second, broken, back):
            assert "and another, 0123456789abcdef" not in said
        yield service, Life(first=first, second=second, broken=broken, back=back, one=one, two=two)
    finally:
        service.tool("simulator", "stop", expect=None)
