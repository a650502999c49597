"""The example service on a simulated Kubernetes Engine, through the command."""

from __future__ import annotations

from pathlib import Path

from tests.ci.example import life


def test_a_release_goes_live_a_broken_one_does_not_and_the_former_comes_back(
    tmp_path: Path,
) -> None:
    with life(tmp_path / "hello", "gke", refused=5) as (service, told):
        assert "roll the release out in helloworld-staging" in told.first
        assert told.first.count("11 tests in testaccept/ passed") == 2
        assert "the container ended (Error, exit code" in told.broken
        assert f"bring release {told.one} back" in told.back
        assert service.status("--env", "gke")["previous"]["id"] == told.two
