"""A simulated world for each test; its calls and answers are judged when the test has ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ci.simulator import kubernetes_world
from tests.ci.simulator.world import World, world


@pytest.fixture
def google(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "state") as made:
        yield made
        made.judge()


@pytest.fixture
def kube(tmp_path: Path) -> Iterator[kubernetes_world.World]:
    with kubernetes_world.cluster(tmp_path / "state") as made:
        made.apply(kubernetes_world.namespace())
        yield made
        made.judge()
