"""The example service on a simulated Elastic Beanstalk, through the command."""

from __future__ import annotations

from pathlib import Path

from tests.ci.example import life


def test_a_release_goes_live_a_broken_one_does_not_and_the_former_comes_back(
    tmp_path: Path,
) -> None:
    with life(tmp_path / "hello", "aws", refused=6) as (_, told):
        assert "under the live name" in told.first
        assert "give the live name to" in told.second
        assert "create environment" not in told.back
