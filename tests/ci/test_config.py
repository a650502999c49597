"""The decisions on settings: what is read, assumed, derived and warned about."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pymacaron_ci import config, document
from pymacaron_ci.config import Config
from pymacaron_ci.errors import ConfigError
from pymacaron_ci.model import Problem
from pymacaron_ci.options import OPTIONS, TARGETS

CLOUD_RUN: dict[str, object] = {
    "name": "hello",
    "deploy_target": "gcp-cloud-run",
    "docker_repo": "helloworld",
    "live_url": "https://api.example.com",
    "gcp_region": "europe-west1",
    "gcp_memory": "512Mi",
    "gcp_request_concurrency": 80,
}
BEANSTALK: dict[str, object] = {
    "name": "hello",
    "deploy_target": "aws-beanstalk",
    "docker_repo": "myorg",
    "docker_bucket": "my-docker-config",
    "live_url": "http://api.example.com",
    "aws_user": "deployer",
    "aws_keypair": "aws-eb",
    "aws_instance_type": "t2.micro",
}
GKE: dict[str, object] = {
    "name": "hello",
    "deploy_target": "gke",
    "docker_repo": "my-project",
    "live_url": "https://api.example.com",
    "gcp_region": "europe-west1",
}
# Both examples of the original documentation page, with its placeholders filled in.
PAGE_BEANSTALK = """\
name: hello
docker_repo: myrepo
docker_bucket: docker-cfg-bucket
deploy_target: aws-beanstalk
aws_user: iam-user-name
aws_keypair: aws-eb
aws_instance_type: t2.micro
aws_cert_arn: arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012
with_async: true
jwt_issuer: api.helloworld.com
jwt_audience: helloworldaudienceisgreat
jwt_secret: PYM_JWT_SECRET
live_url: https://helloworld.com
env_secrets:
- PYM_JWT_SECRET
"""
PAGE_CLOUD_RUN = """\
name: hello
docker_repo: helloworld # Ex: helloworld
deploy_target: gcp-cloud-run
gcp_region: europe-west1 # Ex: europe-west1
gcp_memory: 1G # Ex: 1G
gcp_request_concurrency: 80 # Ex: 80
with_async: true
jwt_issuer: api.helloworld.com
jwt_audience: helloworldaudienceisgreat
jwt_secret: PYM_JWT_SECRET
live_url: https://helloworld.com
env_secrets:
- PYM_JWT_SECRET
"""
# The sample of the framework itself has no deploy_target, and live_host in the place of live_url.
SAMPLE = """\
name: helloworld
live_host: pymacaron-helloworld.com
docker_repo: erwan
docker_bucket: my-docker-config
aws_user: pymacaron-user
aws_keypair: aws-eb
aws_instance_type: t2.micro
aws_cert_arn: arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012
uuid_file_path: /tmp/uuid
dummy_config: [1, 2, {a: b}]
jwt_secret: PYM_JWT_SECRET
env_secrets:
- PYM_JWT_SECRET
"""


class Load:
    """Writes a configuration into a folder and loads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def text(self, text: str, environment: str | None = None) -> Config:
        name = f"pym-config.{environment}.yaml" if environment else "pym-config.yaml"
        (self.folder / name).write_text(text, encoding="utf-8")
        return config.load(self.folder, environment)

    def data(self, base: Mapping[str, object], **more: object) -> Config:
        return self.text(yaml.safe_dump({**base, **more}))

    def problems(self, base: Mapping[str, object], **more: object) -> tuple[Problem, ...]:
        with pytest.raises(ConfigError) as caught:
            self.data(base, **more)
        return caught.value.problems


@pytest.fixture
def load(tmp_path: Path) -> Load:
    return Load(tmp_path)


def texts(loaded: Config) -> list[str]:
    return [p.text for p in loaded.warnings]


def test_the_pages_beanstalk_example_is_valid_without_a_warning(load: Load) -> None:
    loaded = load.text(PAGE_BEANSTALK)

    assert texts(loaded) == []
    assert loaded.target == "aws-beanstalk"
    assert loaded.settings.with_async is True
    assert loaded.settings.aws_hosts_min == 1
    assert loaded.image_repository() == "docker.io/myrepo/hello"


def test_the_pages_cloud_run_example_is_valid_with_warnings(load: Load) -> None:
    loaded = load.text(PAGE_CLOUD_RUN)

    assert [t.split(":")[0] for t in texts(loaded)] == ["gcp_memory", "with_async on gcp-cloud-run"]
    assert loaded.settings.gcp_memory == "1G"


def test_the_frameworks_own_sample_is_valid_with_a_note(load: Load) -> None:
    loaded = load.text(SAMPLE)

    assert texts(loaded) == ["no deploy_target: aws-beanstalk is assumed"]
    assert loaded.live_url == "https://pymacaron-helloworld.com"
    assert loaded.own == {"uuid_file_path": "/tmp/uuid", "dummy_config": [1, 2, {"a": "b"}]}


@pytest.mark.parametrize("base", [CLOUD_RUN, BEANSTALK, GKE])
def test_a_correct_file_has_no_warning(load: Load, base: dict[str, object]) -> None:
    assert texts(load.data(base)) == []


@pytest.mark.parametrize("environment", [None, "aws", "gke"])
def test_the_examples_are_valid(environment: str | None) -> None:
    folder = Path(__file__).parents[2] / "examples" / "helloworld"

    assert config.load(folder, environment).settings.name == "helloworld"


def test_defaults_of_2_x_are_used_with_a_warning_that_names_them(load: Load) -> None:
    given = {k: v for k, v in CLOUD_RUN.items() if not k.startswith("gcp_")}

    loaded = load.data(given)

    assert texts(loaded) == [
        "no gcp_region, which gcp-cloud-run needs: europe-west1 is used",
        "no gcp_memory, which gcp-cloud-run needs: 512Mi is used",
        "no gcp_request_concurrency, which gcp-cloud-run needs: 10 is used",
    ]
    assert loaded.settings.gcp_request_concurrency == 10


@pytest.mark.parametrize(
    ("base", "name"),
    [
        *[(BEANSTALK, n) for n in BEANSTALK if n != "deploy_target"],
        *[(CLOUD_RUN, n) for n in ("name", "docker_repo", "live_url")],
        *[(GKE, n) for n in ("name", "docker_repo", "live_url")],
    ],
)
def test_a_mandatory_key_of_the_page_is_mandatory(
    load: Load, base: dict[str, object], name: str
) -> None:
    found = load.problems({k: v for k, v in base.items() if k != name})

    assert [p.text.split(":")[0] for p in found] == [f"{name} is missing"]


def test_live_host_may_stand_in_for_live_url(load: Load) -> None:
    given = {k: v for k, v in GKE.items() if k != "live_url"}

    assert load.data(given, live_host="api.example.com").live_url == "https://api.example.com"


@pytest.mark.parametrize(
    ("more", "url"),
    [
        ({"live_host": "api.example.com"}, "http://api.example.com"),
        (
            {
                "live_host": "api.example.com",
                "aws_cert_arn": "arn:aws:acm:eu-west-1:123456789012:certificate/12345678-abcd",
            },
            "https://api.example.com",
        ),
        ({"live_url": "http://api.example.com/"}, "http://api.example.com"),
    ],
)
def test_beanstalk_speaks_https_with_a_certificate_only(
    load: Load, more: dict[str, object], url: str
) -> None:
    given = {k: v for k, v in BEANSTALK.items() if k != "live_url"}

    assert load.data(given, **more).live_url == url


def test_the_image_on_cloud_run_is_in_artifact_registry(load: Load) -> None:
    loaded = load.data(CLOUD_RUN, gcp_project="my-project")

    assert loaded.image_repository() == "europe-west1-docker.pkg.dev/my-project/pymacaron/hello"


def test_the_image_on_gke_is_in_the_project_that_docker_repo_names(load: Load) -> None:
    loaded = load.data(GKE, docker_repository="services")

    assert loaded.image_repository() == "europe-west1-docker.pkg.dev/my-project/services/hello"


def test_another_registry_takes_the_place_of_the_default(load: Load) -> None:
    assert load.data(BEANSTALK, docker_registry="ghcr.io").image_repository() == (
        "ghcr.io/myorg/hello"
    )
    assert load.data(GKE, docker_registry="localhost:5000").image_repository() == (
        "localhost:5000/my-project/pymacaron/hello"
    )


@pytest.mark.parametrize(
    ("more", "fallback", "project"),
    [
        ({"gcp_project": "my-project"}, "other-project", "my-project"),
        ({}, "other-project", "other-project"),
    ],
)
def test_the_project_is_the_files_else_the_environments(
    load: Load, more: dict[str, object], fallback: str, project: str
) -> None:
    assert load.data(CLOUD_RUN, **more).project(fallback) == project


def test_a_project_that_nobody_names_is_an_error_that_says_how_to(load: Load) -> None:
    with pytest.raises(ConfigError, match="project is not known") as caught:
        load.data(CLOUD_RUN).project(None)

    assert "gcp_project" in (caught.value.problems[0].hint or "")


def test_docker_repo_is_the_cloud_run_service(load: Load) -> None:
    assert load.data(CLOUD_RUN, gcp_project="my-project").cloud_run_service() == "helloworld"


def test_a_docker_repo_that_is_the_project_means_the_service_is_called_name(load: Load) -> None:
    named = load.data(CLOUD_RUN, docker_repo="my-project", gcp_project="my-project")
    found = load.data(CLOUD_RUN, docker_repo="my-project")

    assert named.cloud_run_service() == "hello"
    assert found.cloud_run_service("my-project") == "hello"


def test_own_keys_are_legal_and_handed_on(load: Load) -> None:
    mine = {"my_key": "x", "Weird Key!": [1, None], "nested": {"name": "other", "jwt_isuer": 1}}

    loaded = load.data(CLOUD_RUN, **mine)

    assert loaded.own == mine
    assert texts(loaded) == []


def test_a_value_that_equals_a_listed_name_is_a_reference(load: Load) -> None:
    loaded = load.data(
        CLOUD_RUN,
        jwt_secret="PYM_JWT_SECRET",
        jwt_token_timeout="MY_TIMEOUT",
        env_secrets=["PYM_JWT_SECRET", "MY_TIMEOUT", "UNUSED_BY_ANY_KEY"],
    )

    assert texts(loaded) == []
    assert loaded.settings.env_secrets == ("PYM_JWT_SECRET", "MY_TIMEOUT", "UNUSED_BY_ANY_KEY")
    assert loaded.settings.jwt_secret == "PYM_JWT_SECRET"
    assert loaded.settings.jwt_token_timeout == 86400


@pytest.mark.parametrize("name", ["jwt_secret", "aws_secret_access_key"])
def test_a_literal_secret_is_a_warning(load: Load, name: str) -> None:
    loaded = load.data(CLOUD_RUN, **{name: "s3cr3t"})

    assert texts(loaded) == [f"{name} holds a secret: everybody who reads this file has it"]


def test_no_part_of_a_literal_secret_is_in_any_repr_or_text(load: Load) -> None:
    loaded = load.data(CLOUD_RUN, jwt_secret="hunter2", my_password="hunter2", x={"y": "hunter2"})

    assert "hunter2" not in repr(loaded)
    assert "hunter2" not in "".join(map(str, loaded.warnings))


def test_numbers_become_what_a_setting_is_declared_as(load: Load) -> None:
    loaded = load.data(CLOUD_RUN, gcp_cpu=2.0, gcp_request_concurrency=80.0, gcp_memory="1Gi")

    assert loaded.settings.gcp_cpu == "2"
    assert loaded.settings.gcp_request_concurrency == 80
    assert isinstance(loaded.settings.gcp_request_concurrency, int)


def test_lists_become_tuples(load: Load) -> None:
    loaded = load.data(CLOUD_RUN, gcp_traffic_steps=[10, 50, 100], include_links=["shared"])

    assert loaded.settings.gcp_traffic_steps == (10, 50, 100)
    assert loaded.settings.include_links == ("shared",)


def test_all_problems_come_at_once_in_the_order_of_the_file(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load.text("live_url: nowhere\nname: NO NAME\ngcp_memory: lots\ndocker_repo: x\nname: x\n")

    lines = [p.location.line for p in caught.value.problems if p.location]
    assert lines == sorted(lines, key=lambda n: n or 0)
    assert {p.severity for p in caught.value.problems} == {"error", "warning"}
    assert caught.value.exit_code == 2


def test_a_misspelt_key_of_the_target_still_tells_the_target(load: Load) -> None:
    given = {k: v for k, v in CLOUD_RUN.items() if k != "deploy_target"}

    (found,) = load.problems(given, deploy_traget="gcp-cloud-run")

    assert found.text == "deploy_target is missing"
    assert found.hint == "line 1 has deploy_traget: did you mean deploy_target?"


VALUES = st.one_of(
    st.sampled_from([*TARGETS, "hello", "A_NAME", "512Mi", "eu-west-1", "https://x.example.com"]),
    st.none() | st.booleans() | st.integers(-9, 9**9) | st.floats(allow_nan=False),
    st.text(max_size=70),
    st.lists(st.integers(0, 100) | st.sampled_from(["A_NAME", "a", None, ["x"]]), max_size=3),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(), max_size=2),
)


@given(st.dictionaries(st.sampled_from(sorted(OPTIONS)), VALUES, max_size=12))
@settings(max_examples=200, deadline=None)
def test_no_values_whatever_of_known_settings_lead_to_a_traceback(
    data: dict[str, object],
) -> None:
    path = Path("pym-config.yaml")
    for base in (CLOUD_RUN, BEANSTALK, GKE):
        text = yaml.safe_dump({**base, **data}, allow_unicode=True)
        with contextlib.suppress(ConfigError):
            loaded = config.judge(document.parse(text.encode(), "x"), path, path.parent, None)
            assert loaded.live_url
            assert loaded.image_repository("some-project")


def test_an_environment_has_its_own_file(load: Load, tmp_path: Path) -> None:
    load.data(CLOUD_RUN)

    loaded = load.text(yaml.safe_dump({**CLOUD_RUN, "name": "hello-test"}), "test")

    assert loaded.settings.name == "hello-test"
    assert loaded.environment == "test"
    assert loaded.file == tmp_path / "pym-config.test.yaml"


def test_the_file_of_another_environment_never_takes_its_place(load: Load, tmp_path: Path) -> None:
    load.data(CLOUD_RUN)
    load.text(yaml.safe_dump(CLOUD_RUN), "staging")

    with pytest.raises(ConfigError, match=r"pym-config\.stagign\.yaml does not exist") as caught:
        config.load(tmp_path, "stagign")

    assert caught.value.problems[0].hint == "did you mean staging?"


@pytest.mark.parametrize("environment", ["../x", "", "a/b", "a b", ".", "-x", "é\n"])
def test_what_can_be_no_environment_is_refused(tmp_path: Path, environment: str) -> None:
    with pytest.raises(ConfigError, match="can't be the name of an environment"):
        config.load(tmp_path, environment)


def test_a_file_under_a_similar_name_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "pym-config.yml").write_text("name: hello\n")

    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path, None)

    assert caught.value.problems[0].hint == "there is pym-config.yml: rename it"


@pytest.mark.parametrize(
    ("present", "folder", "hint"),
    [
        (None, ".", "run this in the service's folder, or give that folder with -C"),
        ("pym-config.aws.yaml", ".", "there is pym-config.aws.yaml: --env aws uses it"),
        (None, "nowhere", "is no folder: -C takes the one in which pym-config.yaml lies"),
        ("a-file", "a-file", "is no folder: -C takes the one in which pym-config.yaml lies"),
    ],
)
def test_a_missing_file_is_a_plain_error_that_says_where_to_look(
    tmp_path: Path, present: str | None, folder: str, hint: str
) -> None:
    if present:
        (tmp_path / present).write_text("name: hello\n")

    with pytest.raises(ConfigError, match=r"pym-config\.yaml does not exist") as caught:
        config.load(tmp_path / folder, None)

    assert (caught.value.problems[0].hint or "").endswith(hint)


def test_loading_a_configuration_imports_nothing_heavy() -> None:
    heavy = ["boto3", "botocore", "docker", "google", "requests", "urllib3", "jsonschema", "flask"]
    program = (
        "import sys, pymacaron_ci.config, pymacaron_ci.env_secrets, pymacaron_ci.problems\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert answer.stdout.strip() == "[]"
