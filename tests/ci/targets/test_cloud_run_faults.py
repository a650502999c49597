"""A fault at calls all along a deployment: live never fails, a repeated run converges."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pymacaron_ci.simulator.faults import Fault, Kind
from tests.ci.targets.cloud_run_world import World, prober, release, world

# A deployment makes about sixty calls. Each fault starts at another one, so that together they hit
# most of them; `acted`: the server did what it was asked to, and nobody was told.
EVERY = 17


class Killed(BaseException):
    """What a process that gets SIGKILL would be, if it could tell."""


class Mortal(requests.Session):
    """The process ends at its n-th call, before or after the server acted. Nothing is undone."""

    def __init__(self, calls: int, *, acted: bool) -> None:
        super().__init__()
        self._left = calls
        self._acted = acted

    def request(self, *args: Any, **options: Any) -> requests.Response:
        self._left -= 1
        if self._left < 0 or (self._left == 0 and not self._acted):
            raise Killed
        answer = super().request(*args, **options)
        if self._left == 0:
            raise Killed
        return answer


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        assert made.deploy(release("0")).status == "deployed"
        yield made


def converges(cloud: World, number: int) -> None:
    """The next run of the same release ends well, and leaves nothing of the last one."""
    report = cloud.deploy(release(f"{number}"))
    assert report.exit_code == 0, report.problems
    assert cloud.answers() == cloud.answers("hello-staging") == release(f"{number}").id
    for service in ("hello-live", "hello-staging"):
        assert cloud.tags(service) == set()
        assert "pymacaron-ci/candidate" not in cloud.service(service)["annotations"]
        assert list(cloud.traffic(service).values()) == [100]


@pytest.mark.parametrize(
    ("kind", "acted", "first"),
    [
        ("401", False, 2),
        ("403", False, 4),
        ("404", False, 6),
        ("409", False, 8),
        ("429", False, 10),
        ("500", True, 12),
        ("503", False, 13),
        ("reset", False, 14),
        ("reset", True, 15),
        ("slow", False, 16),
        ("truncated", False, 17),
    ],
)
def test_a_fault_anywhere_costs_no_request_and_the_next_run_converges(
    cloud: World, kind: Kind, acted: bool, first: int
) -> None:
    number, at = 1, first
    with prober(cloud.service()["uri"]) as failures:
        while True:
            serving = cloud.answers()
            cloud.fail(Fault(kind=kind, at=at, acted=acted, retry_after=2))
            report = cloud.deploy(release(f"{number}"))
            missed = bool(cloud.simulation.google.api.faults.left)
            cloud.simulation.google.api.faults.clear()

            done = report.status == "deployed"
            assert done or report.exit_code != 0
            assert cloud.answers() == (release(f"{number}").id if done else serving), report
            assert report.status != "undo-failed", report.problems
            converges(cloud, number)
            if missed:
                break
            number, at = number + 1, at + EVERY
    assert failures == []
    assert number > 2


def test_a_broken_container_is_tried_once_even_if_the_answer_was_lost(cloud: World) -> None:
    for number, path in ((1, "hello-staging$"), (2, ":wait$")):
        cloud.fail(Fault(kind="reset", acted=True, method="PATCH", path="hello-staging$"))
        cloud.fail(Fault(kind="404", times=2, path=path if number == 2 else "never"))
        report = cloud.deploy(release(f"{number}", BROKEN="exits"))
        cloud.simulation.google.api.faults.clear()
        assert report.status == "undone", report
        assert "is not ready" in report.problems[0].text or "startup" in report.problems[0].text
        assert len(cloud.revisions("hello-staging")) == 1 + number
        assert cloud.answers("hello-staging") == release("0").id


@pytest.mark.parametrize(("acted", "first"), [(False, 3), (True, 9)])
def test_a_killed_run_is_finished_by_the_next(cloud: World, acted: bool, first: int) -> None:
    number, at = 1, first
    with prober(cloud.service()["uri"]) as failures:
        while True:
            cloud.make_http = functools.partial(Mortal, at, acted=acted)
            try:
                cloud.deploy(release(f"{number}"))
                killed = False
            except Killed:
                killed = True
            cloud.make_http = requests.Session
            converges(cloud, number)
            if not killed:
                break
            number, at = number + 1, at + EVERY
    assert failures == []
    assert number > 2


@pytest.mark.parametrize("at", [10, 25, 40])
def test_a_first_deployment_that_was_killed_is_finished_by_the_next(
    tmp_path: Path, at: int
) -> None:
    with world(tmp_path) as cloud:
        cloud.make_http = lambda: Mortal(at, acted=True)
        with pytest.raises(Killed):
            cloud.deploy(release("1"))
        cloud.make_http = requests.Session
        converges(cloud, 1)
