"""The command as a user types it: messages, formats, exit codes. Only what needs no cloud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pymacaron_ci import __version__

REPOSITORY = Path(__file__).resolve().parents[2]
SERVICE = REPOSITORY / "examples" / "helloworld"
BAD = """name: hello
deploy_target: gcp-cloud-run
docker_repo: hello
live_url: https://hello.example.com
gcp_regoin: europe-west1
jwt_secret: HELLO_SECRET
env_secrets: [HELLO_SECRET, OTHER_SECRET]
"""


def run(
    *arguments: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    kept = {k: os.environ[k] for k in ("PATH", "HOME", "TMPDIR") if k in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "pymacaron_ci", *arguments],
        cwd=folder or REPOSITORY,
        env={**kept, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    (tmp_path / "pym-config.yaml").write_text(BAD, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("environment", [None, "aws", "gke"])
def test_the_examples_configurations_are_valid(environment: str | None) -> None:
    arguments = ["validate", "-C", str(SERVICE), *(["--env", environment] if environment else [])]
    done = run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is valid: helloworld" in done.stdout


def test_a_problem_has_its_place_its_line_a_caret_and_a_hint(bad: Path) -> None:
    done = run("validate", folder=bad)
    assert "pym-config.yaml:5:1: warning" in done.stdout
    assert "    gcp_regoin: europe-west1\n    ^^^^^^^^^^" in done.stdout
    assert "did you mean gcp_region?" in done.stdout


def test_problems_come_as_json_on_request(bad: Path) -> None:
    done = run("validate", "--format", "json", folder=bad)
    problems = json.loads(done.stdout)
    assert any(p["line"] == 5 and p["severity"] == "warning" for p in problems)


def test_problems_are_annotations_on_github(bad: Path, tmp_path: Path) -> None:
    done = run(
        "validate", folder=bad, GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(bad),
        GITHUB_EVENT_NAME="push", GITHUB_REPOSITORY="o/r", GITHUB_REF="refs/heads/main",
    )  # fmt: skip
    assert "::warning " in done.stdout
    assert "file=pym-config.yaml,line=5,col=1" in done.stdout


def test_missing_secrets_are_told_all_at_once_at_their_places(bad: Path) -> None:
    done = run("deploy", folder=bad)
    assert done.returncode == 3
    assert "pym-config.yaml:7:15: error: the secret HELLO_SECRET is not set" in done.stdout
    assert "pym-config.yaml:7:29: error: the secret OTHER_SECRET is not set" in done.stdout


@pytest.mark.parametrize("command", ["validate", "deploy", "dry-run", "build", "status"])
def test_a_folder_without_a_configuration_is_an_error(command: str, tmp_path: Path) -> None:
    done = run(command, folder=tmp_path)
    assert done.returncode == 2
    assert "pym-config.yaml" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments", [["deploy", "--no-tset"], ["deplyo"], ["validate", "--format", "xml"]]
)
def test_a_flag_or_command_that_does_not_exist_is_an_error(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "Error" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_version_that_can_not_be_a_tag_is_refused() -> None:
    done = run("deploy", "--version", "a b")
    assert done.returncode == 2
    assert "letters, digits" in done.stderr


def test_without_credentials_a_deployment_says_how_to_get_some(tmp_path: Path) -> None:
    done = run(
        "deploy", "-C", str(SERVICE), HELLO_JWT_SECRET="x" * 40, HOME=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 5
    assert "there are no credentials for Google Cloud" in done.stdout
    assert "GOOGLE_APPLICATION_CREDENTIALS" in done.stdout


def test_the_schema_is_the_one_in_the_repository() -> None:
    done = run("schema")
    committed = (REPOSITORY / "pym-config.schema.json").read_text(encoding="utf-8")
    assert done.stdout == committed


def test_help_has_examples_and_version_is_told() -> None:
    assert "pymacaron-ci deploy --simulate" in run("deploy", "--help").stdout
    assert run("--version").stdout.strip().endswith(__version__)


def test_validation_imports_no_cloud_library() -> None:
    code = (
        "import sys; from pymacaron_ci.cli import _main; "
        f"_main(['validate', '-C', {str(SERVICE)!r}]); "
        "print([m for m in ('boto3', 'docker', 'google', 'requests', 'jwt') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_the_simulator_tells_when_it_does_not_run(tmp_path: Path) -> None:
    assert "no simulator runs here" in run("simulator", "status", "-C", str(tmp_path)).stdout
    assert run("simulator", "stop", "-C", str(tmp_path)).returncode == 0


def test_a_dry_run_without_credentials_shows_the_plan_and_says_what_it_could_not_see(
    tmp_path: Path,
) -> None:
    done = run("dry-run", "-C", str(SERVICE), HELLO_JWT_SECRET="x" * 40, HOME=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "create the service helloworld-staging" in done.stdout
    assert "what is live was not looked at (there are no credentials" in done.stdout


def test_a_report_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    done = run(
        "dry-run", "-C", str(SERVICE), "--report", str(tmp_path / "none" / "report.json"),
        HELLO_JWT_SECRET="x" * 40, HOME=str(tmp_path),
    )  # fmt: skip
    assert done.returncode != 0
    assert "the report can't be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_deployers_own_keys_may_be_secrets_of_the_service_too(tmp_path: Path) -> None:
    text = (SERVICE / "pym-config.aws.yaml").read_text(encoding="utf-8")
    (tmp_path / "pym-config.yaml").write_text(
        text + "  - AWS_ACCESS_KEY_ID\n  - AWS_SECRET_ACCESS_KEY\n", encoding="utf-8"
    )
    done = run(
        "status", folder=tmp_path, AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE",
        AWS_SECRET_ACCESS_KEY="k" * 40, AWS_ENDPOINT_URL="http://127.0.0.1:9",
        AWS_MAX_ATTEMPTS="1", HOME=str(tmp_path),
    )  # fmt: skip
    assert "credentials" not in done.stdout
    assert "127.0.0.1:9" in done.stdout
