"""Whole deployments through the pipeline to a simulated Elastic Beanstalk."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from pymacaron import carried
from pymacaron_ci.model import Change, Release, Secret
from pymacaron_ci.simulator.beanstalk.names import set_account
from pymacaron_ci.simulator.beanstalk.server import AwsFault
from pymacaron_ci.targets.aws import Aws
from tests.ci.simulator.beanstalk_world import FakeRunner, beanstalk, client
from tests.ci.targets.beanstalk_deploys import LIVE, Builder, Checks, Deploys, release
from tests.contracts import botocore_check
from tests.matrix.prober import Prober


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Deploys, FakeRunner]]:
    with beanstalk(tmp_path / "simulator") as (server, runner):
        yield Deploys(server, tmp_path / "service"), runner


@pytest.fixture
def deploys(world: tuple[Deploys, FakeRunner]) -> Deploys:
    return world[0]


def name(number: int) -> str:
    return f"hello-{release(number).id}"


def test_a_first_deployment_takes_the_live_name(deploys: Deploys) -> None:
    report = deploys.deploy(release(1))
    assert (report.status, report.exit_code) == ("deployed", 0)
    assert deploys.live == release(1).id
    assert deploys.environments() == {name(1): LIVE}


def test_a_second_deployment_swaps_the_names_and_nobody_notices(deploys: Deploys) -> None:
    deploys.deploy(release(1))
    with Prober.at(deploys.live_url) as prober:
        report = deploys.deploy(release(2))
    assert (report.status, report.exit_code) == ("deployed", 0)
    assert report.previous is not None
    assert report.previous.id == release(1).id
    assert deploys.live == release(2).id
    assert prober.failures == []
    assert prober.answers > 0
    assert set(deploys.environments()) == {name(1), name(2)}


def test_the_same_release_again_changes_nothing(deploys: Deploys) -> None:
    deploys.deploy(release(1))
    writes = len([c for c in deploys.server.calls if not c.operation.startswith(READS)])
    report = deploys.deploy(release(1))
    assert (report.status, report.changed) == ("unchanged", False)
    assert len([c for c in deploys.server.calls if not c.operation.startswith(READS)]) == writes


READS = ("Describe", "List", "Get", "Head", "Check")


def test_a_plan_changes_nothing(deploys: Deploys) -> None:
    deploys.target().plan(release(1))
    assert [c for c in deploys.server.calls if not c.operation.startswith(READS)] == []


def test_the_third_deployment_ends_the_first_environment(deploys: Deploys) -> None:
    for number in (1, 2, 3):
        assert deploys.deploy(release(number)).exit_code == 0
    assert set(deploys.environments()) == {name(2), name(3)}


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("docker.io/acme/sick", "does not answer its health check"),
        ("docker.io/acme/missing", "not in the registry"),
    ],
)
def test_a_candidate_that_is_not_well_never_goes_live(
    deploys: Deploys, image: str, told: str
) -> None:
    deploys.deploy(release(1))
    with Prober.at(deploys.live_url) as prober:
        report = deploys.deploy(release(2, image))
    assert (report.status, report.exit_code) == ("undone", 6)
    assert told in (report.problems[0].hint or "")
    assert [n for n in report.notes if n.startswith("log: ")]
    assert [n for n in report.notes if n.startswith("event: ")]
    assert deploys.live == release(1).id
    assert deploys.environments() == {name(1): LIVE}
    assert prober.failures == []
    assert "SwapEnvironmentCNAMEs" not in {c.operation for c in deploys.server.calls}


def test_a_first_deployment_that_fails_leaves_nothing(deploys: Deploys) -> None:
    report = deploys.deploy(release(1, "docker.io/acme/sick"))
    assert report.exit_code == 6
    assert deploys.environments() == {}
    versions = client(deploys.server).describe_application_versions()["ApplicationVersions"]
    assert versions == []
    assert deploys.deploy(release(1)).exit_code == 0


def test_tests_that_fail_on_the_candidate_keep_it_from_live(deploys: Deploys) -> None:
    deploys.deploy(release(1))
    report = deploys.deploy(release(2), checks=Checks(refuse=1))
    assert report.exit_code == 6
    assert deploys.live == release(1).id
    assert deploys.environments() == {name(1): LIVE}


def test_tests_that_fail_on_live_bring_the_former_release_back(deploys: Deploys) -> None:
    deploys.deploy(release(1))
    with Prober.at(deploys.live_url) as prober:
        report = deploys.deploy(release(2), checks=Checks(refuse=2))
    assert (report.status, report.exit_code) == ("undone", 6)
    assert deploys.live == release(1).id
    assert deploys.environments() == {name(1): LIVE}
    assert prober.failures == []


def test_a_rollback_is_a_swap(deploys: Deploys) -> None:
    deploys.deploy(release(1))
    deploys.deploy(release(2))
    before = len(deploys.server.calls)
    report = deploys.rollback()
    assert (report.status, report.exit_code) == ("deployed", 0)
    assert deploys.live == release(1).id
    made = {c.operation for c in deploys.server.calls[before:]}
    assert not made & {"CreateEnvironment", "PutObject", "TerminateEnvironment"}
    live = deploys.target().live()
    assert live.release is not None
    assert live.release.id == release(1).id
    assert live.proven
    assert live.previous is not None
    assert live.previous.id == release(2).id


def test_nothing_live_is_told_as_that(deploys: Deploys) -> None:
    live = deploys.target().live()
    assert live.release is None
    assert LIVE in live.details[0]


def test_an_environment_made_by_hand_is_replaced_and_stays(deploys: Deploys) -> None:
    deploys.deploy(release(1))
    eb = client(deploys.server)
    arn = eb.describe_environments()["Environments"][0]["EnvironmentArn"]
    keys = [t["Key"] for t in eb.list_tags_for_resource(ResourceArn=arn)["ResourceTags"]]
    eb.update_tags_for_resource(ResourceArn=arn, TagsToRemove=keys)
    for number in (2, 3, 4):
        assert deploys.deploy(release(number)).exit_code == 0
    assert name(1) in deploys.environments()


def test_the_container_gets_secrets_unchanged_and_no_file_has_them(
    world: tuple[Deploys, FakeRunner], tmp_path: Path
) -> None:
    deploys, runner = world
    odd = 'planted=secret "with" $ALL & <odd> ü things'
    wanted = release(1, environment={"TOKEN": Secret("TOKEN", odd)})
    report = deploys.deploy(wanted)
    assert report.exit_code == 0
    given = dict(runner.instances[-1].environment)
    carried.unpack(given)
    assert given["TOKEN"] == odd
    assert (given["PYM_ENV"], given["PYM_RELEASE"]) == ("live", wanted.id)
    assert odd not in "\n".join(deploys.reporter.lines) + repr(report)
    for file in (tmp_path / "simulator" / "s3").rglob("*"):
        assert not file.is_file() or odd.encode() not in file.read_bytes()


def test_secrets_that_stay_with_aws_are_filled_in_when_a_server_starts(tmp_path: Path) -> None:
    account = {
        "secrets": {"prod/db": '{"password": "p$s"}', "whole": "w"},
        "parameters": {"/prod/key": "k", "plain": "p"},
    }
    wanted = {
        "DB": "prod/db:password",
        "WHOLE": "whole",
        "KEY": "ssm:/prod/key",
        "PLAIN": "arn:aws:ssm:eu-west-1:123456789012:parameter/plain",
    }
    with beanstalk(tmp_path / "simulator") as (server, runner):
        set_account(server.url, **account)
        deploys = Deploys(server, tmp_path / "service", aws_secrets=wanted)
        log = botocore_check.Log()
        deploys.sessions.append(lambda session: botocore_check.attach(session, log))
        assert deploys.deploy(release(1)).exit_code == 0
        given = runner.instances[-1].environment
        assert {n: given[n] for n in wanted} == {
            "DB": "p$s", "WHOLE": "w", "KEY": "k", "PLAIN": "p",
        }  # fmt: skip
        assert log.problems == []
        assert not {c.operation for c in log.calls} & {"GetSecretValue", "GetParameter"}

        set_account(server.url, secrets={**account["secrets"], "prod/db": "{}"})
        report = deploys.deploy(release(2))
        assert report.status == "undone"
        assert "secretsmanager:GetSecretValue" in str(report.problems[0].hint)
        assert deploys.live == release(1).id


def test_what_left_the_file_leaves_the_service(world: tuple[Deploys, FakeRunner]) -> None:
    deploys, runner = world
    deploys.deploy(release(1, environment={"GONE": Secret("GONE", "x")}))
    deploys.deploy(release(2))
    assert "GONE" not in runner.instances[-1].environment


def test_every_call_of_a_deployment_is_one_that_aws_would_take(deploys: Deploys) -> None:
    log = botocore_check.Log()
    deploys.sessions.append(lambda session: botocore_check.attach(session, log))
    deploys.deploy(release(1))
    deploys.deploy(release(2, run_url="https://github.com/a/b/actions/runs/1"))
    deploys.deploy(release(3, "docker.io/acme/sick"))
    deploys.rollback()
    deploys.deploy(release(4))
    assert log.problems == []
    assert {c.operation for c in log.calls} >= {
        "CreateEnvironment",
        "SwapEnvironmentCNAMEs",
        "TerminateEnvironment",
        "UpdateTagsForResource",
        "RequestEnvironmentInfo",
    }


def test_an_order_of_health_below_the_accepted_one_is_no(tmp_path: Path) -> None:
    for accept, expected in (("Info", 6), ("Warning", 0)):
        with beanstalk(tmp_path / accept) as (server, _):
            deploys = Deploys(server, tmp_path / f"{accept}-service", aws_accept_health=accept)
            deploys.deploy(release(1))
            set_account(server.url, forced_health={name(2): "Warning"})
            assert deploys.deploy(release(2)).exit_code == expected


def test_an_environment_that_somebody_ends_is_told_and_undone(deploys: Deploys) -> None:
    deploys.deploy(release(1))

    class Meddling(Checks):
        def acceptance(self, url: str, headers: Any) -> Any:
            client(deploys.server).terminate_environment(EnvironmentName=name(2))
            return super().acceptance(url, headers)

    report = deploys.deploy(release(2), checks=Meddling())
    assert report.exit_code == 5
    assert "is gone" in report.problems[0].text or "ended" in report.problems[0].text
    assert deploys.live == release(1).id


def test_a_live_name_that_somebody_moved_is_left_where_it_is(deploys: Deploys) -> None:
    deploys.deploy(release(1))
    deploys.deploy(release(2))

    class Meddling(Checks):
        def acceptance(self, url: str, headers: Any) -> Any:
            client(deploys.server).swap_environment_cnames(
                SourceEnvironmentName=name(1), DestinationEnvironmentName=name(2)
            )
            return super().acceptance(url, headers)

    report = deploys.deploy(release(3), checks=Meddling())
    assert report.exit_code in (5, 7)
    assert "somebody else moved it" in report.problems[0].text
    assert deploys.live == release(1).id
    assert name(3) not in deploys.environments()


def test_another_release_on_its_way_stops_us_before_anything_is_touched(deploys: Deploys) -> None:
    deploys.deploy(release(1))
    eb = client(deploys.server)
    version = eb.describe_application_versions()["ApplicationVersions"][0]["VersionLabel"]
    platform = eb.list_platform_versions()["PlatformSummaryList"][0]["PlatformArn"]
    tags = {
        "pymacaron:service": "hello",
        "pymacaron:release": "other",
        "pymacaron:run": "their-run",
    }
    deploys.server.engine.pause()
    eb.create_environment(
        ApplicationName="hello",
        EnvironmentName="hello-other",
        CNAMEPrefix="hello-other",
        VersionLabel=version,
        PlatformArn=platform,
        Tags=[{"Key": k, "Value": v} for k, v in tags.items()],
    )
    report = deploys.deploy(release(2))
    assert (report.status, report.exit_code) == ("failed", 5)
    assert "their-run" in report.problems[0].text
    assert deploys.live == release(1).id


def test_credentials_that_expire_are_read_anew(deploys: Deploys) -> None:
    deploys.deploy(release(1))
    fault = AwsFault(kind="expired", operation="DescribeEnvironmentHealth")
    deploys.server.add_faults(fault)
    assert deploys.deploy(release(2)).exit_code == 0


def test_credentials_that_stay_expired_leave_the_former_release_live(deploys: Deploys) -> None:
    deploys.deploy(release(1))
    fault = AwsFault(kind="expired", operation="DescribeEnvironmentHealth", times=1000)
    deploys.server.add_faults(fault)
    report = deploys.deploy(release(2))
    assert report.exit_code == 5
    assert "run the same command again" in (report.problems[0].hint or "")
    assert deploys.live == release(1).id


def test_an_unreachable_cloud_is_a_sentence(deploys: Deploys) -> None:
    aws = Aws(
        lambda: boto3.Session("x", "x", region_name="eu-west-1"),
        endpoint="http://127.0.0.1:9",
        attempts=1,
    )
    deploys.target = lambda **_: type(deploys).target_over(deploys, aws)  # type: ignore[method-assign]
    report = deploys.deploy(release(1))
    assert report.exit_code == 5
    assert "did not answer" in report.problems[0].text


def test_the_log_that_a_report_quotes_is_fetched_like_any_url(deploys: Deploys) -> None:
    deploys.deploy(release(1))
    eb = client(deploys.server)
    eb.request_environment_info(EnvironmentName=name(1), InfoType="tail")
    found = eb.retrieve_environment_info(EnvironmentName=name(1), InfoType="tail")
    with urllib.request.urlopen(found["EnvironmentInfo"][0]["Message"]) as answer:
        assert b"serving docker.io/acme/hello" in answer.read()


def test_a_release_that_was_ended_can_not_be_rolled_back_to(deploys: Deploys) -> None:
    deploys.deploy(release(1))
    kept = Release(id="gone", version="v0", revision="c", image=release(1).image, kept=True)
    report = deploys.deploy(kept)
    assert report.exit_code == 5
    assert "is not there any more" in report.problems[0].text


def test_a_creation_that_was_interrupted_is_undone_when_it_shows(deploys: Deploys) -> None:
    """A signal comes while AWS is being asked: nothing is known but the step."""
    deploys.deploy(release(1))
    target = deploys.target()
    plan = target.plan(release(2))
    publish, create = plan.phases[0].steps
    made = replace(release(2), image=Builder().push(release(2).image))
    target.apply(publish, made)
    target.apply(create, made)
    target.rollback(Change(step=create))
    assert deploys.environments() == {name(1): LIVE}
    target.rollback(Change(step=create))
    assert deploys.live == release(1).id
