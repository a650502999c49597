"""schemathesis, with all its checks and phases, against served APIs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.runtime.served import BIN, container

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-the-tests-that-is-long-enough"


@pytest.mark.real("schemathesis")
@pytest.mark.parametrize(
    ("folder", "api", "options"),
    [
        (ROOT / "tests" / "runtime" / "garden", "garden", []),
        # /v1/fail answers 500 on purpose.
        (ROOT / "examples" / "helloworld", "hello", ["--exclude-path", "/v1/fail"]),
    ],
)
def test_a_served_api_keeps_to_its_file_whatever_is_sent(
    tmp_path: Path, folder: Path, api: str, options: list[str]
) -> None:
    with container(folder, tmp_path / "log", {"HELLO_JWT_SECRET": SECRET}) as running:
        url = running.url
        command = [
            str(BIN / "schemathesis"), "run", f"{url}/doc/{api}.json", "--url", url,
            "--checks", "all", "--max-examples", "8", "--generation-deterministic", "--no-color",
            *options,
        ]  # fmt: skip
        run = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
        )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
