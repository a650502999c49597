"""A release's identity: the same for the same commit, settings and secrets; never the clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pymacaron_ci import config
from pymacaron_ci.model import Secret, Source
from pymacaron_ci.release import canonical, release_of

SOURCE = Source(revision="abc", version="261122-1200-abc", created=1)
TEXT = """name: hello
deploy_target: gcp-cloud-run
docker_repo: hello
gcp_project: hello-project
gcp_region: europe-west1
gcp_memory: 512Mi
gcp_request_concurrency: 80
live_url: https://hello.example.com
env_secrets: [KEY]
"""


def identity(
    folder: Path, text: str = TEXT, source: Source = SOURCE, secret: str = "value", **more: str
) -> str:
    (folder / "pym-config.yaml").write_text(text, encoding="utf-8")
    loaded = config.load(folder, None)
    return release_of(loaded, source, (Secret("KEY", secret),), "registry/hello", **more).id


def test_the_same_is_the_same_release(tmp_path: Path) -> None:
    assert identity(tmp_path) == identity(tmp_path)


def test_the_order_of_settings_and_who_ran_it_do_not_count(tmp_path: Path) -> None:
    turned = "".join(reversed(TEXT.splitlines(keepends=True)))
    assert identity(tmp_path, turned) == identity(tmp_path, run_url="https://run/2")


@pytest.mark.parametrize(
    "other",
    [
        {"secret": "other"},
        {"source": Source(revision="abd", version="261122-1200-abd", created=1)},
        {"text": TEXT.replace("512Mi", "1Gi")},
        {"text": TEXT + "my_own_key: 1\n"},
    ],
)
def test_whatever_reaches_the_container_makes_another_release(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    assert identity(tmp_path) != identity(tmp_path, **other)


def test_keys_of_any_type_have_their_place(tmp_path: Path) -> None:
    own = "my_own: {200: a, ok: b, 1.5: [c, null, true]}\n"
    assert identity(tmp_path, TEXT + own) == identity(tmp_path, TEXT + own)


def test_a_text_and_the_number_it_looks_like_are_told_apart() -> None:
    assert (
        len({canonical(v) for v in ("1", 1, 1.0, True, None, "None", [1], {"1": 1}, {1: 1})}) == 9
    )
