"""Makes the action's locks: every package pinned with the hashes of all its wheels.

python action/lock.py             pins what requirements/*.in ask for; known pins stay
python action/lock.py --upgrade   takes the newest versions
python action/lock.py --check     exit status 1 if a lock wasn't made from its *.in (no network)
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "requirements"
# A target's lock holds what core doesn't: the two environments lie one upon the other.
BELOW = {"core": (), "aws": ("core",), "gcp": ("core",)}
OLDEST_PYTHON = "3.10"
_WINDOWS_ONLY = ("pywin32", "colorama")


def header(name: str) -> str:
    """The first line of a lock: it tells what the lock was made from."""
    digest = hashlib.sha256()
    for each in (*BELOW[name], name):
        digest.update((FOLDER / f"{each}.in").read_bytes())
    return f"# Made by action/lock.py from {name}.in, sha256 {digest.hexdigest()[:16]}. Don't edit."


def pins(name: str) -> list[str]:
    """Names of the packages a lock pins."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    return sorted(set(re.findall(r"^([\w.-]+)==", text, re.MULTILINE)))


def compile_lock(name: str, *, upgrade: bool) -> None:
    lock = FOLDER / f"{name}.txt"
    # The script runs beside a project of its own, whose settings are none of a lock's business.
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config"),
        *("--universal", "--python-version", OLDEST_PYTHON, "--no-build", "--generate-hashes"),
        *("--no-header", "--no-annotate", "--output-file", str(lock), str(FOLDER / f"{name}.in")),
    ]
    left_out = [*_WINDOWS_ONLY]
    for below in BELOW[name]:
        command += ["--constraint", str(FOLDER / f"{below}.txt")]
        left_out += pins(below)
    for package in left_out:
        command += ["--no-emit-package", package]
    if upgrade:
        command.append("--upgrade")
    subprocess.run(command, check=True, timeout=300)
    body = lock.read_text(encoding="utf-8")
    lock.write_text(f"{header(name)}\n{_without_comments(body)}", encoding="utf-8")


def _without_comments(body: str) -> str:
    return "".join(
        line for line in body.splitlines(keepends=True) if line.strip() and line[:1] != "#"
    )


def stale() -> list[str]:
    """The locks that weren't made from their *.in as it is now."""
    found = []
    for name in BELOW:
        lock = FOLDER / f"{name}.txt"
        first = lock.read_text(encoding="utf-8").partition("\n")[0] if lock.exists() else ""
        if first != header(name):
            found.append(f"{lock.name} is stale: run python action/lock.py")
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Make the action's locks.")
    parser.add_argument("--check", action="store_true", help="only tell which locks are stale")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    chosen = parser.parse_args(arguments)
    if chosen.check:
        found = stale()
        print("\n".join(found) or "the locks are fresh")
        return 1 if found else 0
    for name in BELOW:
        compile_lock(name, upgrade=chosen.upgrade)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
