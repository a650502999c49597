"""Amazon's own command lines against the simulator: what they tell is what our target decided."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pymacaron_ci import installer
from pymacaron_ci.errors import BuildError
from pymacaron_ci.simulator.beanstalk.logs import CONTAINER
from tests.ci.simulator.beanstalk_world import beanstalk
from tests.ci.targets.beanstalk_deploys import LIVE, Deploys, release

EB_CONFIG = """
branch-defaults: {{default: {{environment: {environment}}}}}
global:
  application_name: hello
  default_platform: Docker running on 64bit Amazon Linux 2023
  default_region: eu-west-1
  profile: null
  sc: null
  workspace_type: Application
"""
EB = "from ebcli.core.ebcore import main; main()"


@pytest.fixture(scope="session")
def python() -> Path:
    """An interpreter with the clients; kept beside the tests' own environment."""
    kept = Path(sys.prefix) / "share" / "aws-clients"
    try:
        return installer.ensure(
            kept, [Path(__file__).parent / "aws_clients.txt"], environ=dict(os.environ)
        )
    except BuildError as error:
        if os.environ.get("PYMACARON_REQUIRE_REAL") == "1":
            raise
        pytest.skip(f"awscli and awsebcli can't be installed: {error}")


@dataclass
class Clients:
    python: Path
    deploys: Deploys
    home: Path

    def aws(self, *arguments: str) -> str:
        return self._run("-m", "awscli", "elasticbeanstalk", *arguments, "--output", "json")

    def eb(self, *arguments: str) -> str:
        return self._run("-c", EB, *arguments)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            [self.python, *command],
            cwd=self.home,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "AWS_ENDPOINT_URL": self.deploys.server.url,
                "AWS_ACCESS_KEY_ID": "AKIDSIMULATED",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_DEFAULT_REGION": "eu-west-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def clients(python: Path, tmp_path: Path) -> Iterator[Clients]:
    with beanstalk(tmp_path / "simulator") as (server, _):
        deploys = Deploys(server, tmp_path / "service")
        for number in (1, 2):
            assert deploys.deploy(release(number)).exit_code == 0
        home = tmp_path / "home"
        (home / ".elasticbeanstalk").mkdir(parents=True)
        text = EB_CONFIG.format(environment=f"hello-{release(2).id}")
        (home / ".elasticbeanstalk" / "config.yml").write_text(text)
        yield Clients(python, deploys, home)


def test_awscli_and_the_target_agree_on_what_is_live(clients: Clients) -> None:
    for waited in ("environment-exists", "environment-updated"):
        clients.aws("wait", waited, "--environment-names", f"hello-{release(2).id}")
    found = json.loads(clients.aws("describe-environments", "--no-include-deleted"))
    names = {e["CNAME"]: e["EnvironmentName"] for e in found["Environments"]}
    assert names[LIVE] == f"hello-{release(2).id}"
    assert {e["HealthStatus"] for e in found["Environments"]} == {"Ok"}


def test_eb_tells_the_same(clients: Clients) -> None:
    listed = clients.eb("list")
    assert f"* hello-{release(2).id}" in listed
    assert f"hello-{release(1).id}" in listed
    status = clients.eb("status")
    assert f"CNAME: {LIVE}" in status
    assert "Status: Ready" in status
    assert "Health: Green" in status
    assert "Successfully launched environment" in clients.eb("events")
    assert f"PYM_RELEASE = {release(2).id}" in clients.eb("printenv")


def test_eb_shows_health_and_logs(clients: Clients) -> None:
    health = clients.eb("health")
    assert re.search(rf"hello-{release(2).id} +Ok", health)
    assert re.search(r"i-0\w+ +t3\.micro", health)
    assert "Instance deployment completed successfully." in clients.eb("logs")
    group = f"/aws/elasticbeanstalk/hello-{release(2).id}{CONTAINER}"
    assert "serving docker.io/acme/hello" in clients.eb("logs", "--log-group", group)


def test_a_swap_by_hand_is_what_the_target_reads_next(clients: Clients) -> None:
    old, new = (f"hello-{release(n).id}" for n in (1, 2))
    clients.eb("swap", new, "--destination_name", old)
    live = clients.deploys.target().live().release
    assert live is not None
    assert live.id == release(1).id
