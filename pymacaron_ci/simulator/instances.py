"""The seam between a simulated cloud and what really runs: an image in, an instance that answers
out.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from pymacaron_ci.waiting import Clock


class InstanceError(Exception):
    """An instance can't be started; the text is for the log of the simulated cloud."""


class ImageNotFound(InstanceError):
    """The registry has no such image."""


class ImageUnusable(InstanceError):
    """The image is there, but can't be run here."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`port` is what the container is told in PORT; a process gets a free one instead. A container
    that is `read_only` can write to the folders `writable` alone; a process can't be kept from it.
    """

    port: int = 8080
    memory: int | None = None
    cpu: float | None = None
    read_only: bool = False
    writable: tuple[str, ...] = ()


NO_LIMITS = Limits()


@dataclass(frozen=True)
class LogLine:
    """`time` is RFC 3339, in UTC."""

    time: str
    text: str


class Instance(Protocol):
    """Something that was started and listens, or will, or did."""

    @property
    def name(self) -> str: ...

    @property
    def url(self) -> str:
        """Where it listens, once it does: `http://127.0.0.1:<port>`."""

    def exit_status(self) -> int | None:
        """None while it runs; the negative number of the signal that ended it."""

    def logs(self, tail: int = 100) -> Sequence[LogLine]:
        """Its last lines, also after its end."""

    def stop(self, grace: float = 10.0) -> None:
        """Asks it to end, and ends it after `grace` seconds. Ended already: nothing to do."""


class Runner(Protocol):
    """Starts instances, and ends those that a dead simulator left behind."""

    @property
    def kind(self) -> str:
        """What an instance is here, for people: "container" or "process"."""

    def start(
        self,
        image: str,
        environment: Mapping[str, str],
        *,
        name: str,
        limits: Limits = NO_LIMITS,
        command: Sequence[str] = (),
    ) -> Instance:
        """Raises `InstanceError`. Returns at once: whether it listens is for `listens` to say."""

    def logs(self, name: str, tail: int = 100) -> Sequence[LogLine]:
        """The last lines of all instances of this name, also of those that ended."""

    def clean(self) -> None:
        """Ends the instances of earlier simulators on the same state folder."""

    def close(self) -> None:
        """Ends all instances that this runner started."""


def alive(instance: Instance) -> bool:
    return instance.exit_status() is None


def listens(url: str, patience: float = 0.1) -> bool:
    """Whether something behind `url` takes connections.

    An engine's port proxy accepts at once and hangs up when the container does not listen: so the
    connection must also stay open for `patience` seconds.
    """
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), 1.0) as connection:
            connection.settimeout(patience)
            return bool(connection.recv(1))
    except TimeoutError:
        return True
    except OSError:
        return False


def wait_until_listening(
    instance: Instance,
    *,
    timeout: float,
    clock: Clock,
    probe: Callable[[str], bool] = listens,
    every: float = 0.05,
) -> bool:
    """Waits until it listens; False when it ended or `timeout` seconds passed first."""
    end = clock.now() + timeout
    while alive(instance):
        if probe(instance.url):
            return True
        if clock.now() >= end:
            return False
        clock.sleep(every)
    return False
