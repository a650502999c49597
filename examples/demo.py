"""The product in a minute, without any account: `make demo` runs this.

Deploys examples/helloworld to simulated clouds, calls it, and lets a broken release fail.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
SERVICE = HERE / "helloworld"
STATE = SERVICE / ".pymacaron" / "simulator"
REPORT = SERVICE / ".pymacaron" / "demo-report.json"
TOOL = Path(sys.executable).parent / "pymacaron-ci"
# A demo needs a secret; yours comes from the environment or the repository's secrets.
ENVIRONMENT = {**os.environ, "HELLO_JWT_SECRET": "only-for-the-demo-0123456789abcdef0123456789"}


def title(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def tool(*arguments: str, expect: int = 0) -> None:
    print(f"$ pymacaron-ci {' '.join(arguments)}", flush=True)
    done = subprocess.run(
        [str(TOOL), *arguments], env=ENVIRONMENT, cwd=HERE.parent, check=False, timeout=900
    )
    if done.returncode != expect:
        sys.exit(f"demo: expected exit code {expect}, got {done.returncode}")


def call(url: str) -> None:
    print(f"$ curl {url}", flush=True)
    with urllib.request.urlopen(url, timeout=10) as answer:
        print(answer.read().decode().strip(), flush=True)


def live_url() -> str:
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    url = report["url"]
    assert isinstance(url, str)
    return url


def break_it(folder: Path) -> None:
    """The same service with a mistake that only its acceptance tests find."""
    ignored = shutil.ignore_patterns(".pymacaron", "__pycache__")
    shutil.copytree(SERVICE, folder, ignore=ignored)
    handlers = folder / "helloworld" / "api.py"
    code = handlers.read_text(encoding="utf-8")
    handlers.write_text(code.replace("Hello {name}!", "Goodbye {name}!"), encoding="utf-8")


def main() -> None:
    service = str(SERVICE.relative_to(HERE.parent))
    state = str(STATE.relative_to(HERE.parent))
    report = str(REPORT.relative_to(HERE.parent))
    try:
        title("1. Is the configuration right?")
        tool("validate", "-C", service)
        title("2. Deploy to a simulated Google Cloud Run: staging first, then live, each proven")
        tool("deploy", "--simulate", "-C", service, "--report", report)
        title("3. The live URL answers")
        call(f"{live_url()}/version")
        call(f"{live_url()}/v1/hello?name=Ada")
        title("4. The same commit again: nothing to do")
        tool("deploy", "--simulate", "-C", service)
        title("5. A release with a mistake: its tests fail, it is undone")
        with tempfile.TemporaryDirectory(prefix="pymacaron-demo-") as folder:
            broken = Path(folder) / "broken"
            break_it(broken)
            tool("deploy", "--simulate", "-C", str(broken), "--simulator-state", state, expect=6)
        title("6. Live never noticed")
        call(f"{live_url()}/v1/hello?name=Ada")
    finally:
        title("Stop the simulated cloud; its state stays")
        tool("simulator", "stop", "-C", service)


if __name__ == "__main__":
    main()
