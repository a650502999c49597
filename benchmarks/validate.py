"""How long `validate` takes, as a multiple of importing its three dependencies.

Runs both in turn, so that a busy machine slows both; prints the ratio of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 3.0
IMPORTS = [sys.executable, "-c", "import yaml, click, cerberus"]
VALIDATE = [sys.executable, "-m", "pymacaron_ci", "validate", "-C", "examples/helloworld"]


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    seconds(IMPORTS), seconds(VALIDATE)  # warms the caches of both
    pairs = [(seconds(IMPORTS), seconds(VALIDATE)) for _ in range(runs)]
    imports = statistics.median(p[0] for p in pairs)
    validate = statistics.median(p[1] for p in pairs)
    ratio = validate / imports
    print(f"imports  {imports * 1000:6.0f} ms   import yaml, click, cerberus")
    print(f"validate {validate * 1000:6.0f} ms   pymacaron-ci validate, whole process")
    print(f"ratio    {ratio:6.2f}      (limit {LIMIT:.0f})")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
