"""The example service on a simulated Elastic Beanstalk, through the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.ci.test_simulated_deployment import Service, make

HERE = ("--simulate", "--env", "aws")
# Its acceptance tests check tokens, so a secret that arrived changed would fail them.
SECRET = 'a line of "it" with = and $HOME\nand another, 0123456789abcdef\n'


def status(service: Service) -> dict[str, Any]:
    told = service.tool("status", *HERE, "--format", "json")
    found: dict[str, Any] = json.loads(told[told.index("\n{") :])
    return found


def test_a_release_goes_live_a_broken_one_does_not_and_the_former_comes_back(
    tmp_path: Path,
) -> None:
    service = make(tmp_path / "hello", DOCKER_HOST="tcp://127.0.0.1:9", HELLO_JWT_SECRET=SECRET)
    try:
        first = service.tool("deploy", *HERE)
        assert "under the live name" in first
        assert "11 tests in testaccept/ passed" in first
        one = status(service)["release"]["id"]

        service.release(2)
        second = service.tool("deploy", *HERE, "--no-test")
        assert "give the live name to" in second
        two = status(service)["release"]["id"]
        assert two != one

        server = service.folder / "server.py"
        server.write_text("raise SystemExit('no such database')\n", encoding="utf-8")
        broken = service.tool("deploy", *HERE, "--no-test", expect=6)
        assert "no such database" in broken
        assert f"release {two} still serves" in broken
        assert status(service)["release"]["id"] == two

        back = service.tool("rollback", *HERE, "--no-test")
        assert "create environment" not in back
        assert status(service)["release"]["id"] == one
        for told in (first, second, broken, back):
            assert "and another, 0123456789abcdef" not in told
    finally:
        service.tool("simulator", "stop", expect=None)
