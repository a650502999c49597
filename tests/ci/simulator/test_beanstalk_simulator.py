"""The simulated Elastic Beanstalk keeps the real one's rules, and its state over a restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from pymacaron_ci.simulator.beanstalk.names import LoopbackNames, set_account
from pymacaron_ci.simulator.beanstalk.server import BeanstalkServer
from pymacaron_ci.simulator.beanstalk.state import Timings
from pymacaron_ci.targets.beanstalk import bundle
from tests.ci.simulator.beanstalk_world import QUICK, FakeRunner, beanstalk, client
from tests.ci.targets.beanstalk_deploys import release, version

LIVE = "app-live.eu-west-1.elasticbeanstalk.com"


class Eb:
    """One application with one version, and environments made by hand."""

    def __init__(self, server: BeanstalkServer) -> None:
        self.api = client(server)
        made = bundle.make("app", release(1).image, None)
        client(server, "s3").put_object(Bucket="b", Key=made.key, Body=made.data)
        self.api.create_application(ApplicationName="app")
        self.api.create_application_version(
            ApplicationName="app",
            VersionLabel="v1",
            SourceBundle={"S3Bucket": "b", "S3Key": made.key},
            Process=True,
        )
        platforms = self.api.list_platform_versions()["PlatformSummaryList"]
        self.platform = platforms[0]["PlatformArn"]

    def create(self, name: str, **more: Any) -> Any:
        space = "aws:elasticbeanstalk:application:environment"
        options = [
            (space, "PYM_RELEASE", name),
            ("aws:elasticbeanstalk:environment:process:default", "HealthCheckPath", "/ping"),
            ("aws:autoscaling:launchconfiguration", "IamInstanceProfile", "profile"),
            ("aws:elasticbeanstalk:healthreporting:system", "SystemType", "enhanced"),
        ]
        settings = [{"Namespace": n, "OptionName": o, "Value": v} for n, o, v in options]
        parameters = {
            "ApplicationName": "app",
            "EnvironmentName": name,
            "CNAMEPrefix": name,
            "VersionLabel": "v1",
            "PlatformArn": self.platform,
            "OptionSettings": settings,
        }
        return self.api.create_environment(**{**parameters, **more})

    def status(self, name: str) -> str:
        found = self.api.describe_environments(EnvironmentNames=[name])["Environments"]
        return str(found[-1]["Status"]) if found else ""

    def wait(self, name: str) -> None:
        until(lambda: self.status(name) == "Ready")

    def messages(self, name: str) -> list[str]:
        events = self.api.describe_events(EnvironmentName=name)["Events"]
        return [e["Message"] for e in events]


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Eb, BeanstalkServer, FakeRunner]]:
    with beanstalk(tmp_path) as (server, runner):
        yield Eb(server), server, runner


@pytest.fixture
def eb(world: tuple[Eb, BeanstalkServer, FakeRunner]) -> Eb:
    return world[0]


def refusal(call: Callable[..., object], **parameters: object) -> str:
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    return (
        f"{refused.value.response['Error']['Code']}: {refused.value.response['Error']['Message']}"
    )


def test_an_environment_goes_from_launching_to_ready_and_is_well(eb: Eb) -> None:
    made = eb.create("app-live")
    assert (made["Status"], made["Health"]) == ("Launching", "Grey")
    until(lambda: eb.status("app-live") == "Ready")
    health = eb.api.describe_environment_health(EnvironmentName="app-live", AttributeNames=["All"])
    assert (health["HealthStatus"], health["Color"], health["Status"]) == ("Ok", "Green", "Ready")
    assert eb.messages("app-live")[0] == "Successfully launched environment: app-live"
    assert eb.messages("app-live")[-1] == "createEnvironment is starting."


def test_environments_are_listed_for_people(
    world: tuple[Eb, BeanstalkServer, FakeRunner],
) -> None:
    eb, server, _ = world
    eb.create("app-live")
    eb.wait("app-live")
    (found,) = server.services()
    assert (found["name"], found["revision"], found["instances"]) == ("app-live", "v1", 1)
    assert requests.get(f"{found['url']}/ping", timeout=5).ok


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"EnvironmentName": "x" * 41}, "ValidationError"),
        ({"EnvironmentName": "-ab-"}, "may not start or end with a dash"),
        ({"CNAMEPrefix": "abc"}, "ValidationError"),
        ({"ApplicationName": "other"}, "No Application named 'other' found."),
        ({"VersionLabel": "v9"}, "No Application Version named 'v9' found."),
        ({"PlatformArn": "arn:x"}, "No Platform named 'arn:x' found."),
        ({"SolutionStackName": "64bit"}, "one of PlatformArn"),
        ({"Tags": [{"Key": "k", "Value": ""}]}, "ValidationError"),
        ({"Tags": [{"Key": "aws:k", "Value": "v"}]}, "reserved prefix"),
        (
            {"OptionSettings": [{"Namespace": "aws:x", "OptionName": "y", "Value": "z"}]},
            "Unknown configuration setting",
        ),
        (
            {
                "OptionSettings": [
                    {
                        "Namespace": "aws:elasticbeanstalk:application:environment",
                        "OptionName": "BIG",
                        "Value": "x" * 4096,
                    }
                ]
            },
            "at most 4096",
        ),
    ],
)
def test_what_breaks_a_rule_is_refused(eb: Eb, more: dict[str, object], told: str) -> None:
    assert told in refusal(eb.create, name="app-live", **more)


def test_names_are_taken_until_their_environment_has_ended(eb: Eb) -> None:
    eb.create("app-live")
    assert "Environment app-live already exists." in refusal(eb.create, name="app-live")
    taken = refusal(eb.create, name="app-other", CNAMEPrefix="app-live")
    assert taken.endswith(f"DNS name ({LIVE}) is not available.")
    eb.api.terminate_environment(EnvironmentName="app-live")
    until(lambda: eb.status("app-live") == "Terminated")
    eb.create("app-live")


def test_a_swap_wants_both_environments_ready(eb: Eb) -> None:
    eb.create("app-live")
    until(lambda: eb.status("app-live") == "Ready")
    eb.create("app-blue")
    swap = {"SourceEnvironmentName": "app-live", "DestinationEnvironmentName": "app-blue"}
    told = refusal(eb.api.swap_environment_cnames, **swap)
    assert told.endswith(
        "Environment named app-blue is in an invalid state for this operation. Must be Ready."
    )
    until(lambda: eb.status("app-blue") == "Ready")
    eb.api.swap_environment_cnames(**swap)
    assert "Must be Ready" in refusal(eb.api.swap_environment_cnames, **swap)
    until(lambda: eb.status("app-blue") == "Ready")
    found = eb.api.describe_environments(EnvironmentNames=["app-blue"])["Environments"]
    assert found[0]["CNAME"] == LIVE


def test_the_environment_is_reached_at_its_name_and_follows_a_swap_late(tmp_path: Path) -> None:
    late = Timings(**{**vars(QUICK), "dns": 3.0})
    with beanstalk(tmp_path, timings=late) as (server, _):
        eb = Eb(server)
        for name in ("app-live", "app-blue"):
            eb.create(name)
            eb.wait(name)
        url = LoopbackNames(server.url).url(LIVE)
        assert version(url) == "app-live"
        eb.api.swap_environment_cnames(
            SourceEnvironmentName="app-live", DestinationEnvironmentName="app-blue"
        )
        until(lambda: eb.status("app-live") == "Ready")
        assert version(url) == "app-live"
        until(lambda: version(url) == "app-blue")


def test_tagging_an_environment_updates_it(tmp_path: Path) -> None:
    with beanstalk(tmp_path, timings=Timings(**{**vars(QUICK), "update": 3.0})) as (server, _):
        eb = Eb(server)
        arn = eb.create("app-live")["EnvironmentArn"]
        eb.wait("app-live")
        tags = {"ResourceArn": arn, "TagsToAdd": [{"Key": "a", "Value": "b"}]}
        eb.api.update_tags_for_resource(**tags)
        assert eb.status("app-live") == "Updating"
        assert "OperationInProgress" in refusal(eb.api.update_tags_for_resource, **tags)
        eb.wait("app-live")


def test_events_belong_to_the_request_that_caused_them_the_newest_first(eb: Eb) -> None:
    request = eb.create("app-live")["ResponseMetadata"]["RequestId"]
    until(lambda: eb.status("app-live") == "Ready")
    events = eb.api.describe_events(RequestId=request)["Events"]
    assert len(events) > 3
    dates = [e["EventDate"] for e in events]
    assert dates == sorted(dates, reverse=True)
    assert eb.api.describe_events(RequestId="other")["Events"] == []
    page = eb.api.describe_events(RequestId=request, MaxRecords=2)
    assert page["Events"] == events[:2]
    more = eb.api.describe_events(RequestId=request, MaxRecords=2, NextToken=page["NextToken"])
    assert more["Events"] == events[2:4]


def test_an_instance_that_falls_ill_turns_the_environment_red(
    world: tuple[Eb, BeanstalkServer, FakeRunner],
) -> None:
    eb, _, runner = world
    eb.create("app-live")
    until(lambda: eb.status("app-live") == "Ready")
    runner.instances[-1].well = False

    def color() -> str:
        return str(eb.api.describe_environments()["Environments"][0]["Health"])

    until(lambda: color() == "Red")
    assert "transitioned from Ok to Severe" in eb.messages("app-live")[0]
    runner.instances[-1].well = True
    until(lambda: color() == "Green")


def test_a_bundle_that_can_not_be_read_fails_to_be_processed(
    world: tuple[Eb, BeanstalkServer, FakeRunner],
) -> None:
    eb, server, _ = world
    client(server, "s3").put_object(Bucket="b", Key="bad", Body=b"no zip")
    source = {"S3Bucket": "b", "S3Key": "bad"}
    named = {"ApplicationName": "app", "VersionLabel": "bad"}
    eb.api.create_application_version(**named, SourceBundle=source, Process=True)

    def status() -> str:
        found = eb.api.describe_application_versions(ApplicationName="app", VersionLabels=["bad"])
        return str(found["ApplicationVersions"][0]["Status"])

    until(lambda: status() == "FAILED")


def test_a_version_in_use_is_not_deleted(eb: Eb) -> None:
    eb.create("app-live")
    told = refusal(eb.api.delete_application_version, ApplicationName="app", VersionLabel="v1")
    assert "SourceBundleDeletionFailure" in told


def test_the_state_outlives_the_simulator_and_names_keep_their_ports(tmp_path: Path) -> None:
    with beanstalk(tmp_path) as (server, _):
        eb = Eb(server)
        eb.create("app-live")
        until(lambda: eb.status("app-live") == "Ready")
        eb.create("app-blue")
        url, port = LoopbackNames(server.url).url(LIVE), server.port
    with beanstalk(tmp_path, port=port) as (server, runner):
        eb = Eb.__new__(Eb)
        eb.api = client(server)
        assert server.port == port
        assert LoopbackNames(server.url).url(LIVE) == url
        until(lambda: eb.status("app-blue") == "Ready")
        until(lambda: len(runner.instances) == 2)
        until(lambda: version(url) == "app-live")


def test_only_the_owner_reads_the_state(tmp_path: Path) -> None:
    with beanstalk(tmp_path) as (server, _):
        Eb(server)
    assert (tmp_path / "beanstalk.json").stat().st_mode & 0o077 == 0


def test_whoever_does_not_sign_is_refused(world: tuple[Eb, BeanstalkServer, FakeRunner]) -> None:
    from botocore import UNSIGNED

    _, server, _ = world
    unsigned = client(server, "s3", signature_version=UNSIGNED)
    assert "MissingAuthenticationToken" in refusal(unsigned.get_object, Bucket="b", Key="k")


def test_a_right_that_was_taken_is_refused_by_name(
    world: tuple[Eb, BeanstalkServer, FakeRunner],
) -> None:
    eb, server, _ = world
    set_account(server.url, denied=["elasticbeanstalk:DescribeEnvironments"])
    told = refusal(eb.api.describe_environments)
    assert "not authorized to perform: elasticbeanstalk:DescribeEnvironments" in told
