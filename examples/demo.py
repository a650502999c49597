"""The product in a minute, without any account: `make demo` runs this.

Deploys examples/helloworld to a simulated cloud, calls it, and lets a broken release fail. Then
examples/guestbook, which keeps entries in a database and works on them in tasks.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SERVICE = HERE / "helloworld"
GUESTBOOK = HERE / "guestbook"
STATE = SERVICE / ".pymacaron" / "simulator"
REPORT = ".pymacaron/demo-report.json"
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


def call(url: str, data: Any = None) -> Any:
    """A GET, or a POST of data as JSON; prints and returns the answer."""
    body = None if data is None else json.dumps(data)
    print(f"$ curl {url}" + (f" --json '{body}'" if body else ""), flush=True)
    headers = {"Content-Type": "application/json"} if body else {}
    request = urllib.request.Request(url, body.encode() if body else None, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode().strip()
    print(text, flush=True)
    return json.loads(text)


def live_url(service: Path = SERVICE) -> str:
    report = json.loads((service / REPORT).read_text(encoding="utf-8"))
    url = report["url"]
    assert isinstance(url, str)
    return url


@contextmanager
def redis() -> Iterator[None]:
    """A Redis server on loopback for the guestbook's tasks, where there is one to start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ENVIRONMENT["GUESTBOOK_BROKER_URL"] = f"redis://127.0.0.1:{port}/0"
    program = shutil.which("redis-server")
    if program is None:
        print("redis-server is not installed: the tasks will run in place (async_fallback: inline)")
        yield
        return
    with tempfile.TemporaryDirectory(prefix="pymacaron-demo-redis-") as folder:
        process = subprocess.Popen(
            [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def guestbook() -> None:
    service = str(GUESTBOOK.relative_to(HERE.parent))
    try:
        with redis():
            tool("deploy", "--simulate", "-C", service, "--report", f"{service}/{REPORT}")
            url = live_url(GUESTBOOK)
            entry = call(f"{url}/v1/entries", {"author": "Ada", "text": "I was here"})
            for _ in range(20):
                if "words" in call(f"{url}/v1/entries/{entry['entry_id']}"):
                    break
                time.sleep(0.5)
    finally:
        title("Stop this simulated cloud, too")
        tool("simulator", "stop", "-C", service)


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
    report = f"{service}/{REPORT}"
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
    title("7. A service with tasks and a database, on a simulated Elastic Beanstalk")
    guestbook()


if __name__ == "__main__":
    main()
