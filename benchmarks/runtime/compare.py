"""Compares this runtime with hand-written Flask + pydantic, and with FastAPI where it is installed.

`python benchmarks/runtime/compare.py [--rounds N] [--requests N]`: all servers run at once, are
asked in turns over one kept connection each, and the table shows ratios of the medians of CPU time
per request (the server's own, from /proc), so that a busy machine disturbs little."""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import jwt

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
TICK = os.sysconf("SC_CLK_TCK")
LINES = [{"sku": f"sku-{i}", "quantity": i + 1, "price": i * 1.5} for i in range(20)]
ORDER = json.dumps({"customer": "Ada", "lines": LINES}).encode()


@dataclass
class Server:
    name: str
    command: list[str]
    port: int
    process: subprocess.Popen[bytes] | None = None
    connection: http.client.HTTPConnection | None = None
    samples: dict[str, list[float]] = field(default_factory=dict)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def servers() -> list[Server]:
    def gunicorn(name: str, module: str) -> Server:
        port = free_port()
        command = [
            str(BIN / "gunicorn"), "--bind", f"127.0.0.1:{port}", "--workers", "1",
            "--worker-class", "gthread", "--threads", "1", "--keep-alive", "60",
            "--log-level", "error", f"{module}:app",
        ]  # fmt: skip
        return Server(name, command, port)

    found = [gunicorn("by hand", "by_hand"), gunicorn("pymacaron", "ours")]
    if importlib.util.find_spec("fastapi") and importlib.util.find_spec("uvicorn"):
        port = free_port()
        command = [
            sys.executable, "-m", "uvicorn", "by_fastapi:app", "--port", str(port),
            "--log-level", "error", "--no-access-log",
        ]  # fmt: skip
        found.append(Server("FastAPI (uvicorn)", command, port))
    return found


def start(server: Server) -> None:
    environ = {"PATH": os.environ["PATH"], "PORT": str(server.port)}
    server.process = subprocess.Popen(
        server.command, cwd=HERE, env=environ, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            server.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            server.connection.request("GET", "/hi")
            server.connection.getresponse().read()
            return
        except ConnectionError:
            time.sleep(0.1)
    raise TimeoutError(f"{server.name} does not answer")


def cpu_seconds(pid: int) -> float:
    """Of a process and of its children that still live."""
    total = 0.0
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(entry.parent.name) == pid or int(fields[1]) == pid:
            total += (int(fields[11]) + int(fields[12])) / TICK
    return total


def measure(server: Server, case: str, requests: int, token: str) -> None:
    connection, process = server.connection, server.process
    if connection is None or process is None:
        raise RuntimeError(f"{server.name} was not started")
    method, path, body, headers = {
        "ping": ("GET", "/hi", None, {}),
        "items": ("GET", "/items/42?q=abc&limit=5", None, {}),
        "orders": ("POST", "/orders", ORDER, {"Content-Type": "application/json"}),
        "auth": ("GET", "/me", None, {"Authorization": f"Bearer {token}"}),
    }[case]
    before = cpu_seconds(process.pid)
    for _ in range(requests):
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"{server.name} answered {response.status} to {case}: {text!r}")
    used = cpu_seconds(process.pid) - before
    server.samples.setdefault(case, []).append(used / requests * 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=1500, help="per case, server and round")
    options = parser.parse_args()
    claims = {"sub": "ada", "iss": "bench", "aud": "bench"}
    now = int(time.time())
    token = jwt.encode({**claims, "iat": now, "exp": now + 3600}, "s" * 32, algorithm="HS256")
    found = servers()
    cases = ("ping", "items", "orders", "auth")
    try:
        for server in found:
            start(server)
        for _ in range(options.rounds):
            for case in cases:
                for server in found:
                    measure(server, case, options.requests, token)
    finally:
        for server in found:
            if server.process is not None:
                server.process.send_signal(signal.SIGTERM)
                server.process.wait(30)
    base = found[0]
    print("requests per CPU second, hand-written Flask + pydantic = 1.00 (in brackets: µs each)\n")
    print("| | " + " | ".join(cases) + " |\n|---|" + "--:|" * len(cases))
    for server in found:
        cells = []
        for case in cases:
            ratios = [b / s for b, s in zip(base.samples[case], server.samples[case], strict=True)]
            micros = statistics.median(server.samples[case])
            cells.append(f"{statistics.median(ratios):.2f} ({micros:.0f})")
        print(f"| {server.name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
