"""A container that does not start, and answers about it that are lost."""

from __future__ import annotations

from pathlib import Path

from pymacaron_ci.simulator.faults import Fault
from tests.ci.targets.cloud_run_world import release, world


def test_a_broken_container_is_tried_once_even_if_the_answer_was_lost(tmp_path: Path) -> None:
    with world(tmp_path) as cloud:
        cloud.deploy(release("0"))
        for number, path in ((1, "hello-staging$"), (2, ":wait$")):
            cloud.fail(Fault(kind="reset", acted=True, method="PATCH", path="hello-staging$"))
            cloud.fail(Fault(kind="404", times=2, path=path if number == 2 else "never"))
            report = cloud.deploy(release(f"{number}", BROKEN="exits"))
            cloud.simulation.google.api.faults.clear()
            assert report.status == "undone", report
            assert "is not ready" in report.problems[0].text or "startup" in report.problems[0].text
            assert len(cloud.revisions("hello-staging")) == 1 + number
            assert cloud.answers("hello-staging") == release("0").id
