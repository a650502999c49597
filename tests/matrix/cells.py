"""One wound after the other: what must hold after each, whatever the cloud is."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from pymacaron_ci.model import Report
from pymacaron_ci.simulator.web import Reset
from tests.matrix.prober import Prober

SIGNALS = ("SIGKILL", "SIGINT", "SIGTERM")
OnCall = Callable[[str, bool], None]
Child = tuple[Callable[..., int], Sequence[Any]]


@dataclass(frozen=True)
class Wound:
    """What happens at a call. `acted`: after the server did what it was asked to; `operation`: only
    such calls count, as the bed names them."""

    kind: str
    acted: bool = False
    operation: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.kind, "after" * self.acted, self.operation)))


class Bed(Protocol):
    """A simulated cloud and a service on it, whose releases are numbers."""

    def deploy(self, number: int) -> Report: ...

    def child(self, number: int) -> Child:
        """The same as a function for a process of its own, which gives the exit code."""

    def order(self, wound: Wound, at: int) -> None:
        """A fault for the `at`th call from now on."""

    def unused(self) -> bool:
        """Whether a fault was never met; forgets it."""

    def watch(self, on_call: OnCall) -> None:
        """`on_call` is told of each call's operation before and after it is served."""

    def url(self) -> str | None:
        """Where the live service answers to its users."""

    def serving(self) -> int | None:
        """The release that answers there."""

    def leftovers(self, number: int) -> list[str]:
        """What is different from what a clean deployment of the release leaves behind."""


@dataclass
class _Trap:
    """Sends a signal to a process when it makes its `at`th call."""

    wound: Wound
    at: int
    process: BaseProcess

    def __call__(self, operation: str, served: bool) -> None:
        if served != self.wound.acted or not re.search(self.wound.operation, operation):
            return
        self.at -= 1
        if self.at == 0 and self.process.pid:
            os.kill(self.process.pid, signal.Signals[self.wound.kind])
            if self.wound.kind == "SIGKILL" and not served:
                self.process.join()
                raise Reset  # a dead process has sent nothing


def wounded(bed: Bed, wound: Wound, number: int, at: int) -> tuple[int, bool]:
    """The exit code of a deployment that is hurt at its `at`th call, and whether it was."""
    if wound.kind not in SIGNALS:
        bed.order(wound, at)
        code = bed.deploy(number).exit_code
        return code, not bed.unused()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["tests.matrix.beanstalk", "tests.matrix.cloud_run", "tests.matrix.gke"]
    )
    run, arguments = bed.child(number)
    process = context.Process(target=_ends, args=(run, *arguments))
    trap = _Trap(wound, at, process)
    bed.watch(trap)
    process.start()
    process.join(120)
    bed.watch(lambda *_: None)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"{wound} at call {at}: the deployment does not end")
    return process.exitcode or 0, trap.at <= 0


def _ends(run: Callable[..., int], *arguments: Any) -> None:
    sys.exit(run(*arguments))


def beside_live(bed: Bed, wound: Wound, *, start: int = 1, every: int = 1) -> Iterator[str]:
    """Deployments beside a live release, each hurt at a later call: what went wrong."""
    number, at, hurt = 1, start, True
    if bed.deploy(0).exit_code:
        yield "the first deployment failed"
        return
    with Prober(bed.url) as prober:
        while hurt:
            before = bed.serving()
            code, hurt = wounded(bed, wound, number, at)
            for trouble in (*_after(bed, wound, code, before, number), *_again(bed, number)):
                yield f"{wound} at call {at}: {trouble}"
            if prober.failures:
                yield f"{wound} at call {at}: live failed: {prober.failures[:3]}"
                prober.failures.clear()
            number, at = number + 1, at + every
    if not prober.answers:
        yield f"{wound}: nobody asked"


def from_nothing(
    make: Callable[[], AbstractContextManager[Bed]], wound: Wound, *, start: int = 1, every: int = 1
) -> Iterator[str]:
    """First deployments, each hurt at a later call."""
    at, hurt = start, True
    while hurt:
        with make() as bed:
            with Prober(bed.url, served=False) as prober:
                code, hurt = wounded(bed, wound, 1, at)
                troubles = _after(bed, wound, code, None, 1)
                undone = code != 0 and wound.kind != "SIGKILL"
                failures = [] if undone else list(prober.failures)
                if not undone:
                    troubles += _again(bed, 1)
                    failures = prober.failures
            if undone:  # whoever asked meanwhile asked an unproven release
                with Prober(bed.url, served=False) as prober:
                    troubles += _again(bed, 1)
                failures = prober.failures
            if failures or not prober.answers:
                troubles.append(f"live failed: {failures[:3] or 'nobody asked'}")
        for trouble in troubles:
            yield f"{wound} at call {at}: {trouble}"
        at += every


def _after(bed: Bed, wound: Wound, code: int, before: int | None, number: int) -> list[str]:
    """What is wrong right after the wound."""
    if wound.kind == "SIGKILL":
        return []
    told = {0, 128 + signal.Signals[wound.kind]} if wound.kind in SIGNALS else {0, 5, 6, 70}
    troubles = [] if code in told else [f"exit code {code}"]
    serving = bed.serving()
    if serving not in ({number} if code == 0 else {before, number}):
        troubles.append(f"{serving} is live, not {before}")
    if wound.kind in SIGNALS and serving is not None and serving == before:
        troubles += bed.leftovers(serving)  # all of it is undone
    return troubles


def _again(bed: Bed, number: int) -> list[str]:
    """What is wrong after the next run of the same release."""
    report = bed.deploy(number)
    if report.exit_code:
        return [f"the next run failed: {report.exit_code} {[str(p) for p in report.problems]}"]
    serving = bed.serving()
    troubles = [] if serving == number else [f"{serving} is live after the next run"]
    return troubles + bed.leftovers(number)
