"""The example service on a simulated Kubernetes Engine, through the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.ci.test_simulated_deployment import Service, make

HERE = ("--simulate", "--env", "gke")
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
        first = service.tool("deploy", *HERE, "--no-unittest")
        assert "roll the release out in helloworld-staging" in first
        assert first.count("11 tests in testaccept/ passed") == 2
        one = status(service)["release"]["id"]
        assert "nothing to do" in service.tool("deploy", *HERE, "--no-test")

        service.release(2)
        second = service.tool("deploy", *HERE, "--no-test")
        two = status(service)["release"]["id"]
        assert two != one

        server = service.folder / "server.py"
        server.write_text("raise SystemExit('no such database')\n", encoding="utf-8")
        broken = service.tool("deploy", *HERE, "--no-test", expect=5)
        assert "the container ended (Error, exit code" in broken
        assert "no such database" in broken
        assert f"release {two} still serves" in broken
        assert status(service)["release"]["id"] == two

        back = service.tool("rollback", *HERE, "--no-test")
        assert f"bring release {one} back" in back
        found = status(service)
        assert (found["release"]["id"], found["previous"]["id"]) == (one, two)
        for told in (first, second, broken, back):
            assert "and another, 0123456789abcdef" not in told
    finally:
        service.tool("simulator", "stop", expect=None)
