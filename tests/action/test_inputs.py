"""From the action's inputs to a command line, and secrets out of the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pymacaron_ci.cli import cli
from pymacaron_ci.errors import ConfigError, SecretsError
from pymacaron_ci.github.context import Context
from pymacaron_ci.github.inputs import COMMANDS, PREFIX, arguments, choose, read, take_secrets
from pymacaron_ci.oidc import Login

PROVIDER = "projects/123/locations/global/workloadIdentityPools/pool-1/providers/github"


def given(**values: str) -> dict[str, str]:
    return {PREFIX + name.upper(): value for name, value in values.items()}


def context(event: str = "push", *, fork: str | None = None, actor: str = "octocat") -> Context:
    return Context(event=event, repository="o/r", ref="", workspace=Path(), fork=fork, actor=actor)


def test_inputs_that_are_not_given_have_their_defaults() -> None:
    assert read({}) == read(given(command="", environment=" ", simulate="", summary=""))
    inputs = read({})
    assert (inputs.command, inputs.folder, inputs.summary) == (None, ".", True)
    assert not inputs.simulate
    assert not inputs.skip_tests


def test_inputs_are_read() -> None:
    inputs = read(
        given(
            command="deploy",
            working_directory="services/hello",
            environment="staging",
            wait_timeout="900",
            skip_tests="true",
            simulate="True",
            summary="false",
            aws_role_to_assume="arn:aws:iam::123456789012:role/ci/deployer",
            aws_region="eu-west-1",
            gcp_workload_identity_provider=f"https://iam.googleapis.com/{PROVIDER}",
            gcp_service_account="deployer@proj.iam.gserviceaccount.com",
        )
    )
    assert inputs.folder == "services/hello"
    assert inputs.wait_timeout == 900
    assert (inputs.skip_tests, inputs.simulate, inputs.summary) == (True, True, False)
    assert inputs.login.provider == PROVIDER


def test_all_that_is_wrong_with_inputs_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read(
            given(
                command="destroy",
                simulate="yes",
                skip_tests="1",
                wait_timeout="5m",
                environment="--help",
                version="1.0 beta",
                aws_role_to_assume="deployer",
                aws_region="Ireland",
                gcp_workload_identity_provider="my-pool",
                gcp_service_account="me",
            )
        )
    texts = "\n".join(str(problem) for problem in caught.value.problems)
    for name in (
        "command",
        "simulate",
        "skip-tests",
        "wait-timeout",
        "environment",
        "version",
        "aws-role-to-assume",
        "aws-region",
        "gcp-workload-identity-provider",
        "gcp-service-account",
    ):
        assert name in texts
    assert len(caught.value.problems) == 10
    assert all(problem.hint for problem in caught.value.problems)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "٣", "86401", "1e3"])
def test_a_timeout_is_a_number_of_seconds(value: str) -> None:
    with pytest.raises(ConfigError, match="wait-timeout"):
        read(given(wait_timeout=value))


def test_a_service_account_needs_a_provider() -> None:
    (problem,) = Login(gcp_service_account="a@p.iam.gserviceaccount.com").problems()
    assert "without gcp-workload-identity-provider" in problem.text


@pytest.mark.parametrize(
    ("event", "fork", "actor", "asked", "command"),
    [
        ("push", None, "octocat", "", "deploy"),
        ("workflow_dispatch", None, "octocat", "", "deploy"),
        ("workflow_dispatch", None, "octocat", "rollback", "rollback"),
        ("pull_request", None, "octocat", "", "dry-run"),
        ("pull_request", None, "octocat", "deploy", "deploy"),
        ("pull_request", "stranger/r", "octocat", "", "validate"),
        ("pull_request", "stranger/r", "octocat", "dry-run", "validate"),
        ("pull_request", None, "dependabot[bot]", "", "validate"),
        ("push", None, "dependabot[bot]", "", "deploy"),
        ("pull_request_target", "stranger/r", "octocat", "", "dry-run"),
        ("merge_group", None, "octocat", "", "dry-run"),
    ],
)
def test_the_command_follows_from_what_happened(
    event: str, fork: str | None, actor: str, asked: str, command: str
) -> None:
    inputs = read(given(command=asked))
    choice = choose(inputs, context(event, fork=fork, actor=actor))
    assert choice.command == command
    assert (choice.why is None) == (command in (asked, "deploy"))


def test_outside_github_the_default_is_to_deploy() -> None:
    assert choose(read({}), None).command == "deploy"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_knows_every_flag_it_is_given(command: str, tmp_path: Path) -> None:
    inputs = read(
        given(
            command=command,
            working_directory=str(tmp_path / "nowhere"),
            environment="staging",
            wait_timeout="900",
            skip_tests="true",
            simulate="true",
            version="1.2.3",
        )
    )
    line = arguments(inputs, command, report=str(tmp_path / "report.json"))
    assert line[0] == command
    cli.commands[command].make_context(command, line[1:])  # raises for a flag it doesn't know


def test_an_input_can_not_smuggle_a_flag_in() -> None:
    line = arguments(read(given(environment="a --simulate", working_directory="a b")), "deploy")
    assert line[:5] == ["deploy", "-C", "a b", "--env", "a --simulate"]


SECRETS = {
    "QUOTES": "a'b\"c",
    "DOLLAR": "$HOME ${X} $(id)",
    "LINES": "one\ntwo\r\nthree\n",
    "UNICODE": "é漢字🙂\u2028",
    "BACK": "\\n\\\\",
    "BIG": "x" * 48 * 1024,
    "JSON": '{"a": [1, "é"]}',
    "PERCENT": "%25%0A",
    "SPACES": "  padded  ",
}


@pytest.mark.parametrize("way", ["env", "json", "mixed"])
def test_secrets_arrive_byte_for_byte_and_leave_the_environment(way: str) -> None:
    names = list(SECRETS)
    by_env = names if way == "env" else names[:4] if way == "mixed" else []
    environ = {name: SECRETS[name] for name in by_env} | {"PATH": "/bin"}
    blob = {name: SECRETS[name] for name in names if name not in by_env}
    environ[f"{PREFIX}SECRETS"] = json.dumps(blob, indent=2, ensure_ascii=False)
    found = take_secrets(environ, names)
    assert found.values == SECRETS
    assert found.unlisted == ()
    assert environ == {"PATH": "/bin"}


def test_the_steps_env_goes_before_the_json() -> None:
    environ = {"A": "from env", f"{PREFIX}SECRETS": '{"A": "from json"}'}
    assert take_secrets(environ, ["A"]).values == {"A": "from env"}


def test_a_secret_that_is_not_set_arrives_empty_and_the_json_stands_in() -> None:
    environ = {"A": "", "B": "", f"{PREFIX}SECRETS": '{"A": "from json"}'}
    assert take_secrets(environ, ["A", "B", "C"]).values == {"A": "from json"}


def test_names_are_compared_as_github_compares_them() -> None:
    environ = {f"{PREFIX}SECRETS": '{"DB_PASSWORD": "x", "github_token": "ghs"}'}
    found = take_secrets(environ, ["db_password"])
    assert found.values == {"db_password": "x"}
    assert found.unlisted == ()


def test_secrets_that_nobody_asked_for_are_named_and_not_taken() -> None:
    environ = {f"{PREFIX}SECRETS": '{"B": "x", "A": "y", "C": "z"}'}
    found = take_secrets(environ, ["C"])
    assert found.values == {"C": "z"}
    assert found.unlisted == ("A", "B")


@pytest.mark.parametrize(
    "blob",
    ["hunter2", "[1]", '{"A": {"b": "hunter2"}}', '{"A": 1}', '{"A": "hunter2"', "[" * 100_000],
)
def test_what_is_no_json_of_secrets_is_refused_without_showing_it(blob: str) -> None:
    with pytest.raises(SecretsError) as caught:
        take_secrets({f"{PREFIX}SECRETS": blob}, ["A"])
    assert "hunter2" not in str(caught.value) + repr(caught.value.__cause__)
    assert caught.value.exit_code == 3
    assert caught.value.problems[0].hint


def test_help_of_the_command_line_still_works() -> None:
    assert CliRunner().invoke(cli, ["--help"]).exit_code == 0
