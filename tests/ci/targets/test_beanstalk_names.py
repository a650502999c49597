"""Names, tags, bundle and option settings: what a release becomes, without asking anybody."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymacaron_ci.model import Image, Secret
from pymacaron_ci.options import Settings
from pymacaron_ci.targets.beanstalk import bundle, names, option_settings
from pymacaron_ci.targets.beanstalk.bundle import Login
from tests.ci.targets.beanstalk_deploys import release

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9]")
SERVICES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
IMAGE = Image(repository="docker.io/acme/hello", tag="v1", digest="sha256:" + "0" * 64)


def settings(**values: object) -> Settings:
    basic = {
        "name": "hello",
        "docker_repo": "acme",
        "docker_bucket": "bucket",
        "aws_keypair": "key",
        "aws_instance_type": "t3.micro",
    }
    return Settings(**{**basic, **values})  # type: ignore[arg-type]


def value_of(made: list[option_settings.Option], namespace: str, name: str) -> str | None:
    return next((o.value for o in made if (o.namespace, o.name) == (namespace, name)), None)


@given(
    service=SERVICES,
    prefix=SERVICES,
    identity=st.text("0123456789abcdef", min_size=12, max_size=12),
)
def test_every_name_is_one_that_elastic_beanstalk_takes(
    service: str, prefix: str, identity: str
) -> None:
    first = names.candidate(service, prefix, identity)
    second = names.candidate(service, prefix, identity, taken=[first[0]])
    for name, cname in (first, second):
        assert NAME.fullmatch(name)
        assert 4 <= len(name) <= 40
        assert NAME.fullmatch(cname)
        assert 4 <= len(cname) <= 63
        assert identity in name
        assert identity in cname
    assert first != second
    assert len(names.version_label(service, identity, "pymacaron/x/0123456789.zip")) <= 100


def test_the_same_release_has_the_same_name_at_any_time() -> None:
    assert names.candidate("hello", "hi", "abc") == ("hello-abc", "hi-abc")


def test_tags_tell_a_later_run_which_release_it_was() -> None:
    made = replace(release(7), image=IMAGE, run_url="https://github.com/a/b/actions/runs/1")
    tags = names.tags("hello", made, "hello-before")
    read = names.release(tags)
    assert read is not None
    assert (read.id, read.version, read.revision) == (made.id, made.version, made.revision)
    assert (read.image.repository, read.image.digest) == (IMAGE.repository, IMAGE.digest)
    assert read.kept
    assert read.run_url == made.run_url
    assert names.release({"somebody": "else"}) is None


def test_no_tag_is_empty_or_holds_what_aws_refuses() -> None:
    odd = replace(release(1), version="v;1#2" + "x" * 300, revision="")
    for key, value in names.tags("hello", odd, None).items():
        assert re.fullmatch(r"[\w .:/=+@-]{1,256}", value), key


def test_the_bundle_is_the_same_bytes_each_time_and_names_the_digest() -> None:
    first, second = (bundle.make("hello", IMAGE, None) for _ in range(2))
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first.data)) as archive:
        assert archive.namelist() == ["Dockerrun.aws.json"]
        run = json.loads(archive.read("Dockerrun.aws.json"))
    assert run["Image"]["Name"] == f"docker.io/acme/hello@{IMAGE.digest}"
    assert run["Ports"] == [{"ContainerPort": 8080}]
    assert "Authentication" not in run


def test_another_image_or_login_is_another_bundle() -> None:
    login = Login(bucket="bucket", key="docker/dockercfg")
    keys = {
        bundle.make("hello", IMAGE, None).key,
        bundle.make("hello", IMAGE, login).key,
        bundle.make("hello", replace(IMAGE, digest="sha256:" + "1" * 64), None).key,
    }
    assert len(keys) == 3


def test_the_container_gets_the_secrets_unchanged_and_knows_its_release() -> None:
    plain = "a=b c/d"
    wanted = release(1, environment={"TOKEN": Secret("TOKEN", plain), "PLAIN": "x"})
    assert option_settings.properties(wanted) == {
        "TOKEN": plain,
        "PLAIN": "x",
        "PYM_ENV": "live",
        "PYM_RELEASE": wanted.id,
        "PORT": "8080",
    }


def test_no_option_shows_its_value() -> None:
    wanted = release(1, environment={"TOKEN": Secret("TOKEN", "hidden-value")})
    assert "hidden-value" not in repr(option_settings.options(settings(), wanted, {}))


def test_what_the_api_would_default_badly_is_set() -> None:
    made = option_settings.options(settings(), release(1), {})
    environment = "aws:elasticbeanstalk:environment"
    assert value_of(made, environment, "LoadBalancerType") == "application"
    assert value_of(made, environment, "ServiceRole") == "aws-elasticbeanstalk-service-role"
    reporting = "aws:elasticbeanstalk:healthreporting:system"
    assert value_of(made, reporting, "SystemType") == "enhanced"
    logs = "aws:elasticbeanstalk:cloudwatch:logs"
    assert value_of(made, logs, "StreamLogs") == "true"
    assert value_of(made, logs, "DeleteOnTerminate") == "false"
    assert all(isinstance(o.value, str) for o in made)
    keys = [(o.namespace, o.name) for o in made]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("kind", ["application", "classic"])
def test_a_certificate_opens_443_and_none_leaves_it_closed(kind: str) -> None:
    arn = "arn:aws:acm:eu-west-1:123456789012:certificate/1"
    spaces = {"application": "aws:elbv2:listener:443", "classic": "aws:elb:listener:443"}
    with_it = option_settings.options(
        settings(aws_cert_arn=arn, aws_load_balancer=kind), release(1), {}
    )
    without = option_settings.options(settings(aws_load_balancer=kind), release(1), {})
    assert arn in [o.value for o in with_it if o.namespace == spaces[kind]]
    assert not [o for o in without if o.namespace == spaces[kind]]


def test_the_number_of_servers_is_what_the_file_says() -> None:
    made = option_settings.options(settings(aws_hosts_min=2, aws_hosts_max=8), release(1), {})
    assert value_of(made, "aws:autoscaling:asg", "MinSize") == "2"
    assert value_of(made, "aws:autoscaling:asg", "MaxSize") == "8"


@pytest.mark.parametrize(
    ("values", "environment", "told"),
    [
        ({}, {"BIG": "x" * 4096}, "4096 at most"),
        ({"aws_instance_type": "t4g.small"}, {}, "run linux/arm64, the image is made for"),
        ({"platforms": ("linux/arm64",)}, {}, "run linux/amd64, the image is made for"),
        (
            {"aws_load_balancer": "network", "aws_cert_arn": "arn:aws:acm:a:b:certificate/c"},
            {},
            "network load balancer",
        ),
    ],
)
def test_what_elastic_beanstalk_could_not_do_is_told_before(
    values: dict[str, object], environment: dict[str, str], told: str
) -> None:
    wanted = release(1, environment=environment)
    problems = list(option_settings.complaints(settings(**values), wanted))
    assert [p for p in problems if told in p.text], problems


@pytest.mark.parametrize(
    ("instance_type", "expected"),
    [
        ("t2.micro", "x86_64"),
        ("t3.micro", "x86_64"),
        ("g5.xlarge", "x86_64"),
        ("g4dn.xlarge", "x86_64"),
        ("c6i.large", "x86_64"),
        ("t4g.nano", "arm64"),
        ("m7gd.large", "arm64"),
        ("c7gn.large", "arm64"),
        ("a1.medium", "arm64"),
    ],
)
def test_the_kind_of_server_tells_its_architecture(instance_type: str, expected: str) -> None:
    assert option_settings.architecture(instance_type) == expected
