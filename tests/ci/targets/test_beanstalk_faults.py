"""Calls that fail and answers that are lost where it matters most: live goes on all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymacaron_ci.simulator.beanstalk.server import AwsFault
from tests.ci.simulator.beanstalk_world import beanstalk
from tests.ci.targets.beanstalk_deploys import LIVE, Deploys, release
from tests.matrix.prober import Prober

OLD, NEW = (f"hello-{release(n).id}" for n in (1, 2))


def converged(deploys: Deploys) -> None:
    """The new release is live, the former one is kept, and there is nothing else."""
    assert deploys.live == release(2).id
    environments = deploys.environments()
    assert set(environments) == {OLD, NEW}
    assert environments[NEW] == LIVE
    live = deploys.target().live()
    assert live.proven


@pytest.mark.parametrize(
    ("operation", "kind", "acted"),
    [
        ("CreateEnvironment", "throttled", False),
        ("CreateEnvironment", "reset", False),
        ("CreateEnvironment", "reset", True),
        ("CreateEnvironment", "500", True),
        ("CreateEnvironment", "truncated", False),
        ("SwapEnvironmentCNAMEs", "throttled", False),
        ("SwapEnvironmentCNAMEs", "503", True),
        ("SwapEnvironmentCNAMEs", "reset", False),
        ("SwapEnvironmentCNAMEs", "reset", True),
        ("SwapEnvironmentCNAMEs", "timeout", True),
        ("CreateApplicationVersion", "reset", True),
        ("PutObject", "500", True),
        ("UpdateTagsForResource", "truncated", False),
        ("HeadBucket", "throttled", False),
        ("DescribeEnvironmentHealth", "timeout", False),
    ],
)
def test_a_call_that_fails_once_is_got_over(
    tmp_path: Path, operation: str, kind: str, acted: bool
) -> None:
    with beanstalk(tmp_path / "simulator") as (server, _):
        deploys = Deploys(server, tmp_path / "service")
        deploys.deploy(release(1))
        with Prober.at(deploys.live_url) as prober:
            fault = AwsFault(kind=kind, operation=operation, acted=acted, seconds=1.2)  # type: ignore[arg-type]
            server.add_faults(fault)
            report = deploys.deploy(release(2))
        assert (report.status, report.exit_code) == ("deployed", 0), report.problems
        converged(deploys)
        assert prober.failures == []


@pytest.mark.parametrize(
    ("operation", "kind", "acted"),
    [
        ("CreateEnvironment", "500", True),
        ("CreateEnvironment", "denied", False),
        ("SwapEnvironmentCNAMEs", "denied", False),
        ("SwapEnvironmentCNAMEs", "reset", True),
        ("UpdateTagsForResource", "500", False),
        ("DescribeEnvironmentHealth", "denied", False),
    ],
)
def test_a_call_that_goes_on_failing_leaves_live_alone_and_a_re_run_converges(
    tmp_path: Path, operation: str, kind: str, acted: bool
) -> None:
    with beanstalk(tmp_path / "simulator") as (server, _):
        deploys = Deploys(server, tmp_path / "service")
        deploys.deploy(release(1))
        with Prober.at(deploys.live_url) as prober:
            fault = AwsFault(kind=kind, operation=operation, acted=acted, times=9)  # type: ignore[arg-type]
            server.add_faults(fault)
            failed = deploys.deploy(release(2), attempts=2)
            server.clear_faults()
            report = deploys.deploy(release(2))
        assert failed.exit_code in (0, 5, 7, 70), failed.problems
        assert (report.exit_code) == 0, report.problems
        converged(deploys)
        assert prober.failures == []
