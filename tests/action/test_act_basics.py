"""The action as a caller's repository uses it, run by act: everything short of a deployment."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pymacaron_ci.github.files import OUTPUTS
from tests.action import act

pytestmark = [pytest.mark.real("act"), pytest.mark.real("git")]

HELLO = act.ROOT / "examples" / "helloworld"
SECRET = {"HELLO_JWT_SECRET": "not-so-secret-value"}


def test_validate_twice_without_any_sdk(tmp_path: Path, action: Path) -> None:
    """The caller's own modules are nobody's, and the second use installs nothing."""
    traps = {
        f"{name}.py": "raise SystemExit('the workspace was imported')\n"
        for name in ("yaml", "click", "boto3", "json", "pymacaron_ci", "action", "sitecustomize")
    } | {"docker/__init__.py": "raise SystemExit('the workspace was imported')\n"}
    flow = act.workflow(
        act.use("first", inputs={"command": "validate"}),
        act.use("second", inputs={"command": "validate", "summary": "false"}),
    )
    workspace = act.caller(tmp_path / "ws", flow, traps, service=HELLO)
    ran = act.run(
        workspace, tmp_path / "home", action=action, environ={"PYTHONPATH": str(workspace)}
    )
    assert ran.status == 0, ran.log()
    assert "pym-config.yaml is valid: helloworld on gcp-cloud-run" in ran.log("first")
    assert "installed core.txt" in ran.log("first")
    assert "installed" not in ran.log("second")
    assert "gcp.txt" not in ran.log()
    assert set(ran.outputs("first")) == set(OUTPUTS)
    assert ran.outputs("first")["status"] == ran.outputs("second")["status"] == "valid"
    assert "valid" in ran.summary("first")
    assert ran.summary("second") == ""
    assert ran.annotations("first") == []


def test_a_bad_config_is_told_on_its_lines_and_installs_no_sdk(
    tmp_path: Path, action: Path
) -> None:
    config = "\n".join(
        [
            "name: hello",
            "deploy_target: gcp-cloud-run",
            "docker_repo: hello",
            "live_url: not a url",
            "gcp_region: nowhere",
            "gcp_memry: 1G",
            "gcp_request_concurrency: many",
            "",
        ]
    )
    flow = act.workflow(
        act.use("deploy", inputs={"working-directory": "services/hello"}, lenient=True),
        '- run: echo "status=${{ steps.deploy.outputs.status }} ${{ steps.deploy.outcome }}"',
    )
    workspace = act.caller(tmp_path / "ws", flow, {"services/hello/pym-config.yaml": config})
    ran = act.run(workspace, tmp_path / "home", action=action)
    found = {(file, line) for file, line, _ in ran.annotations("deploy")}
    assert {("services/hello/pym-config.yaml", str(n)) for n in (4, 5, 7)} <= found
    warnings = ran.annotations("deploy", "warning")
    assert any(line == "6" and "gcp_memory" in text for _, line, text in warnings)
    assert ran.exit_status("deploy") == 2
    assert "status=failed failure" in ran.log()
    assert "services/hello/pym-config.yaml:4" in ran.summary("deploy")
    assert "gcp.txt" not in ran.log()


def test_a_missing_secret_is_told_on_its_line(tmp_path: Path, action: Path) -> None:
    flow = act.workflow(
        act.use("deploy", inputs={"simulate": "true"}, secrets=("HELLO_JWT_SECRET",))
    )
    workspace = act.caller(tmp_path / "ws", flow, {}, service=HELLO)
    ran = act.run(workspace, tmp_path / "home", action=action)
    lines = (HELLO / "pym-config.yaml").read_text().splitlines()
    line = next(str(n) for n, text in enumerate(lines, 1) if text == "  - HELLO_JWT_SECRET")
    ((file, where, text),) = ran.annotations("deploy")
    assert (file, where) == ("pym-config.yaml", line)
    assert "the secret HELLO_JWT_SECRET" in text
    assert ran.exit_status("deploy") == 3
    assert ran.outputs("deploy")["status"] == "failed"
    assert ran.result("deploy") == "failure"
    assert "gcp.txt" not in ran.log()


def test_a_wrong_input_is_told_before_anything_is_read(tmp_path: Path, action: Path) -> None:
    flow = act.workflow(act.use("deploy", inputs={"command": "destroy", "simulate": "yes"}))
    workspace = act.caller(tmp_path / "ws", flow, {}, service=HELLO)
    ran = act.run(workspace, tmp_path / "home", action=action)
    texts = [text for _, _, text in ran.annotations("deploy")]
    assert len(texts) == 2
    assert "destroy" in texts[0]
    assert "simulate" in texts[1]
    assert ran.outputs("deploy")["status"] == "failed"


@pytest.mark.parametrize("fork", ["eve/app", None])
def test_a_pull_request_is_planned_and_one_from_a_fork_is_green_without_secrets(
    tmp_path: Path, action: Path, fork: str | None
) -> None:
    flow = act.workflow(
        act.use("deploy", inputs={"simulate": "true"}, secrets=("HELLO_JWT_SECRET",)),
        on="pull_request",
    )
    workspace = act.caller(tmp_path / "ws", flow, {}, service=HELLO)
    repository = "octo/app"
    payload = {
        "pull_request": {
            "head": {"ref": "change", "repo": {"full_name": fork or repository}},
            "base": {"ref": "main", "repo": {"full_name": repository}},
        },
        "repository": {"full_name": repository},
    }
    ran = act.run(
        workspace,
        tmp_path / "home",
        action=action,
        event="pull_request",
        payload=payload,
        secrets={} if fork else SECRET,
        environ={"GITHUB_REPOSITORY": repository},
    )
    assert ran.status == 0, ran.log()
    (notice,) = [record["arg"] for record in ran.commands("notice", "deploy")]
    if fork:
        assert "comes from a fork (eve/app)" in notice
        assert ran.outputs("deploy")["status"] == "valid"
        assert "gcp.txt" not in ran.log()
    else:
        assert "shows the plan and deploys nothing" in notice
        assert ran.outputs("deploy")["status"] == "planned"
        assert "### Plan" in ran.summary("deploy")
        assert ran.outputs("deploy")["changed"] == "false"


def test_the_action_works_from_a_folder_of_the_callers_own_repository(
    tmp_path: Path, action: Path
) -> None:
    flow = act.workflow(act.use("deploy", inputs={"command": "validate"}, uses="./tools/deploy"))
    workspace = tmp_path / "ws"
    shutil.copytree(HELLO, workspace, ignore=shutil.ignore_patterns(".pymacaron", "__pycache__"))
    tool = workspace / "tools" / "deploy"
    tool.mkdir(parents=True)
    shutil.copy(act.ROOT / "action.yml", tool)
    for name in ("action", "pymacaron_ci"):
        shutil.copytree(act.ROOT / name, tool / name, ignore=shutil.ignore_patterns("__pycache__"))
    ran = act.run(act.caller(workspace, flow, {}), tmp_path / "home", action=action)
    assert ran.status == 0, ran.log()
    assert ran.outputs("deploy")["status"] == "valid"


def test_a_runner_that_can_not_install_says_so(tmp_path: Path, action: Path) -> None:
    flow = act.workflow(act.use("deploy", inputs={"command": "validate"}))
    workspace = act.caller(tmp_path / "ws", flow, {}, service=HELLO)
    ran = act.run(workspace, tmp_path / "home", action=action, environ={"PIP_NO_INDEX": "1"})
    assert ran.exit_status("deploy") == 4
    ((_, _, text),) = ran.annotations("deploy")
    assert "installing Python packages failed" in text
    assert "No matching distribution found" in ran.log("deploy")
    assert ran.outputs("deploy")["status"] == "failed"
