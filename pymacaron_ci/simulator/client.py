"""Starts, finds and ends the simulator's own process: what the command line needs of it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymacaron_ci.errors import Failure, OutOfTime
from pymacaron_ci.simulator.endpoints import Endpoints
from pymacaron_ci.simulator.files import make_folder, read_json
from pymacaron_ci.simulator.record import RECORD, code, take_lock
from pymacaron_ci.waiting import Clock, Pending, Ready, SystemClock, wait_for

# What of the caller's environment a simulator may see: what an installer and a Docker client need,
# no secrets.
PASSED_ON = re.compile(
    r"PATH|HOME|TMPDIR|LANG|LC_ALL|XDG_.*|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE"
    r"|(?i:\w+_proxy)|PIP_.*|UV_.*|DOCKER_(HOST|TLS_VERIFY|CERT_PATH|CONTEXT|CONFIG)"
)
# What `reset` keeps: packages that took long to install, and the files that say who runs.
KEPT = ("environments",)
LOG = "daemon.log"


@dataclass(frozen=True, kw_only=True)
class SimulatedService:
    """A service of a simulated cloud; `revision` is what serves, None while nothing does."""

    name: str
    url: str
    revision: str | None
    instances: int


@dataclass(frozen=True, kw_only=True)
class SimulatorStatus:
    """A running simulator."""

    pid: int
    endpoints: Endpoints
    services: tuple[SimulatedService, ...]


def start(
    state: Path,
    *,
    engine: bool,
    clouds: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    timeout: float = 60,
) -> Endpoints:
    """Where the simulator of a state folder answers; it is started if it does not run, and stays
    after us.

    `clouds` names those wanted besides Google's. Raises `Failure` for a folder that can't be
    written, and for a simulator that doesn't come up.
    """
    clock = clock or SystemClock()
    environ = os.environ if environ is None else environ
    make_folder(state)
    ignore = state / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")  # the state of a simulation is never part of a commit
    with _one_at_a_time(state):
        running = _running(state)
        endpoints = _endpoints(running) if running else None
        hangs = running is None and not _is_free(state)
        if hangs or (running and endpoints and not _fits(running, endpoints, engine)):
            stop(state, clock=clock)
            endpoints = None
        endpoints = endpoints or _launch(state, engine, environ, clock, timeout)
        for name in clouds:
            if name not in endpoints.others:
                record = read_json(state / RECORD)
                endpoints = _endpoints(_ask(record, f"/clouds/{name}", method="POST"))
        return endpoints


def _fits(running: Mapping[str, Any], endpoints: Endpoints, engine: bool) -> bool:
    """Whether it runs instances in the wanted way, and is of this very version of the tool."""
    return (endpoints.instances == "container") == engine and running["code"] == code()


def _launch(
    state: Path, engine: bool, environ: Mapping[str, str], clock: Clock, timeout: float
) -> Endpoints:
    log = state / LOG
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                *("-m", "pymacaron_ci.simulator", "--state", str(state.resolve())),
                *(["--engine"] if engine else []),
            ],
            cwd=state,
            env={k: v for k, v in environ.items() if PASSED_ON.fullmatch(k)} | _import_path(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def answers() -> Ready[Endpoints] | Pending:
        running = _running(state)
        if running is not None:
            return Ready(_endpoints(running))
        if process.poll():  # 0: another simulator has the folder, and will answer soon
            lines = log.read_text(errors="replace").splitlines() or ["it said nothing"]
            raise Failure(
                f"the simulator ended when it should have started: {lines[-1]}",
                hint=f"its output is in {log}",
                details=lines[-20:],
            )
        return Pending()

    try:
        return wait_for(
            "starting the simulator", answers, timeout=timeout, clock=clock, first=0.05, most=0.2
        )
    except OutOfTime:
        process.kill()
        raise


def _import_path() -> dict[str, str]:
    """The child finds this very package, however its parent found it."""
    import pymacaron_ci

    return {"PYTHONPATH": str(Path(pymacaron_ci.__file__).parent.parent)}


def status(state: Path) -> SimulatorStatus | None:
    """None when no simulator runs on this folder."""
    running = _running(state)
    if running is None:
        return None
    return SimulatorStatus(
        pid=running["pid"],
        endpoints=_endpoints(running),
        services=tuple(SimulatedService(**service) for service in running["services"]),
    )


def stop(state: Path, *, clock: Clock | None = None, timeout: float = 30) -> bool:
    """Ends the simulator and its instances; its state stays. False when none ran."""
    record = read_json(state / RECORD)
    if _is_free(state):
        (state / RECORD).unlink(missing_ok=True)
        return False
    with contextlib.suppress(OSError):
        _ask(record, "/stop", method="POST")

    def ended() -> Ready[None] | Pending:
        return Ready(None) if _is_free(state) else Pending()

    try:
        wait_for("stopping the simulator", ended, timeout=timeout, clock=clock or SystemClock())
    except OutOfTime:
        if not isinstance(record, dict):
            raise
        # it holds the lock, so the number is still its own
        os.kill(int(record["pid"]), signal.SIGKILL)
        wait_for("ending the simulator", ended, timeout=5, clock=clock or SystemClock())
    (state / RECORD).unlink(missing_ok=True)
    return True


def reset(state: Path) -> None:
    """Ends the simulator and forgets all that its clouds held. Installed packages are kept."""
    if not state.exists():
        return
    stop(state)
    for path in state.iterdir():
        if path.name in KEPT or path.name.endswith(".lock"):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def order_faults(state: Path, faults: Sequence[Mapping[str, object]]) -> None:
    """Makes coming calls of Google's APIs fail: the fields of `faults.Fault`. For tests."""
    _ask(read_json(state / RECORD), "/faults", method="POST", body=json.dumps(faults).encode())


@contextlib.contextmanager
def _one_at_a_time(state: Path) -> Iterator[None]:
    with (state / "start.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_free(state: Path) -> bool:
    if not state.exists():
        return True
    lock = take_lock(state)
    if lock is None:
        return False
    lock.close()
    return True


def _running(state: Path) -> dict[str, Any] | None:
    """What a living simulator says of itself. A record whose process is gone, or hangs, is none."""
    record = read_json(state / RECORD)
    if not isinstance(record, dict):
        return None
    try:
        found = {"pid": record["pid"], **_ask(record, "/status")}
    except (OSError, KeyError, ValueError):
        return None
    # a folder that was copied has the record of another's simulator
    return found if found.get("state") == str(state.resolve()) else None


def _ask(
    record: Any, path: str, *, method: str = "GET", body: bytes | None = None
) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise OSError("no simulator is on record")
    request = urllib.request.Request(  # noqa: S310 - a loopback URL of our own record
        f"{record['control']}{path}",
        method=method,
        data=body,
        headers={"Authorization": f"Bearer {record['token']}"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _endpoints(data: Mapping[str, Any]) -> Endpoints:
    return Endpoints(**data["endpoints"])
