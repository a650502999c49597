"""Debian's docker-registry as a part of a test: a free port, a folder of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def docker_registry(folder: Path, *, htpasswd: str = "") -> Iterator[str]:
    """`host:port` of a running registry; `htpasswd` is the content of its password file."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = (
        f"version: 0.1\nlog: {{level: error}}\nstorage:\n"
        f"  filesystem: {{rootdirectory: {folder}}}\n"
        f'  delete: {{enabled: true}}\nhttp: {{addr: "127.0.0.1:{port}"}}\n'
    )
    if htpasswd:
        (folder / "htpasswd").write_text(htpasswd)
        config += f"auth:\n  htpasswd: {{realm: test, path: {folder / 'htpasswd'}}}\n"
    file = folder / "config.yml"
    file.write_text(config)
    program = shutil.which("docker-registry") or "docker-registry"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", file], stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/v2/", process, folder / "log")
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            requests.get(url, timeout=2)
        except requests.ConnectionError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return
