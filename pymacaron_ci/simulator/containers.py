"""Runs images as containers of a Docker engine; those without a base fall to processes."""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker
import docker.errors
from requests.exceptions import RequestException

from pymacaron_ci.simulator.images import Images, StoredImage
from pymacaron_ci.simulator.instances import (
    NO_LIMITS,
    ImageNotFound,
    ImageUnusable,
    Instance,
    InstanceError,
    Limits,
    LogLine,
)
from pymacaron_ci.simulator.logfile import LogFile
from pymacaron_ci.simulator.processes import ProcessRunner, bound_to_loopback, free_port

LABEL = "pymacaron.simulator"
CONNECTIONS = 200  # each container's log holds one
ENGINE_TIMEOUT = 120


class ContainerInstance:
    """One container; a thread follows its output and then waits for its exit status."""

    def __init__(self, name: str, url: str, container: Any, log: LogFile, memory: int | None):
        self._name, self._url = name, url
        self._container, self._log, self._memory = container, log, memory
        self._status: int | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._follow, daemon=True, name=f"log-{name}").start()

    @property
    def name(self) -> str:
        return self._name

    @property
    def url(self) -> str:
        return self._url

    def _follow(self) -> None:
        status = -1
        try:
            for line in _lines(self._container.logs(stream=True, follow=True)):
                self._log.add(line)
            status = int(self._container.wait()["StatusCode"])
            self._container.reload()
            if self._container.attrs["State"].get("OOMKilled") and self._memory:
                self._log.add(
                    f"Memory limit of {self._memory // 2**20} MiB exceeded. Consider increasing "
                    "the memory limit, see https://cloud.google.com/run/docs/configuring/memory-limits"
                )
        except (docker.errors.DockerException, RequestException) as error:
            if not self._ended.is_set():
                self._log.add(f"the Docker engine lost the container: {error}")
        finally:
            self._status = status
            self._ended.set()

    def exit_status(self) -> int | None:
        return self._status

    def logs(self, tail: int = 100) -> Sequence[LogLine]:
        return self._log.tail(tail)

    def stop(self, grace: float = 10.0) -> None:
        # whatever the engine says, the next simulator's clean() finds what is left
        with contextlib.suppress(docker.errors.DockerException, RequestException):
            self._container.stop(timeout=math.ceil(grace))
        self._ended.wait(grace + 5)
        with contextlib.suppress(docker.errors.DockerException, RequestException):
            self._container.remove(force=True)


class EngineRunner:
    """`environ` says where the engine is: DOCKER_HOST and its like."""

    kind = "container"

    def __init__(self, folder: Path, images: Images, environ: Mapping[str, str]) -> None:
        self._processes = ProcessRunner(folder, images, environ)
        self._folder, self._images = folder.resolve(), images
        self._numbers = itertools.count(1)
        self._instances: list[ContainerInstance] = []
        try:
            self._client = docker.from_env(
                environment=dict(environ), timeout=ENGINE_TIMEOUT, max_pool_size=CONNECTIONS
            )
            # an engine without a bridge (no netfilter) can only lend the host's own network
            self._bridged = bool(self._client.networks.list(names=["bridge"]))
        except (docker.errors.DockerException, RequestException) as error:
            raise InstanceError(f"no Docker engine answers: {error}") from error

    def start(
        self,
        image: str,
        environment: Mapping[str, str],
        *,
        name: str,
        limits: Limits = NO_LIMITS,
        command: Sequence[str] = (),
    ) -> Instance:
        found = self._images.find(image)
        if not found.has_base:
            return self._processes.start(
                image, environment, name=name, limits=limits, command=command
            )
        log = LogFile(self._folder / "logs" / f"{name}.log")
        try:
            container, port = self._started(found, environment, name, limits, tuple(command))
        except docker.errors.NotFound as error:
            raise ImageNotFound(f"Image '{image}' not found.") from error
        except docker.errors.APIError as error:
            raise ImageUnusable(str(error.explanation)) from error
        except (docker.errors.DockerException, RequestException) as error:
            raise InstanceError(f"the Docker engine does not answer: {error}") from error
        url = f"http://127.0.0.1:{port}"
        instance = ContainerInstance(name, url, container, log, limits.memory)
        self._instances = [i for i in self._instances if i.exit_status() is None] + [instance]
        return instance

    def _started(
        self,
        image: StoredImage,
        environment: Mapping[str, str],
        name: str,
        limits: Limits,
        command: tuple[str, ...],
    ) -> tuple[Any, int]:
        """A container that was started, and the port of this machine that leads to it."""
        container, port = self._create(image, environment, name, limits, command)
        try:
            container.start()
        except docker.errors.APIError as error:
            container.remove(force=True)
            if not self._bridged or "network" not in str(error.explanation):
                raise
            self._bridged = False  # a bridge that is listed may still not work
            return self._started(image, environment, name, limits, command)
        container.reload()
        if self._bridged:
            published = container.attrs["NetworkSettings"]["Ports"].get(f"{limits.port}/tcp")
            # one that ended at once has no port any more
            port = int(published[0]["HostPort"]) if published else 0
        return container, port

    def _create(
        self,
        image: StoredImage,
        environment: Mapping[str, str],
        name: str,
        limits: Limits,
        command: tuple[str, ...],
    ) -> tuple[Any, int]:
        local = f"{self._images.host}/{image.repository}"
        self._client.api.pull(local, tag=image.digest)
        options: dict[str, Any] = {
            "image": f"{local}@{image.digest}",
            "labels": {LABEL: str(self._folder), f"{LABEL}.name": name},
            "environment": {**environment, "PORT": str(limits.port)},
            "mem_limit": limits.memory,
            "memswap_limit": limits.memory,
            "read_only": limits.read_only,
            "tmpfs": dict.fromkeys(limits.writable, "exec,mode=1777"),
            "detach": True,
        }
        if command:
            options |= {"entrypoint": [command[0]], "command": list(command[1:])}
        if self._bridged:
            options["ports"] = {f"{limits.port}/tcp": ("127.0.0.1", None)}
            return self._client.containers.create(**options), 0
        port = free_port()
        words = bound_to_loopback(command or image.command, port)
        options |= {"entrypoint": words[:1], "command": words[1:], "network_mode": "host"}
        options["environment"] = {**environment, "PORT": str(port)}
        return self._client.containers.create(**options), port

    def logs(self, name: str, tail: int = 100) -> Sequence[LogLine]:
        return self._processes.logs(name, tail)

    def clean(self) -> None:
        self._processes.clean()
        try:
            left = self._client.containers.list(
                all=True, filters={"label": f"{LABEL}={self._folder}"}
            )
        except (docker.errors.DockerException, RequestException) as error:
            raise InstanceError(f"the Docker engine does not answer: {error}") from error
        for container in left:
            with contextlib.suppress(docker.errors.DockerException, RequestException):
                container.remove(force=True)

    def close(self) -> None:
        threads = [threading.Thread(target=i.stop) for i in self._instances]
        for thread in threads:
            thread.start()
        self._processes.close()
        for thread in threads:
            thread.join()
        self._client.close()


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line.decode("utf-8", "replace").rstrip("\r") for line in whole)
    if rest:
        yield rest.decode("utf-8", "replace")
