"""A private service: the deployment's identity and the tests' own token reach it side by side."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pymacaron_ci.checks import HttpChecks, TestBed

IDENTITY = {"X-Serverless-Authorization": "Bearer identity"}
TESTS = """
from pymacaron.test import PyMacaronTestCase

class Tests(PyMacaronTestCase):
    def test_by_assertion(self):
        self.assertGetReturnJson("me", auth="Bearer own")

def test_by_fixture(client):
    client.get("me", auth="Bearer own")
"""


class Private(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.headers["X-Serverless-Authorization"] == "Bearer identity"
        self.send_response(200 if known and self.headers["Authorization"] == "Bearer own" else 403)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def private_service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Private)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_acceptance_tests_reach_a_private_service(private_service: str, tmp_path: Path) -> None:
    (tmp_path / "testaccept").mkdir()
    (tmp_path / "testaccept" / "test_it.py").write_text(TESTS)
    checks = HttpChecks(TestBed(files=lambda: tmp_path, python=lambda: Path(sys.executable)))
    result = checks.acceptance(private_service, IDENTITY)
    assert (result.ok, result.passed) == (True, 2), result.output
    assert not checks.acceptance(private_service, {}).ok
