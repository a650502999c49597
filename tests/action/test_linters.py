"""Other people's judgement of action.yml, our workflows and every example in the documentation."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
DOCS = (ROOT / "docs" / "github-action.md", ROOT / "docs" / "oidc.md", ROOT / "README.md")
BIN = Path(sys.executable).parent
ENVIRONMENT = {
    "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
    "HOME": os.environ.get("HOME", "/"),
}
LANGUAGE_SERVICE = (
    "@actions/languageservice@0.3.61",
    "vscode-languageserver-textdocument@1.0.12",
    "yaml@2.9.0",
)


def examples() -> list[tuple[str, str]]:
    """Whole workflows in the documentation: blocks that begin with `name:`."""
    found = []
    for file in DOCS:
        blocks = re.findall(r"^```yaml\n(.*?)^```", file.read_text(encoding="utf-8"), re.M | re.S)
        whole = [block for block in blocks if re.match(r"name: .*\n\non:", block)]
        found += [(f"{file.stem}-{i}.yml", block) for i, block in enumerate(whole)]
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of action.yml, our workflows and the examples."""
    root = tmp_path_factory.mktemp("lint")
    shutil.copy(ROOT / "action.yml", root)
    folder = root / ".github" / "workflows"
    shutil.copytree(WORKFLOWS, folder)
    for name, text in examples():
        (folder / name).write_text(text, encoding="utf-8")
    subprocess.run(["git", "init", "-q", str(root)], check=True, timeout=60)
    return root


def lint(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )


def test_there_are_examples_for_every_recipe() -> None:
    names = [yaml.safe_load(text)["name"] for _, text in examples()]
    assert len(names) >= 6
    assert {"Deploy", "Roll back", "Rehearse", "Deploy a service"} <= set(names)


def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it() -> None:
    pinned = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    texts = [file.read_text(encoding="utf-8") for file in WORKFLOWS.glob("*.yml")]
    for text in (*texts, *(text for _, text in examples())):
        for used in re.findall(r"^\s*(?:- )?uses: (.+)", text, re.M):
            assert used.startswith("./") or pinned.fullmatch(used.strip()), used


def test_every_workflow_begins_without_permissions() -> None:
    texts = [file.read_text(encoding="utf-8") for file in WORKFLOWS.glob("*.yml")]
    for text in (*texts, *(text for _, text in examples())):
        flow = yaml.safe_load(text)
        assert flow["permissions"] == {}
        for job in flow["jobs"].values():
            assert job["permissions"]
            assert "write-all" not in str(job["permissions"])
            assert job["timeout-minutes"] <= 60


def test_the_inputs_in_the_documentation_are_those_of_action_yml() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "github-action.md").read_text(encoding="utf-8")
    inputs = text.partition("## Inputs")[2].partition("## Outputs")[0]
    outputs = text.partition("## Outputs")[2].partition("## Secrets")[0]
    assert set(re.findall(r"^\| `([\w-]+)`", inputs, re.M)) == set(action["inputs"])
    rows = re.findall(r"^\| (`[^|]+) \|", outputs, re.M)
    assert {n for row in rows for n in re.findall(r"`([\w-]+)`", row)} == set(action["outputs"])
    for name, entry in action["inputs"].items():
        row = re.search(rf"^\| `{name}` \| ([^|]*)\|", inputs, re.M)
        assert row is not None
        if "see below" not in row[1]:
            assert row[1].strip().strip("`") == entry["default"]
    for _, example in examples():
        for job in yaml.safe_load(example)["jobs"].values():
            for step in job["steps"]:
                if step.get("uses", "").startswith("pymacaron/deploy-action"):
                    assert set(step.get("with", {})) <= set(action["inputs"])


@pytest.mark.real("zizmor")
def test_zizmor_finds_nothing_even_as_an_auditor(project: Path) -> None:
    done = lint(
        "zizmor", "--offline", "--persona", "auditor", "--format", "plain", ".", cwd=project
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No findings to report" in done.stdout + done.stderr


@pytest.mark.real("zizmor")
def test_handing_over_all_secrets_is_found_as_the_documentation_says(tmp_path: Path) -> None:
    text = dict(examples())["github-action-0.yml"]
    start = text.index("        env:\n          # One line")
    end = text.index("      - name: Tell where")
    changed = text[:start] + "          secrets: ${{ toJSON(secrets) }}\n\n" + text[end:]
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "deploy.yml").write_text(changed, encoding="utf-8")
    done = lint(
        "zizmor", "--offline", "--persona", "auditor", "--format", "json", ".", cwd=tmp_path
    )
    assert {found["ident"] for found in json.loads(done.stdout)} == {"overprovisioned-secrets"}


@pytest.mark.real("actionlint")
def test_actionlint_and_shellcheck_find_nothing(project: Path) -> None:
    done = lint("actionlint", "-no-color", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (BIN / "shellcheck").exists() or shutil.which("shellcheck")


@pytest.mark.real("node", "npm")
def test_githubs_own_parser_finds_nothing_and_would_find_something(
    project: Path, tmp_path: Path
) -> None:
    modules = tmp_path / "npm"
    modules.mkdir()
    (modules / "package.json").write_text('{"private": true}')
    done = subprocess.run(
        ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--silent", *LANGUAGE_SERVICE],
        cwd=modules,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr

    def check(root: Path) -> subprocess.CompletedProcess[str]:
        script = Path(__file__).with_name("gha_check.mjs")
        return subprocess.run(
            ["node", str(script), str(root), "pymacaron/deploy-action"],
            env=ENVIRONMENT | {"GHA_NODE_MODULES": str(modules)},
            capture_output=True,
            text=True,
            timeout=120,
        )

    good = check(project)
    assert good.returncode == 0, good.stdout + good.stderr
    bad = tmp_path / "bad"
    shutil.copytree(project, bad)
    action = (bad / "action.yml").read_text().replace("      shell: bash\n", "")
    (bad / "action.yml").write_text(action.replace("${{ inputs.summary }}", "${{ secrets.X }}"))
    flow = bad / ".github" / "workflows" / "github-action-0.yml"
    flow.write_text(flow.read_text().replace("gcp-service-account:", "gcp-service-acount:"))
    found = check(bad)
    assert found.returncode == 1
    assert "shell" in found.stdout
    assert "secrets" in found.stdout
    assert "gcp-service-acount" in found.stdout
