"""The target's page: its policy allows every call of a deployment, and no setting is missing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pymacaron_ci.options import OPTIONS
from pymacaron_ci.options.beanstalk import HERE
from pymacaron_ci.simulator.beanstalk.names import set_account
from tests.ci.simulator.beanstalk_world import beanstalk
from tests.ci.targets.beanstalk_deploys import Checks, Deploys, release
from tests.contracts import botocore_check

PAGE = Path(__file__).resolve().parents[3] / "docs" / "targets" / "aws-beanstalk.md"
# S3's rights are not named like its operations.
RIGHTS = {"s3:HeadBucket": "s3:ListBucket"}


def policies() -> list[dict[str, Any]]:
    text = PAGE.read_text(encoding="utf-8")
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


def allowed() -> set[str]:
    found: set[str] = set()
    for statement in policies()[1]["Statement"]:
        actions = statement["Action"]
        found.update([actions] if isinstance(actions, str) else actions)
    return found


def test_the_policy_of_the_page_is_enough_for_every_call(tmp_path: Path) -> None:
    log = botocore_check.Log()
    certificate = "arn:aws:acm:eu-west-1:123456789012:certificate/1"
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme/hello"
    with beanstalk(tmp_path / "simulator") as (server, _):
        set_account(server.url, certificates={certificate: {"hosts": ["hello.example.com"]}})
        deploys = Deploys(
            server,
            tmp_path / "service",
            aws_cert_arn=certificate,
            live_url="https://hello.example.com",
            aws_secrets={"A": "a", "B": "ssm:b"},
            aws_platform_version="4.11.0",
        )
        deploys.sessions.append(lambda session: botocore_check.attach(session, log))
        for number in (1, 2, 3):
            assert deploys.deploy(release(number, image)).exit_code == 0
        deploys.deploy(release(4, f"{image}-sick"))
        deploys.deploy(release(5, image), checks=Checks(refuse=2))
        deploys.rollback()
    called = {f"{c.service}:{c.operation}" for c in log.calls}
    assert {RIGHTS.get(c, c) for c in called} <= allowed()


def test_the_policy_gives_no_right_that_is_not_used() -> None:
    """Passing roles and tagging on creation are rights without a call."""
    source = Path(__file__).resolve().parents[3] / "pymacaron_ci" / "targets"
    text = "\n".join(
        p.read_text() for p in [*source.glob("aws*.py"), *source.glob("beanstalk/*.py")]
    )
    without_a_call = {"iam:PassRole", "elasticbeanstalk:AddTags", "s3:ListBucket"}
    for right in allowed() - without_a_call:
        name = right.partition(":")[2]
        snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        snake = {"check_dnsavailability": "check_dns_availability"}.get(snake, snake)
        assert f'"{snake}"' in text, right


@pytest.mark.parametrize("name", [n for n, o in OPTIONS.items() if o.facts.targets == HERE])
def test_every_setting_of_the_target_is_on_its_page(name: str) -> None:
    assert f"`{name}`" in PAGE.read_text(encoding="utf-8")
