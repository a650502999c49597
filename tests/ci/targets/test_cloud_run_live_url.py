"""What the report says of a live_url that does not lead to the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymacaron_ci.targets.cloud_run import CloudRun
from pymacaron_ci.targets.live_url import leads_to
from tests.ci.targets.cloud_run_world import release, world


def test_a_url_that_tells_the_release_is_fine_and_any_other_is_named(tmp_path: Path) -> None:
    with world(tmp_path) as cloud:
        cloud.deploy(release("1"))
        uri = cloud.service()["uri"]
        assert leads_to(uri, release("1").id, "") == ""
        told = leads_to(uri, release("2").id, "")
        assert f"{uri} does not lead to this release" in told
        assert f"tells the release {release('1').id}" in told
        assert "answers 404" in leads_to(f"{cloud.simulation.google.url}/none", "x", "")

        cloud.deploy(release("2"), public=False)
        assert "answers 403" in leads_to(uri, release("2").id, "")


def test_a_url_where_nobody_answers_is_named() -> None:
    assert "can't be reached (ConnectionError)" in leads_to("http://127.0.0.1:1", "x", "")


@pytest.mark.parametrize("note", ["", "live_url leads elsewhere"])
def test_the_report_says_it(tmp_path: Path, note: str) -> None:
    with world(tmp_path) as cloud:
        asked: list[tuple[str, str]] = []

        def look(url: str, name: str) -> str:
            asked.append((url, name))
            return note

        wanted = type(cloud.wanted)(**{**vars(cloud.wanted), "live_url": "https://hello.test"})
        report = cloud.deploy(release("1"), CloudRun(wanted, cloud.session(), leads_to=look))
        assert report.status == "deployed"
        assert asked == [("https://hello.test", release("1").id)]
        assert report.notes == ((note,) if note else ())
