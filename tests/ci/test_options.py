"""One declaration per setting: types, rules, JSON Schema and docs agree with each other."""

from __future__ import annotations

import json
import re
import typing
from pathlib import Path

import cerberus
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymacaron_ci.options import GROUPS, OPTIONS, TARGETS, Settings, render, validation, values
from pymacaron_ci.options.regions import AWS_REGIONS, GOOGLE_REGIONS
from pymacaron_ci.options.spelling import nearest

ROOT = Path(__file__).parents[2]
SCHEMA = render.json_schema()
COMPLETE = {
    "aws-beanstalk": {
        "name": "hello",
        "docker_repo": "myorg",
        "live_url": "https://api.example.com",
        "aws_user": "deployer",
        "aws_keypair": "aws-eb",
        "aws_instance_type": "t3.micro",
        "docker_bucket": "my-config",
    },
    "gcp-cloud-run": {"name": "hello", "docker_repo": "hello", "live_host": "api.example.com"},
    "gke": {"name": "hello", "docker_repo": "my-project", "live_url": "https://api.example.com"},
}
# The keys of the original documentation page and of the 2.x code.
DOCUMENTED = [
    "name", "live_url", "live_host", "deploy_target", "docker_repo", "docker_bucket",
    "docker_base", "include_links", "env_secrets", "with_async", "worker_count", "cpu_count",
    "jwt_secret", "jwt_audience", "jwt_issuer", "jwt_token_timeout", "jwt_token_renew_after",
    "default_user_id", "report_call_exceeding_ms", "scout_key", "scout_app_name",
    "app_name_live", "app_name_dev", "aws_user", "aws_keypair", "aws_instance_type",
    "aws_cert_arn", "aws_zone_id", "aws_region", "aws_default_region", "aws_access_key_id",
    "aws_secret_access_key", "aws_hosts_min", "aws_hosts_max", "gcp_region", "gcp_memory",
    "gcp_request_concurrency", "env_jwt_secret", "env_jwt_audience",
]  # fmt: skip


def says_cerberus(name: str, value: object) -> bool:
    """Whether the whole of our validation lets the value pass."""
    return all(c.severity == "warning" for _, c in validation.complaints({name: value}))


PROPERTIES = {n: jsonschema.Draft202012Validator(s) for n, s in SCHEMA["properties"].items()}


def says_json_schema(name: str, value: object) -> bool:
    return PROPERTIES[name].is_valid(value)


def test_every_documented_key_is_known() -> None:
    assert not [name for name in DOCUMENTED if name not in OPTIONS]


def test_every_setting_is_in_one_group_and_is_documented() -> None:
    listed = [name for group in GROUPS.values() for name in typing.get_type_hints(group)]

    assert sorted(listed) == sorted(OPTIONS)
    for option in OPTIONS.values():
        assert option.facts.help, option.name
        assert option.facts.example is not None, option.name
        assert set(option.facts.required) <= set(option.facts.targets or TARGETS)


def test_every_example_is_valid_for_the_validator_and_for_the_schema() -> None:
    for name, option in OPTIONS.items():
        assert says_cerberus(name, option.facts.example), name
        assert says_json_schema(name, option.facts.example), name


def test_every_default_is_a_value_that_the_file_could_give() -> None:
    for name, option in OPTIONS.items():
        default = list(option.default) if isinstance(option.default, tuple) else option.default
        if default not in (None, ""):
            assert says_cerberus(name, default), name
            assert says_json_schema(name, default), name


def test_a_pattern_means_the_same_to_pythons_and_to_javascripts_engines() -> None:
    text = json.dumps(SCHEMA)
    patterns = re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', text)

    assert len(patterns) > 20
    for pattern in patterns:
        # \w is ASCII in JavaScript only; look-behinds, named groups and possessives differ too.
        assert not re.search(r"\\\\w|\\\\d|\(\?[^:]|\\\\[AZz]", pattern), pattern


def test_cerberus_accepts_the_schema_it_is_given() -> None:
    assert cerberus.Validator(validation.cerberus_schema()).schema


def test_the_json_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("target", TARGETS)
def test_the_json_schema_knows_what_a_target_needs(target: str) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    good = {"deploy_target": target, **COMPLETE[target]}

    assert validator.is_valid(good)
    for name in good:
        lacking = {k: v for k, v in good.items() if k != name}
        # Without deploy_target the file is one for aws-beanstalk.
        assumed = name == "deploy_target" and target == "aws-beanstalk"
        assert validator.is_valid(lacking) == assumed, name


def test_own_keys_are_fine_with_the_json_schema() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)

    assert validator.is_valid({**COMPLETE["gke"], "deploy_target": "gke", "mine": {"a": [1]}})


ODD_VALUES: list[object] = [
    None, True, False, 0, 1, -1, 2, 80, 80.0, 80.5, 5000, 10**30, "", " ", "a", "A", "hello",
    "Hello_World", "hello\n", "3.12", "t3.micro", "512Mi", "1G", "https://api.example.com",
    "api.example.com", "europe-west1", "europe-west99", "eu-west-1", "x" * 300, "é", "<HERE>",
    [], [""], ["a"], ["A_NAME", "B"], [1], [10, 100], [None], [[]], {}, {"a": "b"}, {"a": 1},
    {"A": "b"}, "application", "docker", "vpc-01234567", "Ok", 30, 31, ["subnet-01234567"],
    ["linux/amd64"], ["HS256"], ["none"], "/ping", "ping", "/", "Z0123", "4.6.0", "a/b", "redis://x",
    "gen2",
]  # fmt: skip


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_the_validator_and_the_json_schema_agree(name: str) -> None:
    checked = OPTIONS[name].facts.check is not None
    for value in ODD_VALUES:
        ours, theirs = says_cerberus(name, value), says_json_schema(name, value)
        placeholder = value == "<HERE>"
        line_break = value == "hello\n"  # Python's $ lets it pass, JavaScript's does not
        if placeholder or line_break:
            continue
        if checked:
            # A check sees more than a pattern can tell; what it accepts, the pattern must accept.
            assert theirs or not ours, (name, value)
        else:
            assert ours == theirs, (name, value)


@given(
    st.sampled_from(sorted(n for n, o in OPTIONS.items() if not o.facts.check)),
    st.none() | st.booleans() | st.integers(-5, 6000) | st.floats(allow_nan=False)
    | st.from_regex(r"[a-z0-9A-Z./_:@-]{0,70}", fullmatch=True)
    | st.lists(st.integers(0, 120) | st.text("aZ0/_-", max_size=20), max_size=3)
    | st.dictionaries(
        st.text("aB_-", min_size=1, max_size=9),
        st.integers() | st.text("aB-", max_size=5),
        max_size=2,
    ),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_they_agree_on_any_value(name: str, value: object) -> None:
    assert says_cerberus(name, value) == says_json_schema(name, value)


def test_generated_files_are_fresh() -> None:
    assert render.stale(ROOT) == [], "run python -m pymacaron_ci.options.render"


def test_a_stale_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / render.DOCS_FILE).write_text(render.docs_text(), encoding="utf-8")
    (tmp_path / render.SCHEMA_FILE).write_text("{}", encoding="utf-8")

    assert render.stale(tmp_path) == [render.SCHEMA_FILE]


def test_the_docs_table_has_a_row_for_each_setting() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", render.docs_text(), re.MULTILINE)

    assert sorted(rows) == sorted(OPTIONS)


def test_a_secret_setting_is_not_in_the_settings_repr() -> None:
    made = Settings(
        name="hello", docker_repo="x", jwt_secret="hunter2", broker_url="redis://:hunter2@x"
    )

    assert "hunter2" not in repr(made)


@pytest.mark.parametrize(
    ("amount", "size"),
    [
        ("512Mi", 512 * 2**20),
        ("1Gi", 2**30),
        ("1G", 10**9),
        ("1.5Gi", 3 * 2**29),
        ("128M", 128 * 10**6),
    ],
)
def test_a_memory_size_is_counted_in_bytes(amount: str, size: int) -> None:
    assert values.memory_bytes(amount) == size


@pytest.mark.parametrize("amount", ["", "Gi", "1GB", "-1Gi", "1gi", "1 Gi2", "one"])
def test_what_is_no_memory_size_has_no_bytes(amount: str) -> None:
    with pytest.raises(ValueError, match="not a memory size"):
        values.memory_bytes(amount)


def test_every_known_region_has_the_shape_of_one() -> None:
    assert all(re.fullmatch(values.REGION_OF_GOOGLE, r) for r in GOOGLE_REGIONS)
    assert all(re.fullmatch(values.REGION_OF_AWS, r) for r in AWS_REGIONS)
    assert len(GOOGLE_REGIONS) > 40
    assert len(AWS_REGIONS) > 30


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("gcp_memroy", "gcp_memory"),
        ("gcp_memry", "gcp_memory"),
        ("gcp-memory", "gcp_memory"),
        ("gcpMemory", "gcp_memory"),
        ("GCP_MEMORY", "gcp_memory"),
        ("nmae", "name"),
        ("live_ulr", "live_url"),
        ("docker_repositry", "docker_repository"),
        ("aws_cert_arm", "aws_cert_arn"),
    ],
)
def test_a_slip_is_recognised(word: str, meant: str) -> None:
    assert nearest(word, OPTIONS) == meant


@pytest.mark.parametrize(
    "word",
    [
        "uuid_file_path",
        "dummy_config",
        "nome_x",
        "gcp_memory_limit",
        "jwt_secret_of_partner",
        "x" * 500,
    ],
)
def test_an_applications_own_key_is_no_slip(word: str) -> None:
    assert nearest(word, OPTIONS) is None
