"""From `uses:` to the first line of validation: this action against the usual way to write one.

    python benchmarks/action/first_line.py [ROUNDS]

The usual way: `python -m venv`, `pip install .` of a checkout with everything it depends on, run.
Both start from nothing and validate the same service on the same machine, in turn; the ratio is the
result, for seconds depend on the machine and the network. Told too: a second use in the same job.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "examples" / "helloworld"
COPIED = (
    "action.yml",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "action",
    "pymacaron_ci",
    "runtime",
)
KEPT = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


def checkout(folder: Path) -> Path:
    """The action as a runner has unpacked it."""
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy(source, folder)
    return folder


def environment(temp: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in KEPT or k.startswith("PIP_")}
    return kept | {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(SERVICE),
        "RUNNER_TEMP": str(temp),
        "PYM_INPUT_COMMAND": "validate",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def first_line(script: str, temp: Path) -> float:
    """Seconds until a line says that the configuration is valid; waits for the end."""
    start = time.monotonic()
    found = None
    with subprocess.Popen(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=SERVICE,
        env=environment(temp),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if found is None and "is valid" in line:
                found = time.monotonic() - start
    if process.returncode or found is None:
        raise SystemExit(f"it failed:\n{''.join(lines)}")
    return found


def naive(folder: Path, temp: Path) -> float:
    venv = temp / "venv"
    return first_line(
        f'"{sys.executable}" -m venv "{venv}"\n'
        f'"{venv}/bin/python" -m pip install -q --no-cache-dir "{folder}"\n'
        f'"{venv}/bin/pymacaron-ci" validate --format text',
        temp,
    )


def ours(folder: Path, temp: Path) -> float:
    return first_line(f'exec "{sys.executable}" -I "{folder}/action/main.py" 2>&1', temp)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    times: dict[str, list[float]] = {"usual": [], "first use": [], "second use": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="pymacaron-bench-") as scratch:
            base = Path(scratch)
            for name in ("usual", "ours"):
                folder = checkout(base / f"{name}-checkout")
                temp = base / f"{name}-temp"
                temp.mkdir()
                if name == "usual":
                    times["usual"].append(naive(folder, temp))
                else:
                    times["first use"].append(ours(folder, temp))
                    times["second use"].append(ours(folder, temp))
    for name, values in times.items():
        shown = ", ".join(f"{value:.2f}" for value in values)
        print(f"{name:<11} median {statistics.median(values):6.2f} s   ({shown})")
    ratio = statistics.median(
        mine / usual for mine, usual in zip(times["first use"], times["usual"], strict=True)
    )
    print(f"first use / usual: {ratio:.2f}")


if __name__ == "__main__":
    main()
