"""Which looks end the wait for a rollout, and which must not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import pytest

from pymacaron_ci.errors import DeployError
from pymacaron_ci.targets.gke.watch import Watch
from tests.ci.image_parts import Hurried

Body = dict[str, Any]
CHANGED, OBSERVED = 1, 2  # the change made the Deployment's generation 2


def look(observed: int, *, given_up: str = "", ready: int = 0) -> Body:
    reason = "ProgressDeadlineExceeded" if given_up else "ReplicaSetUpdated"
    condition = {"type": "Progressing", "reason": reason, "lastUpdateTime": given_up}
    status = {"updatedReplicas": 2, "replicas": 2, "availableReplicas": ready}
    return {
        "metadata": {"generation": 2},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": observed, "conditions": [condition], **status},
    }


class Site:
    """Shows one Deployment after the other, the last one for ever."""

    namespace = "hello"
    deployment_path = ""
    wanted = SimpleNamespace(progress_seconds=60, name="hello")

    def __init__(self, looks: Sequence[Body]) -> None:
        self._looks: Iterator[Body] = chain(looks, repeat(looks[-1]))
        self.kube = SimpleNamespace(clock=Hurried(), find=lambda _: next(self._looks))

    def pods(self, _release: str) -> list[Body]:
        return []

    def warnings(self, _about: Sequence[str]) -> list[Body]:
        return []


DONE = look(OBSERVED, ready=2)
LATE = look(OBSERVED, given_up="12:01")


@pytest.mark.parametrize(
    "looks",
    [
        [look(CHANGED, given_up="12:00"), look(OBSERVED, given_up="12:00"), DONE],
        [look(CHANGED), look(CHANGED, given_up="12:01"), LATE, LATE, DONE],
        [look(CHANGED), LATE, LATE, DONE],
    ],
    ids=["known before the change", "written before a look", "written between two looks"],
)
def test_a_former_rollouts_end_does_not_end_the_next_one(looks: Sequence[Body]) -> None:
    site: Any = Site(looks)
    assert "2 of 2 pods are available" in Watch().rollout(site, "r1", patient=True)


@pytest.mark.parametrize(
    "looks",
    [
        [look(CHANGED), look(OBSERVED), LATE],
        [look(CHANGED, given_up="12:00"), look(OBSERVED, given_up="12:00"), LATE],
    ],
    ids=["the first", "after another one's"],
)
def test_a_rollouts_own_end_is_told(looks: Sequence[Body]) -> None:
    site: Any = Site(looks)
    with pytest.raises(DeployError, match="no progress in time"):
        Watch().rollout(site, "r1", patient=True)
