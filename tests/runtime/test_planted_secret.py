"""A secret is nowhere to be seen while the example does all that it can, and fails as it can."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import jwt
import pytest

from tests.runtime.served import Running, container, development_server

EXAMPLE = Path(__file__).parents[2] / "examples" / "helloworld"
SECRET = "pl4nted/s3cret+value=&\"'of<the>example{0}%s"
FORMS = (SECRET, json.dumps(SECRET)[1:-1], repr(SECRET)[1:-1], SECRET.encode().hex())
CLAIMS = {"iss": "helloworld.example.com", "aud": "helloworld", "sub": "ada", "iat": 1, "exp": 2}


def tokens() -> Iterator[str]:
    yield from ("", "Bearer", "Bearer x.y.z", "Basic YTpi", f"Bearer {SECRET}", "Bearer a b c")
    for claims in (CLAIMS, {**CLAIMS, "exp": 2**40}, {**CLAIMS, "aud": "others"}, {}):
        for key in (SECRET, "HELLO_JWT_SECRET", "another secret, and a long one, too"):
            yield f"Bearer {jwt.encode(claims, key, 'HS256')}"


def calls(operations: dict[str, dict[str, object]]) -> Iterator[tuple[str, str, bytes | None]]:
    built_in = ["/ping", "/version", "/auth/version", "/ready", "/metrics", "/doc/hello", "/nope"]
    yield from (("GET", path, None) for path in built_in)
    paths = [p.replace("{card}", card) for p in operations for card in ("thanks", "none", "%ff")]
    queries = ("", "?times=x&name=", "?kind=bug", "?kind=expected", "?%ff=%00")
    bodies = (None, b"{", b'{"lines":7}', b'{"customer":{"name":"A"},"lines":[]}', b"\xff")
    for path, query, body in itertools.product(dict.fromkeys(paths), queries, bodies):
        yield "GET" if body is None else "POST", path + query, body
    yield "TRACE", "/v1/hello", None


def ask(url: str, method: str, body: bytes | None, authorization: str) -> str:
    headers = {"Authorization": authorization, "Cookie": "token=Bearer%20x.y.z"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return f"{answer.headers}{answer.read()!r}"
    except urllib.error.HTTPError as error:
        return f"{error.headers}{error.read()!r}"


@pytest.mark.filterwarnings("ignore:The HMAC key")
@pytest.mark.parametrize("debug", [False, True])
def test_a_planted_secret_shows_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, debug: bool
) -> None:
    monkeypatch.setenv("HELLO_JWT_SECRET", SECRET)
    log = tmp_path / "log"
    environ = {"HELLO_JWT_SECRET": SECRET}
    server: AbstractContextManager[Running] = (
        development_server(EXAMPLE, log, environ) if debug else container(EXAMPLE, log, environ)
    )
    with server as running:
        url = running.url
        with urllib.request.urlopen(f"{url}/doc/hello.json", timeout=30) as answer:
            operations = json.load(answer)["paths"]
        answers = [ask(url + path, method, body, "") for method, path, body in calls(operations)]
        answers += [ask(f"{url}/v1/me", "GET", None, token) for token in tokens()]
    seen = {"answers": "".join(answers), "log": log.read_text()}
    assert len(answers) > 200
    assert "the server failed to handle" in seen["answers"] or debug
    assert "Traceback" in seen["log"]
    assert {place for place, text in seen.items() for form in FORMS if form in text} == set()


@pytest.mark.parametrize(
    "code",
    [
        "from pymacaron.config import get_config as g; print(g(), vars(g()), repr(g().jwt_secret))",
        "from pymacaron.config import get_config as g; g().jwt_secrets",
        "from pymacaron.config import get_config as g; raise RuntimeError(f'{g()} {vars(g())}')",
        "from pymacaron import auth; print(auth.generate_token(''))",
    ],
)
def test_a_planted_secret_shows_in_no_repr_and_no_mistake(code: str) -> None:
    environ = {"PATH": os.environ["PATH"], "HELLO_JWT_SECRET": SECRET}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=EXAMPLE, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout + done.stderr
    assert not [form for form in FORMS if form in done.stdout + done.stderr]
