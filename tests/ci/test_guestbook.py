"""The example with tasks and a database, deployed to a simulated cloud, with a Redis of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.tasks_service import running_redis

REPOSITORY = Path(__file__).resolve().parents[2]


def call(url: str, data: Any = None) -> Any:
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.real("redis")
def test_the_guestbook_is_deployed_with_its_workers_and_they_end_with_it(tmp_path: Path) -> None:
    service = tmp_path / "guestbook"
    ignored = shutil.ignore_patterns(".pymacaron", "__pycache__")
    shutil.copytree(REPOSITORY / "examples" / "guestbook", service, ignore=ignored)
    with running_redis(tmp_path) as redis:
        environ = {
            **{k: os.environ[k] for k in ("PATH", "HOME", "PIP_CERT") if k in os.environ},
            "PYTHONPATH": str(REPOSITORY),
            # No engine is there: instances are processes.
            "DOCKER_HOST": "tcp://127.0.0.1:9",
            "GUESTBOOK_BROKER_URL": redis.url,
        }

        def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "pymacaron_ci", *arguments],
                env=environ, cwd=service, capture_output=True, text=True, timeout=400, check=False,
            )  # fmt: skip

        try:
            deployed = tool("deploy", "--simulate")
            assert deployed.returncode == 0, deployed.stdout + deployed.stderr
            assert "acceptance tests passed" in deployed.stdout or "3 tests" in deployed.stdout
            status = tool("status", "--simulate", "--format", "json").stdout
            url = json.loads(status)["url"]
            entry = call(f"{url}/v1/entries", {"author": "Ada", "text": "one two"})
            deadline = time.monotonic() + 60
            while "words" not in (kept := call(f"{url}/v1/entries/{entry['entry_id']}")):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert kept == {**entry, "words": 2, "counted_by": "worker"}
            assert running_below(service)
        finally:
            tool("simulator", "stop")
        deadline = time.monotonic() + 60
        while running_below(service):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def running_below(folder: Path) -> set[int]:
    """Processes that work below a folder, the ends of those not yet waited for left out."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                place = (entry / "cwd").readlink()
                # A removed folder's name is told with " (deleted)" behind it.
                if place.is_relative_to(folder) and (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
            except OSError:
                continue
    return found
