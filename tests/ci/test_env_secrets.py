"""Secrets: byte for byte, all missing ones at once, nothing shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymacaron_ci import config, env_secrets
from pymacaron_ci.errors import SecretsError
from pymacaron_ci.model import Location

FILE = """\
name: hello
deploy_target: gke
docker_repo: my-project
live_url: https://api.example.com
gcp_region: europe-west1
jwt_secret: ONE_SECRET
env_secrets:
- ONE_SECRET
- TWO_SECRET
- THREE_SECRET
"""


@pytest.fixture
def loaded(tmp_path: Path) -> config.Config:
    (tmp_path / "pym-config.yaml").write_text(FILE)
    return config.load(tmp_path, None)


STRONG = "k" * 32


def environ(**given: str) -> dict[str, str]:
    return {"ONE_SECRET": STRONG, "TWO_SECRET": "b2!", "THREE_SECRET": "c3!", "OTHER": "x", **given}


def test_each_name_becomes_a_secret_in_the_order_of_the_file(loaded: config.Config) -> None:
    secrets = env_secrets.resolve(loaded, environ())

    assert [(s.name, s.reveal()) for s in secrets] == [
        ("ONE_SECRET", STRONG),
        ("TWO_SECRET", "b2!"),
        ("THREE_SECRET", "c3!"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        *("abc==def=tail", "a'b\"c`d", "$HOME ${X} $(true)", "line\nline\n", "a,b c", "ünï😀"),
        *(
            "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
            "\\n\\",
            " x ",
            "x" * 50_000,
        ),
    ],
)
def test_a_value_passes_byte_for_byte(loaded: config.Config, value: str) -> None:
    assert env_secrets.resolve(loaded, environ(TWO_SECRET=value))[1].reveal() == value


def test_all_missing_and_empty_ones_are_told_at_their_places(loaded: config.Config) -> None:
    with pytest.raises(SecretsError) as caught:
        env_secrets.resolve(loaded, {"THREE_SECRET": "", "TWO_SECRET": "b2!"})

    found = caught.value.problems
    assert [p.text for p in found] == [
        "the secret ONE_SECRET is not set",
        "the secret THREE_SECRET is empty",
    ]
    assert [p.location for p in found] == [
        Location(file=str(loaded.file), line=8, column=3, length=10),
        Location(file=str(loaded.file), line=10, column=3, length=12),
    ]
    assert found[0].hint
    assert "ONE_SECRET: ${{ secrets.ONE_SECRET }}" in found[0].hint
    assert caught.value.exit_code == 3


def test_a_secret_that_another_name_ends_with_is_not_mixed_up(loaded: config.Config) -> None:
    with pytest.raises(SecretsError, match="ONE_SECRET is not set"):
        env_secrets.resolve(
            loaded, {"MY_ONE_SECRET": "wrong", "TWO_SECRET": "b", "THREE_SECRET": "c"}
        )


def test_a_name_listed_twice_is_one_secret(tmp_path: Path) -> None:
    (tmp_path / "pym-config.yaml").write_text(FILE + "- ONE_SECRET\n")

    secrets = env_secrets.resolve(config.load(tmp_path, None), environ())

    assert [s.name for s in secrets] == ["ONE_SECRET", "TWO_SECRET", "THREE_SECRET"]


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        ("abc\n", "has blanks or a line break at its start or end"),
        (" abc", "has blanks or a line break at its start or end"),
        ("\t ", "holds nothing but blanks"),
        ("changeme", "looks like a placeholder"),
        ("<CHANGEME>", "looks like a placeholder"),
        ("TWO_SECRET", "has its own name as its value"),
        ('"quoted"', "is in quotation marks"),
        ("${{ secrets.TWO_SECRET }}", "is an expression that no workflow has replaced"),
    ],
)
def test_a_suspicious_value_is_a_warning(loaded: config.Config, value: str, flaw: str) -> None:
    secrets = env_secrets.resolve(loaded, environ(TWO_SECRET=value))

    (warning,) = env_secrets.warnings(loaded, secrets)

    assert warning.severity == "warning"
    assert flaw in warning.text
    assert warning.location
    assert warning.location.line == 9
    if value.strip() != "TWO_SECRET" and value.strip():
        assert value.strip() not in str(warning)


@pytest.mark.parametrize(
    "value",
    ["s3cr3t", "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----\n", '{"a": 1}'],
)
def test_a_good_value_is_no_warning(loaded: config.Config, value: str) -> None:
    secrets = env_secrets.resolve(loaded, environ(TWO_SECRET=value))

    assert env_secrets.warnings(loaded, secrets) == ()


def test_no_secrets_need_no_environment(tmp_path: Path) -> None:
    (tmp_path / "pym-config.yaml").write_text(FILE.split("jwt_secret")[0])

    assert env_secrets.resolve(config.load(tmp_path, None), {}) == ()


def test_a_short_key_for_tokens_is_a_warning(loaded: config.Config) -> None:
    secrets = env_secrets.resolve(loaded, environ(ONE_SECRET="ä" * 15))

    (warning,) = env_secrets.warnings(loaded, secrets)

    assert "ONE_SECRET signs tokens and has less than 32 bytes" in warning.text


def test_a_value_that_its_setting_can_not_have_is_told_and_not_shown(tmp_path: Path) -> None:
    text = FILE + "with_async: true\nbroker_url: TWO_SECRET\npersist_url: THREE_SECRET\n"
    (tmp_path / "pym-config.yaml").write_text(text)
    loaded = config.load(tmp_path, None)
    given = environ(TWO_SECRET="redis://:hunter2#1@redis/0", THREE_SECRET="hunter2.db")
    with pytest.raises(SecretsError) as caught:
        env_secrets.resolve(loaded, given)
    assert [
        (p.text.partition(":")[0], p.location and p.location.line) for p in caught.value.problems
    ] == [
        ("the secret TWO_SECRET can't be broker_url", 9),
        ("the secret THREE_SECRET can't be persist_url", 10),
    ]
    assert "hunter2" not in repr(caught.value.problems)
