"""The command pymtest: finds or starts a server, tells which, and tests it by pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from pymacaron.config import ConfigError
from pymacaron.local_server import free_port
from pymacaron.pymtest import live_target, main
from tests.runtime.conftest import WriteConfig

SERVICE = {
    "pym-config.yaml": "name: hello\nlive_url: https://hello.example.com\njwt_secret: T_SECRET\n"
    "jwt_issuer: hello\njwt_audience: all\nenv_secrets: [T_SECRET]\n",
    "server.py": """
import os
from flask import Flask
from pymacaron import API, letsgo
app = Flask(__name__)
def start(port, debug):
    api = API(app, port=port, debug=debug)
    api.load_apis(os.path.join(os.path.dirname(os.path.realpath(__file__)), "apis"))
    api.start()
letsgo(__name__, callback=start)
""",
    "apis/hello.yaml": """
swagger: "2.0"
info: {title: Hello, version: "1"}
produces: [application/json]
paths:
  /hello:
    get:
      x-bind-server: hello.api.do_hello
      x-decorate-server: pymacaron.auth.requires_auth
      responses:
        "200": {description: ok, schema: {$ref: "#/definitions/Hello"}}
definitions:
  Hello:
    type: object
    properties: {message: {type: string}}
""",
    "hello/__init__.py": "",
    "hello/api.py": """
from pymacaron import apipool
from pymacaron.auth import get_userid
def do_hello():
    return apipool.hello.Hello(message=f"hello {get_userid()}")
""",
    "testaccept/test_hello.py": """
from pymacaron.test import PyMacaronTestCase
class Tests(PyMacaronTestCase):
    def test_builtins(self):
        self.assertHasPing()
        self.assertHasVersion()
        self.assertHasAuthVersion()
    def test_hello(self):
        j = self.assertGetReturnJson("hello", auth=f"Bearer {self.token}")
        self.assertEqual(j, {"message": "hello test-jwt-token"})
""",
    "testaccept/test_failing.py": "def test_no(client): client.get('nowhere')\n",
}
TOKEN_SECRET = "the-secret-of-the-tests-of-pymtest-0123"


@pytest.fixture
def service(tmp_path: Path) -> Path:
    for name, text in SERVICE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def pymtest(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pymacaron.pymtest", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "T_SECRET": TOKEN_SECRET, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_with_nothing_to_test_against_it_starts_the_service_itself(service: Path) -> None:
    done = pymtest(service, "--gen-token", "--junit", "report.xml", "testaccept/test_hello.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "=> starting the service of this folder\n=> testing http://127.0.0.1:" in done.stdout
    assert "2 passed" in done.stdout
    assert TOKEN_SECRET not in done.stdout + done.stderr
    assert len(list(ElementTree.parse(service / "report.xml").iter("testcase"))) == 2


TASK = """
import pathlib
from pymacaron_async import asynctask
@asynctask()
def note(text):
    pathlib.Path("note").write_text(text)
def do_hello():
    note("done")
    return apipool.hello.Hello(message="queued")
"""
ASK = """
import pathlib
def test_it(client, auth_token):
    client.get("hello", auth=f"Bearer {auth_token}")
    assert pathlib.Path("note").read_text() == "done"
"""


def test_tasks_of_the_service_that_it_starts_are_done_at_once(service: Path) -> None:
    with (service / "pym-config.yaml").open("a") as config:
        config.write("with_async: true\n")
    with (service / "hello" / "api.py").open("a") as handlers:
        handlers.write(TASK)
    (service / "testaccept" / "test_task.py").write_text(ASK)
    done = pymtest(service, "--gen-token", "testaccept/test_task.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_failing_test_fails_the_command(service: Path) -> None:
    done = pymtest(service)
    assert done.returncode == 1
    assert "expected status 200, got 404" in done.stdout


def test_a_service_that_does_not_start_says_why(service: Path) -> None:
    (service / "hello" / "api.py").write_text("import nothing_of_the_kind\n")
    done = pymtest(service)
    assert done.returncode == 1
    assert "the service did not start" in done.stderr
    assert "nothing_of_the_kind" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "environ", "told"),
    [
        (["--host", "x", "--image", "y"], {}, "choose one of"),
        (["--port", "80"], {}, "--port needs --host"),
        ([], {"T_SECRET": ""}, "T_SECRET is empty"),
    ],
)
def test_a_wrong_call_is_told_in_a_sentence(
    service: Path,
    write_config: WriteConfig,
    arguments: list[str],
    environ: dict[str, str],
    told: str,
) -> None:
    done = CliRunner().invoke(main, arguments, env=environ)
    assert done.exit_code in (1, 2)
    assert told in done.output


def test_a_folder_without_tests_is_told(write_config: WriteConfig) -> None:
    done = CliRunner().invoke(main, [])
    assert "there is no folder testaccept/ here" in done.output


def test_a_host_is_tested_as_given(service: Path) -> None:
    (service / "test_it.py").write_text(
        "import os\ndef test_it(): assert os.environ['PYM_SERVER_HOST'] == 'localhost'\n"
    )
    port = str(free_port())
    done = pymtest(service, "--host", "localhost", "--port", port, "test_it.py")
    assert done.returncode == 0, done.stdout
    assert f"=> testing http://localhost:{port}" in done.stdout


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ("live_url: https://x.example.com", "https://x.example.com:443"),
        ("live_url: http://x.example.com:81/v1", "http://x.example.com:81"),
        ("live_host: x.example.com", "http://x.example.com:80"),
        ("live_host: x.example.com\ndeploy_target: gke", "https://x.example.com:443"),
        ("live_host: x.example.com\naws_cert_arn: arn:aws:acm:1", "https://x.example.com:443"),
    ],
)
def test_an_environment_is_tested_where_its_configuration_says(
    write_config: WriteConfig, config: str, url: str
) -> None:
    assert live_target(write_config(f"name: x\n{config}\n"), "live").url == url


def test_an_environment_that_does_not_say_where_it_lives_is_told(write_config: WriteConfig) -> None:
    with pytest.raises(ConfigError, match="no live_url"):
        live_target(write_config("name: x\n"), "live")
