"""PyMacaronTestCase and the pytest fixtures, against a server that answers as told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pymacaron.config import PyMacaronConfig
from pymacaron.test import PyMacaronTestCase, load_port_host_token
from pymacaron.testing import Client, Target, target_from

pytest_plugins = ["pytester"]

VERSION = {"name": "hello", "version": "local", "apis": ["hello", "ping"], "pym_env": "dev"}
GOOD = "Bearer good"


class Handler(BaseHTTPRequestHandler):
    """A service of a few routes; answers tell what was asked."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        auth = self.headers.get("Authorization")
        echo = {
            "method": self.command,
            "path": self.path,
            "auth": auth,
            "kind": self.headers.get("Content-Type"),
            "body": body,
        }
        route = self.path.strip("/").split("?")[0]
        if route == "auth/version" and not auth:
            self.send(401, {"status": 401, "error": "AUTHORIZATION_HEADER_MISSING"})
        elif route == "auth/version" and auth != GOOD:
            self.send(401, {"status": 401, "error": "TOKEN_INVALID"})
        elif route in ("version", "auth/version"):
            self.send(200, VERSION)
        elif route in ("ping", "ok"):
            self.send(200, {})
        elif route == "error":
            self.send(409, {"status": 409, "error": "SOLD_OUT"})
        elif route == "identity":
            self.send(200, {"identity": self.headers.get("X-Identity"), "auth": auth})
        elif route == "text":
            self.send(200, "hello", "text/plain; charset=utf-8")
        elif route == "html":
            self.send(200, "<p>hello", "text/html; charset=utf-8")
        elif route == "away":
            self.send(302, "", "text/html", {"Location": "/text"})
        else:
            self.send(200, echo)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def send(
        self,
        status: int,
        content: object,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        raw = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def case(port: int, monkeypatch: pytest.MonkeyPatch) -> PyMacaronTestCase:
    monkeypatch.setenv("PYM_SERVER_HOST", "http://127.0.0.1/")
    monkeypatch.setenv("PYM_SERVER_PORT", str(port))
    monkeypatch.setenv("PYM_JWT_TOKEN", "good")
    case = PyMacaronTestCase()
    case.setUp()
    return case


def test_host_port_and_token_come_from_the_environment(case: PyMacaronTestCase, port: int) -> None:
    assert load_port_host_token() == ("127.0.0.1", str(port), "good")
    assert (case.host, case.port, case.token) == ("127.0.0.1", str(port), "good")
    assert case.base_url == f"http://127.0.0.1:{port}"


def test_without_a_server_the_error_says_what_to_set() -> None:
    with pytest.raises(RuntimeError, match="set PYM_SERVER_HOST and PYM_SERVER_PORT"):
        PyMacaronTestCase().setUp()


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("api.example.com", "443", "https://api.example.com:443"),
        ("https://api.example.com/", "8443", "http://api.example.com:8443"),
        ("[::1]", "80", "http://[::1]:80"),
        ("::1", "80", "http://[::1]:80"),
    ],
)
def test_port_443_means_https(host: str, port: str, url: str) -> None:
    environ = {"PYM_SERVER_HOST": host, "PYM_SERVER_PORT": port, "PYM_JWT_TOKEN": "t"}
    assert target_from(environ).url == url


def test_headers_that_the_server_wants_go_with_every_request(
    case: PyMacaronTestCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYM_SERVER_HEADERS", '{"X-Identity": "me"}')
    seen = case.assertGetReturnJson("identity", auth=GOOD)
    assert seen == {"identity": "me", "auth": GOOD}
    monkeypatch.setenv("PYM_SERVER_HEADERS", "[1]")
    with pytest.raises(RuntimeError, match="PYM_SERVER_HEADERS must be a JSON object"):
        case.assertGetReturnJson("identity")


def test_a_token_is_made_where_the_configuration_can(jwt_config: PyMacaronConfig) -> None:
    environ = {"PYM_SERVER_HOST": "x", "PYM_SERVER_PORT": "80"}
    assert str(target_from(environ).token).count(".") == 2
    jwt_config.jwt_secret = None
    assert target_from(environ).token is None


def test_the_built_in_endpoints_have_their_assertions(case: PyMacaronTestCase) -> None:
    case.assertHasPing()
    assert case.assertHasVersion() == VERSION
    assert case.assertHasAuthVersion(verify_ssl=False) == VERSION
    case.assertIsVersion(VERSION)
    with pytest.raises(AssertionError):
        case.assertIsVersion({**VERSION, "apis": "hello"})


def test_json_assertions_return_the_json(case: PyMacaronTestCase) -> None:
    assert case.assertGetReturnJson("/a?b=c", auth=GOOD) == {
        "method": "GET",
        "path": "/a?b=c",
        "auth": GOOD,
        "kind": None,
        "body": "",
    }
    posted = case.assertPostReturnJson("a", {"x": 1}, verify_ssl=False)
    assert (posted["kind"], json.loads(posted["body"])) == ("application/json", {"x": 1})
    assert case.assertPostReturnJson("a", '{"x": 2}')["body"] == '{"x": 2}'
    assert case.assertDeleteReturnJson("a")["method"] == "DELETE"
    for method in ("PUT", "patch", "post", "GET", "delete"):
        assert case.assertCallReturnJson(method, "a")["method"] == method.upper()


def test_dict_assertions_compare_the_named_keys(case: PyMacaronTestCase) -> None:
    case.assertGetReturnDict("a", {"method": "GET"})
    case.assertPostReturnDict("a", {}, {"method": "POST", "path": "/a"})
    case.assertCallReturnDict("PUT", "a", {"method": "PUT"}, {"x": 1}, GOOD)
    for kv in ({"method": "POST"}, {"colour": "red"}):
        with pytest.raises(AssertionError):
            case.assertGetReturnDict("a", kv)


def test_ok_assertions_want_an_empty_object(case: PyMacaronTestCase) -> None:
    case.assertGetReturnOk("ok")
    case.assertPostReturnOk("ok", {})
    case.assertCallReturnOk("DELETE", "ok")
    with pytest.raises(AssertionError):
        case.assertGetReturnOk("a")


def test_error_assertions_compare_status_and_code(case: PyMacaronTestCase) -> None:
    assert case.assertGetReturnError("error", 409, "SOLD_OUT")["error"] == "SOLD_OUT"
    case.assertPostReturnError("error", {}, 409, "SOLD_OUT")
    case.assertCallReturnError("PUT", "error", 409, "SOLD_OUT", {"x": 1}, GOOD)
    for status, code in ((400, "SOLD_OUT"), (409, "OTHER")):
        with pytest.raises(AssertionError):
            case.assertGetReturnError("error", status, code)


def test_an_answer_of_another_status_is_shown(case: PyMacaronTestCase) -> None:
    with pytest.raises(AssertionError, match=r"expected status 200, got 409: .*SOLD_OUT"):
        case.assertGetReturnJson("error")
    assert case.assertCallReturnJson("get", "error", allow_error=True)["status"] == 409


def test_an_answer_that_is_no_json_is_shown(case: PyMacaronTestCase) -> None:
    with pytest.raises(AssertionError, match=r"expected JSON, got text/plain.*: hello"):
        case.assertGetReturnJson("text")


def test_html_text_and_redirects_have_their_assertions(case: PyMacaronTestCase) -> None:
    assert case.assertCallReturnHtml("GET", "html", quiet=True) == "<p>hello"
    assert case.assertCallReturnText("GET", "text") == "hello"
    assert case.assertCallReturnText("GET", "away") == "hello"
    assert case.assertCallReturnRedirect("GET", "away").endswith("/text")
    with pytest.raises(AssertionError):
        case.assertCallReturnHtml("GET", "text")
    with pytest.raises(AssertionError):
        case.assertCallReturnRedirect("GET", "text", status=200)


def test_a_method_that_is_none_is_told(case: PyMacaronTestCase) -> None:
    with pytest.raises(ValueError, match="BREW is no HTTP method"):
        case.assertCallReturnJson("BREW", "a")


def test_no_ssl_check_turns_the_check_off(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target(host="x", port=443)
    assert Client(target)._verify is True
    assert Client(target, verify_ssl=False)._verify is False
    monkeypatch.setenv("NO_SSL_CHECK", "1")
    assert Client(target)._verify is False


def test_the_client_speaks_every_method(port: int) -> None:
    client = Client(Target(host="127.0.0.1", port=port))
    assert client.get("a")["method"] == "GET"
    assert client.delete("a")["method"] == "DELETE"
    for method in ("post", "put", "patch"):
        answer = getattr(client, method)("a", [1], auth="x")
        assert (answer["method"], answer["body"], answer["auth"]) == (method.upper(), "[1]", "x")
    assert client.error("get", "error", 409, "SOLD_OUT")["status"] == 409
    with pytest.raises(AssertionError, match="expected the error OTHER"):
        client.error("get", "error", 409, "OTHER")


def test_the_fixtures_are_there_for_plain_functions(
    pytester: pytest.Pytester, case: PyMacaronTestCase
) -> None:
    pytester.makepyfile(
        """
        def test_hello(client, auth_token):
            assert client.get("a", auth=f"Bearer {auth_token}")["auth"] == "Bearer good"
        """
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_token_that_is_missing_fails_with_the_remedy(
    pytester: pytest.Pytester, case: PyMacaronTestCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYM_JWT_TOKEN")
    pytester.makepyfile("def test_hello(auth_token): pass")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no token: set PYM_JWT_TOKEN*"])
