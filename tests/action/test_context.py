"""What a run knows about itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pymacaron_ci.github.context import read


def environ(tmp_path: Path, event: object = None, **more: str) -> dict[str, str]:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(event))
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_EVENT_PATH": str(file),
        "GITHUB_REPOSITORY": "octo/app",
        "GITHUB_WORKSPACE": str(tmp_path),
        **more,
    }


def pull(head: object) -> dict[str, object]:
    return {"pull_request": {"head": head, "base": {"repo": {"full_name": "octo/app"}}}}


def test_outside_github_there_is_none() -> None:
    assert read({}) is None
    assert read({"GITHUB_ACTIONS": "false"}) is None


@pytest.mark.parametrize(
    ("head", "fork"),
    [
        ({"repo": {"full_name": "octo/app"}}, None),
        ({"repo": {"full_name": "Octo/App"}}, None),
        ({"repo": {"full_name": "eve/app"}}, "eve/app"),
        ({"repo": None}, "deleted"),
        ({}, None),
        (None, None),
    ],
)
def test_a_pull_request_from_a_fork_is_known_as_one(
    tmp_path: Path, head: object, fork: str | None
) -> None:
    found = read(environ(tmp_path, pull(head)))
    assert found is not None
    assert found.fork == fork
    assert (found.stranger is not None) == (fork is not None)


@pytest.mark.parametrize("event", [None, [], {"pull_request": 3}, "x"])
def test_an_event_that_says_nothing_is_no_error(tmp_path: Path, event: object) -> None:
    found = read(environ(tmp_path, event))
    assert found is not None
    assert found.fork is None


def test_an_event_file_that_is_gone_is_no_error(tmp_path: Path) -> None:
    found = read(environ(tmp_path, GITHUB_EVENT_PATH=str(tmp_path / "nowhere")))
    assert found is not None
    assert found.fork is None


def test_the_runs_url_is_that_of_its_server(tmp_path: Path) -> None:
    found = read(environ(tmp_path, GITHUB_RUN_ID="7", GITHUB_SERVER_URL="https://ghe.example.com"))
    assert found is not None
    assert found.run_url == "https://ghe.example.com/octo/app/actions/runs/7"
    without = read(environ(tmp_path))
    assert without is not None
    assert without.run_url is None
