"""The proof against a URL: a real HTTP server on loopback, and real pytest runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from pymacaron_ci.checks import STEADY, HttpChecks, TestBed
from pymacaron_ci.model import Secret
from tests.ci.fakes import RELEASE


@dataclass
class Service:
    """Answers /ping and /version from lists; the last answer repeats."""

    url: str = ""
    ping: list[int] = field(default_factory=lambda: [200])
    versions: list[object] = field(default_factory=lambda: [{"release": RELEASE.id}])
    headers: list[dict[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


def _next(answers: list[object]) -> object:
    return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def service() -> Iterator[Service]:
    state = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            state.headers.append(dict(self.headers))
            if self.path == "/ping":
                status = state.ping.pop(0) if len(state.ping) > 1 else state.ping[0]
                body = b"{}"
            else:
                answer = _next(state.versions)
                status = answer if isinstance(answer, int) else 200
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


class FastClock:
    """Time passes when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def checks(files: Path, secrets: tuple[Secret, ...] = (), *, run_tests: bool = True) -> HttpChecks:
    bed = TestBed(
        files=lambda: files,
        python=lambda: Path(sys.executable),
        secrets=secrets,
        token=lambda: "a-token",
    )
    return HttpChecks(bed, clock=FastClock(), timeout=20, run_unit_tests=run_tests)


def test_a_release_that_answers_is_proven(service: Service, tmp_path: Path) -> None:
    result = checks(tmp_path).version(service.url, RELEASE, {})
    assert result.ok
    assert service.asked == ["/ping", *["/version"] * STEADY]


def test_a_service_that_starts_slowly_is_waited_for(service: Service, tmp_path: Path) -> None:
    service.ping = [503, 503, 200]
    assert checks(tmp_path).version(service.url, RELEASE, {}).ok


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([{"release": "old"}], "tells old"),
        ([{"version": "1"}], "tells no release"),
        ([500], "tells no release"),
        ([b"<html>"], "tells no release"),
        ([[1, 2]], "tells no release"),
        ([{"release": 7}], "tells no release"),
        ([{"release": RELEASE.id}, {"release": "old"}] * 200, "tells old"),
    ],
)
def test_only_this_release_steadily_is_a_proof(
    service: Service, tmp_path: Path, answers: list[object], said: str
) -> None:
    service.versions = answers
    result = checks(tmp_path).version(service.url, RELEASE, {})
    assert not result.ok
    assert said in result.reason


def test_a_url_where_nothing_listens_is_no_proof(tmp_path: Path) -> None:
    result = checks(tmp_path).version("http://127.0.0.1:9", RELEASE, {})
    assert not result.ok
    assert "/ping" in result.reason


def test_headers_go_along_to_a_private_service(service: Service, tmp_path: Path) -> None:
    checks(tmp_path).version(service.url, RELEASE, {"Authorization": "Bearer x"})
    assert {h["Authorization"] for h in service.headers} == {"Bearer x"}


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def test_acceptance_tests_know_where_to_ask_and_have_a_token_and_the_secrets(
    tmp_path: Path,
) -> None:
    write(
        tmp_path,
        "testaccept/test_env.py",
        "import os\n"
        "def test_env():\n"
        "    assert os.environ['PYM_SERVER_HOST'] == '127.0.0.1'\n"
        "    assert os.environ['PYM_SERVER_PORT'] == '8123'\n"
        "    assert os.environ['PYM_JWT_TOKEN'] == 'a-token'\n"
        "    assert os.environ['KEY'] == 'a=b\\n\"c'\n",
    )
    result = checks(tmp_path, (Secret("KEY", 'a=b\n"c'),)).acceptance("http://127.0.0.1:8123", {})
    assert result.ok, result.output
    assert result.passed == 1


def test_an_https_url_means_port_443(tmp_path: Path) -> None:
    write(
        tmp_path,
        "testaccept/test_env.py",
        "import os\ndef test_env():\n    assert os.environ['PYM_SERVER_PORT'] == '443'\n",
    )
    assert checks(tmp_path).acceptance("https://hello.test", {}).ok


def test_a_failing_test_is_named_with_its_message(tmp_path: Path) -> None:
    write(
        tmp_path,
        "testaccept/test_hello.py",
        "def test_good(): pass\ndef test_bad():\n    assert 'Goodbye' == 'Hello'\n",
    )
    result = checks(tmp_path).acceptance("http://127.0.0.1:9", {})
    assert not result.ok
    assert result.reason == "1 of 2 failed: testaccept.test_hello::test_bad"
    assert "Goodbye" in result.failures[0].message


def test_tests_that_can_not_even_be_imported_are_a_failure(tmp_path: Path) -> None:
    write(tmp_path, "test/test_x.py", "import no_such_module_anywhere\n")
    result = checks(tmp_path).unit_tests()
    assert not result.ok
    assert "no_such_module_anywhere" in result.failures[0].message


def test_a_service_without_tests_is_told_so(tmp_path: Path) -> None:
    assert checks(tmp_path).unit_tests().reason == "there is no folder test/"
    write(tmp_path, "test/README", "soon")
    assert checks(tmp_path).unit_tests().reason == "there are no tests in test/"


def test_unit_tests_can_be_skipped_on_request(tmp_path: Path) -> None:
    write(tmp_path, "test/test_x.py", "def test_x(): assert 0\n")
    assert checks(tmp_path, run_tests=False).unit_tests().ok


def test_a_test_process_sees_nothing_of_our_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_PASSWORD", "x")
    write(
        tmp_path,
        "test/test_env.py",
        "import os\ndef test_env():\n    assert 'CLOUD_PASSWORD' not in os.environ\n",
    )
    assert checks(tmp_path).unit_tests().ok
