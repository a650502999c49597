"""Google's session: what is tried again, what is never sent twice, what an error tells."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from pymacaron_ci.errors import OutOfTime
from pymacaron_ci.google_token import AccessToken
from pymacaron_ci.targets.gcp import (
    ApiError,
    Endpoints,
    FixedToken,
    GoogleSession,
    authorized,
    finished,
)


@dataclass
class Answer:
    status_code: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return repr(self.body).encode()

    def json(self) -> Any:
        if isinstance(self.body, Exception):
            raise self.body
        return self.body


class Script:
    """Answers one after the other; the last one for ever."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, str]] = []

    def request(self, method: str, url: str, **_: Any) -> Answer:
        self.calls.append((method, url))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def google_error(
    code: int, status: str, message: str = "no", *details: Mapping[str, Any], **headers: str
) -> Answer:
    body = {"error": {"code": code, "status": status, "message": message, "details": list(details)}}
    return Answer(code, body, {k.replace("_", "-"): v for k, v in headers.items()})


def session(*answers: Answer | Exception) -> tuple[GoogleSession, Script, Clock]:
    script, clock = Script(*answers), Clock()
    return GoogleSession(script, clock=clock), script, clock


@pytest.mark.parametrize(
    "trouble",
    [
        google_error(429, "RESOURCE_EXHAUSTED"),
        google_error(500, "INTERNAL"),
        google_error(503, "UNAVAILABLE"),
        google_error(409, "ABORTED"),
        requests.ConnectionError("reset"),
        requests.Timeout("slow"),
        requests.exceptions.ChunkedEncodingError("cut"),
        Answer(200, ValueError("half of a JSON text")),
        Answer(502, ValueError("<html>")),
    ],
)
def test_a_read_is_tried_again_after_what_may_pass(trouble: Answer | Exception) -> None:
    asked, script, _ = session(trouble, trouble, Answer(body={"name": "x"}))
    assert asked.read("run", "v2/x") == {"name": "x"}
    assert len(script.calls) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404])
def test_a_read_is_not_tried_again_after_a_plain_no(code: int) -> None:
    asked, script, _ = session(google_error(code, "NO"))
    with pytest.raises(ApiError) as refusal:
        asked.read("run", "v2/x")
    assert refusal.value.code == code
    assert len(script.calls) == 1


def test_a_read_waits_as_long_as_google_asks() -> None:
    asked, _, clock = session(
        google_error(429, "RESOURCE_EXHAUSTED", Retry_After="30"), Answer(body={"name": "x"})
    )
    asked.read("run", "v2/x")
    assert 30 <= clock.time < 45


def test_a_read_gives_up_with_googles_own_words() -> None:
    asked, _, clock = session(google_error(503, "UNAVAILABLE", "The service is down"))
    with pytest.raises((ApiError, OutOfTime), match="The service is down"):
        asked.read("run", "v2/x")
    assert clock.time <= 120


@pytest.mark.parametrize(
    "trouble", [google_error(503, "UNAVAILABLE"), requests.ConnectionError("reset after acting")]
)
def test_a_change_is_never_sent_twice(trouble: Answer | Exception) -> None:
    asked, script, _ = session(trouble)
    with pytest.raises(ApiError) as lost:
        asked.change("POST", "run", "v2/services", body={"secret": "planted-value"})
    assert lost.value.transient
    assert len(script.calls) == 1
    assert "planted-value" not in f"{lost.value} {lost.value.problems}"


def test_what_does_not_exist_is_none() -> None:
    asked, _, _ = session(google_error(404, "NOT_FOUND"))
    assert asked.find("run", "v2/x") is None


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (google_error(401, "UNAUTHENTICATED"), "log-in of this job"),
        (google_error(403, "PERMISSION_DENIED"), "docs/targets/gcp-cloud-run.md"),
        (
            google_error(
                403,
                "PERMISSION_DENIED",
                "Cloud Run Admin API has not been used",
                {"reason": "SERVICE_DISABLED", "metadata": {"service": "run.googleapis.com"}},
            ),
            "gcloud services enable run.googleapis.com",
        ),
        (
            google_error(
                403, "PERMISSION_DENIED", "Permission 'iam.serviceaccounts.actAs' denied on x"
            ),
            "roles/iam.serviceAccountUser",
        ),
        (google_error(429, "RESOURCE_EXHAUSTED"), "quota"),
    ],
)
def test_an_error_says_what_to_do(answer: Answer, hint: str) -> None:
    asked, _, _ = session(answer)
    with pytest.raises(ApiError) as refusal:
        asked.change("GET", "run", "v2/x")
    assert hint in str(refusal.value.problems[0].hint)


def test_violations_of_fields_are_part_of_the_message() -> None:
    violation = {"fieldViolations": [{"field": "service.name", "description": "too long"}]}
    asked, _, _ = session(google_error(400, "INVALID_ARGUMENT", "Bad request.", violation))
    with pytest.raises(ApiError, match=r"Bad request\.; service\.name: too long"):
        asked.change("GET", "run", "v2/x")


def test_an_operation_is_waited_for_and_its_failure_handed_over() -> None:
    failure = {"name": "op", "done": True, "error": {"code": 9, "message": "not ready"}}
    asked, script, _ = session(Answer(body={"name": "op"}), Answer(body=failure))
    assert finished(asked, "run", "v2/op", what="creating", timeout=60)["error"] == failure["error"]
    assert len(script.calls) == 2


def test_an_operation_that_never_ends_runs_out_of_time() -> None:
    asked, _, clock = session(Answer(body={"name": "op"}))
    with pytest.raises(OutOfTime, match="creating hello took longer than 60 s"):
        finished(asked, "run", "v2/op", what="creating hello", timeout=60)
    assert clock.time == pytest.approx(60)


def test_all_endpoints_can_lead_to_one_server() -> None:
    endpoints = Endpoints.all_at("http://127.0.0.1:1/")
    assert set(vars(endpoints).values()) == {"http://127.0.0.1:1"}
    assert all(url.startswith("https://") for url in vars(Endpoints()).values())


@contextmanager
def server(answer: Callable[[BaseHTTPRequestHandler], tuple[int, Any]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            status, body = answer(self)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if status == 302:
                self.send_header("Location", body)
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()


def test_a_token_that_was_revoked_is_made_anew_once() -> None:
    seen: list[str] = []

    class Renewed(FixedToken):
        def refresh(self, request: object) -> None:
            super().refresh(request)
            self.token = f"token-{len(seen)}"

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, Any]:
        seen.append(request.headers["Authorization"])
        return (401, {}) if len(seen) == 1 else (200, {"name": "x"})

    with server(answer) as url:
        asked = GoogleSession.over(Renewed("first"), endpoints=Endpoints.all_at(url))
        assert asked.read("run", "v2/x") == {"name": "x"}
    assert seen == ["Bearer first", "Bearer token-1"]


def test_a_token_does_not_follow_a_redirect_to_another_host() -> None:
    seen: list[str | None] = []

    def elsewhere(request: BaseHTTPRequestHandler) -> tuple[int, Any]:
        seen.append(request.headers["Authorization"])
        return 401, {}

    with server(elsewhere) as other, server(lambda _: (302, other)) as url:
        assert authorized(FixedToken("secret")).get(f"{url}/x", timeout=10).status_code == 401
    assert seen == [None]


def test_a_token_is_made_anew_before_it_ends_and_not_sooner() -> None:
    made: list[str] = []

    class Ending(FixedToken):
        def refresh(self, request: object) -> None:
            made.append(f"token-{len(made)}")
            self.token = made[-1]
            left = timedelta(minutes=3 if len(made) == 1 else 30)
            self.expiry = datetime.now(timezone.utc).replace(tzinfo=None) + left  # as google-auth's

    token = AccessToken(Ending(""))
    assert [token.value() for _ in range(3)] == ["token-0", "token-1", "token-1"]


def test_federated_credentials_make_no_call_but_those_for_a_token() -> None:
    from google.auth import identity_pool

    calls: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, Any]:
        calls.append(request.path)
        if request.path == "/token":
            return 200, {"access_token": "federated", "expires_in": 3600, "token_type": "Bearer"}
        if "generateAccessToken" in request.path:
            return 200, {"accessToken": "impersonated", "expireTime": "2099-01-01T00:00:00Z"}
        return 200, {"authorization": request.headers["Authorization"]}

    class Supplier:
        def get_subject_token(self, context: object, request: object) -> str:
            return "a-jwt"

    with server(answer) as url:
        credentials = identity_pool.Credentials(  # type: ignore[no-untyped-call]
            audience="//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/"
            "providers/q",
            subject_token_type="urn:ietf:params:oauth:token-type:jwt",
            token_url=f"{url}/token",
            service_account_impersonation_url=f"{url}/v1/projects/-/serviceAccounts/"
            "deployer@p.iam.gserviceaccount.com:generateAccessToken",
            subject_token_supplier=Supplier(),
            scopes=["https://www.googleapis.com/auth/cloud-platform"],
        )
        asked = GoogleSession(authorized(credentials), endpoints=Endpoints.all_at(url))
        for _ in range(3):
            assert asked.read("run", "v2/x") == {"authorization": "Bearer impersonated"}
    assert [c for c in calls if c not in ("/token", "/v2/x")] == [
        "/v1/projects/-/serviceAccounts/deployer@p.iam.gserviceaccount.com:generateAccessToken"
    ]
    assert calls.count("/token") == 1


def test_a_log_in_that_fails_is_a_sentence() -> None:
    from google.auth.exceptions import RefreshError

    class Broken(FixedToken):
        def refresh(self, request: object) -> None:
            error = "invalid_grant: the account is disabled"
            raise RefreshError(error)  # type: ignore[no-untyped-call]

    asked = GoogleSession.over(Broken(""), endpoints=Endpoints.all_at("http://127.0.0.1:1"))
    with pytest.raises(ApiError, match="no access token for Cloud Run: invalid_grant") as refusal:
        asked.read("run", "v2/x")
    assert "log-in" in str(refusal.value.problems[0].hint)
