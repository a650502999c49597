"""The servers that are compared: how each is started, what it uses of the machine."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cases import Case

HERE = Path(__file__).parent
TICK = os.sysconf("SC_CLK_TCK")
HAND, FASTAPI, OURS = "Flask + pydantic by hand, gunicorn", "FastAPI, uvicorn", "pymacaron"
TOUCHED, QUIET = "pymacaron, Flask's contexts touched", "pymacaron, no request logged"
FLOOR, GUNICORN_FLOOR = "floor: constant bytes, pymacaron-serve", "floor: constant bytes, gunicorn"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A command, in a folder; {port} is filled in. Nothing is logged, except by ours."""

    name: str
    command: Sequence[str]
    folder: Path = HERE / "rivals"
    environ: Mapping[str, str] = field(default_factory=dict)


def servers(workers: int = 1) -> list[Server]:
    """All of them, with so many worker processes each."""
    count = ("--workers", str(workers))
    gunicorn = ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", *count, "--log-level")
    uvicorn = (
        "-m",
        "uvicorn",
        "--port",
        "{port}",
        *count,
        "--log-level",
        "error",
        "--no-access-log",
    )
    fast = ("--loop", "uvloop", "--http", "httptools")
    ours = ("-m", "pymacaron.serve", "--bind", "127.0.0.1:{port}")
    threads = ("--worker-class", "gthread", "--threads", "4", "--keep-alive", "60")
    own = {"PYM_GUNICORN_WORKERS_COUNT": str(workers), "PYM_LOG_FORMAT": "json"}
    service = HERE / "service"
    return [
        Server(name=HAND, command=(*gunicorn, "error", "by_hand:app")),
        Server(name=f"{HAND} gthread", command=(*gunicorn, "error", *threads, "by_hand:app")),
        Server(
            name="flask-openapi3, gunicorn", command=(*gunicorn, "error", "by_flask_openapi3:app")
        ),
        Server(name="connexion, uvicorn", command=(*uvicorn, *fast, "by_connexion:app")),
        Server(name=FASTAPI, command=(*uvicorn, *fast, "by_fastapi:app")),
        Server(name="Litestar, uvicorn", command=(*uvicorn, *fast, "by_litestar:app")),
        Server(name=OURS, command=ours, folder=service, environ=own),
        Server(name=QUIET, command=ours, folder=service, environ={**own, "BENCH_QUIET": "1"}),
        Server(name=TOUCHED, command=ours, folder=service, environ={**own, "BENCH_TOUCH": "1"}),
        Server(
            name=f"{OURS} on gunicorn",
            command=(*gunicorn[:-1], "--config", "python:pymacaron.gunicorn", "server:app"),
            folder=service,
            environ=own,
        ),
        Server(
            name=FLOOR,
            command=(*ours, "floor:app"),
            environ={**own, "PYTHONPATH": str(HERE / "rivals")},
            folder=service,
        ),
        Server(name=GUNICORN_FLOOR, command=(*gunicorn, "error", "floor:app")),
    ]


class Running:
    """A started server, pinned to one core."""

    def __init__(self, server: Server, python: Path, core: int, log: Path) -> None:
        self.server = server
        self.port = free_port()
        environ = {"PATH": os.environ["PATH"], "PORT": str(self.port), **server.environ}
        words = [word.format(port=self.port) for word in server.command]
        started = time.perf_counter()
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(core), str(python), *words],
                cwd=server.folder,
                env=environ,
                stdout=out,
                stderr=out,
            )
        while not self._answers():
            if self._process.poll() is not None:
                raise RuntimeError(f"{server.name} ended:\n{log.read_text()[-2000:]}")
            if time.perf_counter() - started > 60:
                raise TimeoutError(f"{server.name} does not answer")
            time.sleep(0.002)
        self.startup = time.perf_counter() - started

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self._ask("GET", "/ping", "", {})[0] == 200
        return False

    def _ask(
        self, method: str, path: str, body: str, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        ) as connection:
            connection.request(method, path, body=body or None, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()

    def check(self, case: Case) -> None:
        """Raises RuntimeError for a wrong answer: a comparison of errors would be worth nothing."""
        if self.server.name in (FLOOR, GUNICORN_FLOOR):
            return
        status, body = self._ask(case.method, case.path, case.body, case.headers)
        if status != 200 or json.loads(body) != case.expected:
            raise RuntimeError(f"{self.server.name} answers {case.name} with {status}: {body!r}")

    def cpu_seconds(self) -> float:
        """Of all its processes, those included that have ended."""
        return sum(sum(map(int, fields[11:15])) / TICK for fields in self._processes().values())

    def memory(self) -> float:
        """MiB of all its processes, pages that they share counted once."""
        total = 0
        for pid in self._processes():
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total / 1024

    def _processes(self) -> dict[int, list[str]]:
        stats: dict[int, list[str]] = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                stats[int(entry.parent.name)] = entry.read_text().rpartition(")")[2].split()
        found = {self._process.pid: stats[self._process.pid]}
        before = 0
        while len(found) != before:
            before = len(found)
            found |= {pid: fields for pid, fields in stats.items() if int(fields[1]) in found}
        return found

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def running(
    chosen: Sequence[Server], python: Path, core: int, folder: Path
) -> Iterator[dict[str, Running]]:
    with contextlib.ExitStack() as stack:
        found = {}
        for number, server in enumerate(chosen):
            found[server.name] = Running(server, python, core, folder / f"log-{number}")
            stack.callback(found[server.name].stop)
        yield found


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
