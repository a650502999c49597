"""`pymacaron-ci simulator …`: what runs of the simulated clouds, and its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click


@click.group()
def simulator() -> None:
    """The clouds that `--simulate` uses: they run on until they are stopped.

    \b
    Examples:
      pymacaron-ci simulator status
      pymacaron-ci simulator stop
      pymacaron-ci simulator reset          forget everything that was deployed to them
    """


def _status_lines(client: Any, state: Path) -> Iterator[str]:
    running = client.status(state)
    if running is None:
        yield "no simulator runs here"
        return
    yield f"the simulator runs as process {running.pid}; instances: {running.endpoints.instances}"
    for service in running.services:
        serving = service.revision or "nothing serves"
        yield f"  {service.name}  {service.url}  {serving}, {service.instances} instances"
    if not running.services:
        yield "  nothing is deployed"


def _stop_lines(client: Any, state: Path) -> Iterator[str]:
    yield "stopped; its state stays" if client.stop(state) else "no simulator runs here"


def _reset_lines(client: Any, state: Path) -> Iterator[str]:
    client.reset(state)
    yield "stopped; everything that was deployed is forgotten"


_LINES = {"status": _status_lines, "stop": _stop_lines, "reset": _reset_lines}


def _simulator_command(name: str, summary: str) -> None:
    @simulator.command(name, help=summary)
    @click.option(
        "-C", "folder", metavar="DIR", type=click.Path(path_type=Path), default=Path(),
        help="The service's folder.",
    )  # fmt: skip
    @click.option("--simulator-state", type=click.Path(path_type=Path), metavar="DIR")
    def command(folder: Path, simulator_state: Path | None) -> int:
        from pymacaron_ci import parts
        from pymacaron_ci.simulator import client

        state = simulator_state or parts.simulator_state(folder)
        for line in _LINES[name](client, state):
            click.echo(line)
        return 0


_simulator_command("status", "Tell what runs and where it answers.")
_simulator_command("stop", "Stop the simulated clouds and their services; their state stays.")
_simulator_command("reset", "Stop them and forget everything that was deployed.")
