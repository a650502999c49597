"""From what is there to what is to be done, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import pytest

from pymacaron_ci.errors import DeployError
from pymacaron_ci.targets.beanstalk import names, planning
from pymacaron_ci.targets.beanstalk.cloud import Environment
from pymacaron_ci.targets.beanstalk.planning import Scene
from tests.ci.targets.beanstalk_deploys import LIVE, release

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def there(
    number: int,
    *,
    live: bool = False,
    proven: bool = True,
    status: str = "Ready",
    age: float = 0,
    previous: int | None = None,
    foreign: bool = False,
) -> Environment:
    wanted = release(number)
    former = f"hello-{release(previous).id}" if previous else None
    return Environment(
        id=f"e-{number}",
        name="made-by-hand" if foreign else f"hello-{wanted.id}",
        arn="",
        status=status,
        color="Green",
        cname=LIVE if live else f"hello-{number}.eu-west-1.elasticbeanstalk.com",
        endpoint="",
        version_label="",
        updated=NOW - timedelta(minutes=age or number),
        tags={} if foreign else names.tags("hello", wanted, former),
        proven=proven and not foreign,
    )


def scene(*environments: Environment, keep: int = 1) -> Scene:
    return Scene(
        service="hello",
        application="hello",
        bucket="bucket",
        cname=LIVE,
        prefix="hello",
        platform="arn:aws:elasticbeanstalk:eu-west-1::platform/Docker/4.11.0",
        keep=keep,
        environments=environments,
        now=NOW,
    )


def steps(wanted: int, *environments: Environment, keep: int = 1, kept: bool = False) -> list[str]:
    """The plan's steps, one line each, with release ids as short numbers."""
    found = planning.phases(scene(*environments, keep=keep), release(wanted, kept=kept))
    return [f"{p.name}: {_short(str(s))}" for p in found for s in p.steps]


def _short(text: str) -> str:
    return text.replace("hello-0000000000", "").replace(" (platform 4.11.0)", "")


PUBLISH = "publish a version of application hello (bundle in bucket)"


@pytest.mark.parametrize(
    ("environments", "expected"),
    [
        pytest.param(
            [],
            [f"live: {PUBLISH}", "live: create environment 09 under the live name",
             "finish: mark 09 as proven"],
            id="the first deployment takes the live name",
        ),
        pytest.param(
            [there(1, live=True)],
            [f"candidate: {PUBLISH}", "candidate: create environment 09",
             "live: give the live name to 09, take it from 01", "finish: mark 09 as proven"],
            id="a second one is proven beside the live one",
        ),
        pytest.param(
            [there(1), there(2, live=True, previous=1)],
            [f"candidate: {PUBLISH}", "candidate: create environment 09",
             "live: give the live name to 09, take it from 02", "finish: mark 09 as proven",
             "finish: end environment 01"],
            id="one former environment is kept, the one before it is ended",
        ),
        pytest.param(
            [there(1, live=True), there(9, proven=False, status="Launching")],
            [f"candidate: {PUBLISH}", "candidate: create environment 09",
             "live: give the live name to 09, take it from 01", "finish: mark 09 as proven"],
            id="a half-made candidate is adopted",
        ),
        pytest.param(
            [there(1), there(9, live=True, proven=False, previous=1)],
            [f"live: {PUBLISH}", "live: create environment 09",
             "live: give the live name to 09, take it from 01", "finish: mark 09 as proven"],
            id="a run that died after the swap is proven, with a way back",
        ),
        pytest.param(
            [there(9, live=True, proven=False)],
            [f"live: {PUBLISH}", "live: create environment 09 under the live name",
             "finish: mark 09 as proven"],
            id="a first deployment that died is proven",
        ),
        pytest.param([there(9, live=True)], [], id="what is live and proven stays as it is"),
        pytest.param(
            [there(1), there(2), there(9, live=True, previous=1)],
            ["finish: end environment 02"],
            id="a run that died while tidying up is finished",
        ),
        pytest.param(
            [there(1, live=True), there(9)],
            ["candidate: take environment 09, which is still there",
             "live: give the live name to 09, take it from 01", "finish: mark 09 as proven"],
            id="a release that was live before is taken as it is",
        ),
        pytest.param(
            [there(1, live=True), there(5, proven=False)],
            [f"candidate: {PUBLISH}", "candidate: create environment 09",
             "live: give the live name to 09, take it from 01", "finish: mark 09 as proven",
             "finish: end environment 05"],
            id="another release's leftover is ended",
        ),
        pytest.param(
            [there(1, live=True, foreign=True)],
            [f"candidate: {PUBLISH}", "candidate: create environment 09",
             "live: give the live name to 09, take it from made-by-hand",
             "finish: mark 09 as proven"],
            id="an environment that somebody made by hand is replaced and kept",
        ),
        pytest.param(
            [there(1, live=True), there(9, proven=False, status="Terminating")],
            [f"candidate: {PUBLISH}", "candidate: create environment 09",
             "live: give the live name to 09, take it from 01", "finish: mark 09 as proven"],
            id="a candidate that is being ended is waited for and made anew",
        ),
        pytest.param(
            [there(1, live=True), there(5, status="Launching", proven=False, age=60)],
            [f"candidate: {PUBLISH}", "candidate: create environment 09",
             "live: give the live name to 09, take it from 01", "finish: mark 09 as proven",
             "finish: end environment 05"],
            id="a launch that is stuck for an hour keeps nobody from deploying",
        ),
    ],
)  # fmt: skip
def test_a_plan_follows_from_what_is_there(
    environments: Sequence[Environment], expected: list[str]
) -> None:
    assert steps(9, *environments) == expected


@pytest.mark.parametrize(
    ("keep", "ended"),
    [(0, ["01", "02", "03"]), (1, ["01", "02"]), (2, ["01"]), (9, [])],
)
def test_as_many_former_environments_stay_as_the_policy_says(keep: int, ended: list[str]) -> None:
    past = [there(1, age=30), there(2, age=20), there(3, age=10, live=True)]
    found = [s for s in steps(9, *past, keep=keep) if "end environment" in s]
    assert sorted(found) == [f"finish: end environment {n}" for n in ended]


def test_the_live_environment_is_never_ended() -> None:
    for keep in range(3):
        found = steps(9, there(9, live=True), there(1), there(2), keep=keep)
        assert not [s for s in found if s.endswith("end environment 09")]


def test_a_rollback_gives_the_name_back_without_making_anything() -> None:
    assert steps(1, there(1), there(2, live=True, previous=1), kept=True) == [
        "candidate: take environment 01, which is still there",
        "live: give the live name to 01, take it from 02",
        "finish: mark 01 as proven",
    ]


def test_the_way_back_leads_to_what_the_live_one_replaced() -> None:
    former = scene(there(1), there(2, age=0.5), there(3, live=True, previous=1)).last_proven
    assert former is not None
    assert former.name == "hello-000000000001"


@pytest.mark.parametrize(
    ("environments", "wanted", "kept", "told"),
    [
        ([there(2, live=True)], 1, True, "is not there any more"),
        ([there(1)], 1, True, "no environment has the live name"),
        (
            [there(1, live=True), there(5, status="Launching", proven=False, age=3)],
            9,
            False,
            "another deployment is under way: environment hello-000000000005",
        ),
    ],
)
def test_what_can_not_be_done_is_told_before_anything_is(
    environments: Sequence[Environment], wanted: int, kept: bool, told: str
) -> None:
    with pytest.raises(DeployError, match=told):
        planning.phases(scene(*environments), release(wanted, kept=kept))


def test_a_name_that_is_taken_by_a_kept_environment_gets_a_number() -> None:
    """Somebody ended the live environment by hand: the live name is free, the usual one is not."""
    assert "live: create environment 09-2 under the live name" in steps(9, there(9))
