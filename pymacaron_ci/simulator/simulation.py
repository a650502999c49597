"""Puts the simulated clouds together: a registry, something that runs images, and the APIs in front
of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from pymacaron_ci.simulator.cloud_run.rollout import Timing
from pymacaron_ci.simulator.clouds import Clouds, Ground
from pymacaron_ci.simulator.endpoints import Endpoints
from pymacaron_ci.simulator.files import make_folder, read_json, write_json
from pymacaron_ci.simulator.google.cloud import GoogleCloud
from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import Runner
from pymacaron_ci.simulator.processes import ProcessRunner
from pymacaron_ci.simulator.registry import Registry
from pymacaron_ci.waiting import Clock, SystemClock

MakeRunner = Callable[[Path, Images, Mapping[str, str]], Runner]


class Simulation:
    """All of it in this process, for tests and the daemon. A context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        environ: Mapping[str, str],
        make_runner: MakeRunner = ProcessRunner,
        clock: Clock | None = None,
        timing: Timing | None = None,
        strict_tokens: bool = False,
    ) -> None:
        make_folder(folder)
        clock = clock or SystemClock()
        self.registry = Registry(folder / "registry")
        port = read_json(folder / "registry.json")
        self._registry_server = self.registry.serve(port if isinstance(port, int) else 0)
        write_json(folder / "registry.json", self._registry_server.port)
        self.images = Images(self.registry.store, f"127.0.0.1:{self._registry_server.port}")
        self.runner = make_runner(folder / "instances", self.images, environ)
        self.runner.clean()
        self.google = GoogleCloud(
            folder / "google",
            self.runner,
            self.images,
            clock=clock,
            timing=timing or Timing(),
            strict_tokens=strict_tokens,
        )
        ground = Ground(
            runner=self.runner,
            images=self.images,
            projects=self.google.projects,
            tokens=self.google.tokens,
            clock=clock,
        )
        self.clouds = Clouds(folder, ground)

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(
            run=self.google.url,
            registry=f"127.0.0.1:{self._registry_server.port}",
            instances=self.runner.kind,
            others=self.clouds.urls,
        )

    def services(self) -> list[dict[str, object]]:
        """What runs, for people."""
        return [*self.google.services(), *self.clouds.services()]

    def close(self) -> None:
        self.clouds.close()
        self.google.close()
        self.runner.close()
        self._registry_server.stop()

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
