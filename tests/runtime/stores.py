"""The databases that persistent models are tried on: SQLite, moto's DynamoDB, dynalite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pymacaron.dynamodb.dynamo import DynamoStore
from pymacaron.dynamodb.sqlite import SqliteStore
from pymacaron.dynamodb.store import Store
from pymacaron.local_server import free_port

DYNALITE = "dynalite@4.0.0"


def client(port: int) -> Any:
    return boto3.session.Session().client(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="eu-west-1",
        aws_access_key_id="a-key",
        aws_secret_access_key="a-secret",
        config=Config(retries={"mode": "standard", "total_max_attempts": 3}),
    )


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[DynamoStore]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "store.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                client(port).list_tables()
                break
            except (BotoCoreError, ClientError):
                said = (folder / "store.log").read_text()
                assert process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.1)
        yield DynamoStore(lambda: client(port))
    finally:
        process.kill()
        process.wait()


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[Store]:
    port = free_port()
    if kind == "sqlite":
        yield SqliteStore(str(folder / "test.db"))
    elif kind == "moto":
        program = str(Path(sys.executable).parent / "moto_server")
        with running([program, "-H", "127.0.0.1", "-p", str(port)], folder, port) as store:
            yield store
    else:
        with running(
            ["node", _dynalite(), "--port", str(port), "--createTableMs", "0"], folder, port
        ) as store:
            yield store


def _dynalite() -> str:
    """Installed once for all runs of this user: npm needs its time."""
    folder = Path(os.environ.get("PYMACARON_TEST_CACHE", "~/.cache/pymacaron-tests")).expanduser()
    modules = folder / DYNALITE
    program = modules / "node_modules" / "dynalite" / "cli.js"
    if not program.exists():
        npm = shutil.which("npm")
        assert npm, "dynalite is installed by npm"
        modules.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [npm, "install", "--prefix", str(modules), "--no-audit", "--no-fund", DYNALITE],
            check=True,
            timeout=180,
            capture_output=True,
        )
    return str(program)
