"""The simulator as a process of its own, which outlives the run that started it.

Its state folder tells who runs (`daemon.json`) and is held with a lock that dies with its holder.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pymacaron_ci.errors import BuildError, Failure
from pymacaron_ci.simulator.clouds import CLOUDS
from pymacaron_ci.simulator.faults import Fault
from pymacaron_ci.simulator.files import make_folder, write_json
from pymacaron_ci.simulator.instances import InstanceError
from pymacaron_ci.simulator.record import RECORD, code, take_lock
from pymacaron_ci.simulator.simulation import MakeRunner, Simulation
from pymacaron_ci.simulator.web import Request, Response, Server, json_response


class Daemon:
    """Serves a simulation until it is told to stop. The control port wants the token of
    `daemon.json`.
    """

    def __init__(self, state: Path, simulation: Simulation) -> None:
        self._state, self._simulation = state, simulation
        self._token = secrets.token_urlsafe(24)
        self._code = code()
        self._ended = threading.Event()

    def run(self) -> None:
        """Until a signal or the control port ends it."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._ended.set())
        control = Server(self._control)
        record = {"pid": os.getpid(), "control": control.url, "token": self._token}
        write_json(self._state / RECORD, record)
        self._ended.wait()
        (self._state / RECORD).unlink(missing_ok=True)
        self._simulation.close()
        control.stop()

    def _control(self, request: Request) -> Response:
        # a web page in the user's browser can reach loopback too, but does not know the token
        if not secrets.compare_digest(request.bearer or "", self._token):
            return json_response({"error": "the token of daemon.json is needed"}, 403)
        body = request.body.read()
        if request.target == "/status":
            return json_response(self._status())
        if request.target == "/stop" and request.method == "POST":
            self._ended.set()
            return json_response({})
        kind, _, name = request.target[1:].partition("/")
        if kind == "clouds" and request.method == "POST" and name in CLOUDS:
            self._simulation.clouds.open(name)
            return json_response(self._status())
        if request.target == "/faults" and request.method == "POST":
            faults = [Fault(**fault) for fault in json.loads(body)]
            self._simulation.google.api.faults.add(*faults)
            return json_response({})
        return json_response({"error": "unknown"}, 404)

    def _status(self) -> dict[str, Any]:
        return {
            "state": str(self._state),
            "code": self._code,
            "endpoints": self._simulation.endpoints.as_json(),
            "services": self._simulation.services(),
        }


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pymacaron_ci.simulator", description="simulates the clouds on loopback"
    )
    parser.add_argument("--state", type=Path, required=True, help="the folder that holds all of it")
    parser.add_argument(
        "--engine", action="store_true", help="run instances as containers of the Docker engine"
    )
    options = parser.parse_args(arguments)
    state: Path = options.state.resolve()
    try:
        make_folder(state)
        lock = take_lock(state)
        if lock is None:
            return 0  # somebody was quicker: there is a simulator now, which is all that was wanted
        with lock:
            simulation = Simulation(state, environ=environ, make_runner=_runner(options.engine))
            Daemon(state, simulation).run()
    except InstanceError as error:
        sys.stderr.write(f"{error}\n")
        return BuildError.exit_code
    except Failure as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _runner(engine: bool) -> MakeRunner:
    if not engine:
        from pymacaron_ci.simulator.processes import ProcessRunner

        return ProcessRunner
    from pymacaron_ci.simulator.containers import EngineRunner

    return EngineRunner
