"""GitHub's token service, AWS STS and Google's STS and IAM on one loopback port, as far as a log-in
needs them. Shapes and error texts are the clouds' own."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

BEARER = "the-runners-bearer"
SUBJECT = "repo:octo/app:ref:refs/heads/main"
ROLE = "arn:aws:iam::123456789012:role/deployer"
PROVIDER = "projects/123/locations/global/workloadIdentityPools/pool-1/providers/github"
ACCOUNT = "deployer@proj.iam.gserviceaccount.com"
_AWS = "https://sts.amazonaws.com/doc/2011-06-15/"


def token_of(claims: Mapping[str, Any]) -> str:
    def part(data: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{part(claims)}.c2lnbmF0dXJl"


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return found


@dataclass
class Clouds:
    """What they were asked, and how they are to answer."""

    base: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    github_answers: list[int] = field(default_factory=list)
    aws_error: tuple[str, str] | None = None
    google_error: tuple[int, dict[str, Any]] | None = None
    impersonation_error: tuple[int, dict[str, Any]] | None = None
    lifetime: int = 3600
    made: int = 0

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def environ(self) -> dict[str, str]:
        """What a runner gives a step of a job that may ask for tokens."""
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.base}/oidc/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": BEARER,
        }


Answer = tuple[int, str, str]


def _json(status: int, data: object) -> Answer:
    return status, "application/json", json.dumps(data)


def _github(clouds: Clouds, query: dict[str, str], bearer: str) -> Answer:
    clouds.calls.append(("github", query))
    if clouds.github_answers:
        return _json(clouds.github_answers.pop(0), {"message": "no"})
    if bearer != f"Bearer {BEARER}":
        return _json(401, {"message": "bad bearer"})
    clouds.made += 1
    claims = {
        "aud": query.get("audience", "https://github.com/octo"),
        "sub": SUBJECT,
        "repository": "octo/app",
        "iss": "https://token.actions.githubusercontent.com",
        "jti": str(clouds.made),
    }
    token = token_of(claims)
    return _json(200, {"count": len(token), "value": token})


def _aws(clouds: Clouds, form: dict[str, str], authorization: str) -> Answer:
    action = form.get("Action", "")
    clouds.calls.append((action, form | {"authorization": authorization}))
    if action == "GetCallerIdentity":
        body = (
            f'<GetCallerIdentityResponse xmlns="{_AWS}"><GetCallerIdentityResult>'
            "<Arn>arn:aws:sts::123456789012:assumed-role/deployer/x</Arn><UserId>AROA:x</UserId>"
            "<Account>123456789012</Account></GetCallerIdentityResult><ResponseMetadata>"
            "<RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
        )
        return 200, "text/xml", body
    error = clouds.aws_error
    if error is None and claims_of(form["WebIdentityToken"])["aud"] != "sts.amazonaws.com":
        error = ("InvalidIdentityToken", "Incorrect token audience")
    if error:
        body = (
            f'<ErrorResponse xmlns="{_AWS}"><Error><Type>Sender</Type><Code>{error[0]}</Code>'
            f"<Message>{error[1]}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
        )
        return (403 if error[0] == "AccessDenied" else 400), "text/xml", body
    until = datetime.now(timezone.utc) + timedelta(seconds=clouds.lifetime)
    number = clouds.made
    body = (
        f'<AssumeRoleWithWebIdentityResponse xmlns="{_AWS}"><AssumeRoleWithWebIdentityResult>'
        f"<Credentials><AccessKeyId>ASIAEXAMPLE{number}</AccessKeyId>"
        f"<SecretAccessKey>aws-secret-{number}</SecretAccessKey>"
        f"<SessionToken>aws-session-{number}</SessionToken>"
        f"<Expiration>{until:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials><AssumedRoleUser>"
        "<Arn>arn:aws:sts::123456789012:assumed-role/deployer/x</Arn>"
        "<AssumedRoleId>AROA:x</AssumedRoleId></AssumedRoleUser></AssumeRoleWithWebIdentityResult>"
        "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>"
        "</AssumeRoleWithWebIdentityResponse>"
    )
    return 200, "text/xml", body


def _google(clouds: Clouds, path: str, text: str, authorization: str) -> Answer:
    if path == "/google/v1/token":
        form = dict(parse_qsl(text))
        clouds.calls.append(("exchange", form))
        if clouds.google_error:
            return _json(*clouds.google_error)
        claims = claims_of(form["subject_token"])
        if claims["aud"] != "https:" + form["audience"]:
            return _json(
                400,
                {
                    "error": "invalid_grant",
                    "error_description": "The audience in ID Token [x] does not match the expected "
                    "audience.",
                },
            )
        return _json(
            200,
            {
                "access_token": f"ya29.federated-{claims['jti']}",
                "token_type": "Bearer",
                "expires_in": clouds.lifetime,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            },
        )
    clouds.calls.append(("impersonate", {"path": path, "authorization": authorization}))
    if clouds.impersonation_error:
        return _json(*clouds.impersonation_error)
    until = datetime.now(timezone.utc) + timedelta(seconds=clouds.lifetime)
    return _json(
        200,
        {
            "accessToken": f"ya29.impersonated-{clouds.made}",
            "expireTime": f"{until:%Y-%m-%dT%H:%M:%SZ}",
        },
    )


@contextmanager
def serving() -> Iterator[Clouds]:
    clouds = Clouds()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Tests look at `calls`."""

        def _send(self, answer: Answer) -> None:
            status, kind, text = answer
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path == "/oidc/token":
                query = dict(parse_qsl(url.query))
                self._send(_github(clouds, query, self.headers.get("Authorization", "")))
            else:
                clouds.calls.append(("stray", {"path": self.path}))
                self._send(_json(404, {}))

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            authorization = self.headers.get("Authorization", "")
            path = urlsplit(self.path).path
            if path.startswith("/google/"):
                self._send(_google(clouds, path, text, authorization))
            else:
                self._send(_aws(clouds, dict(parse_qsl(text)), authorization))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    clouds.base = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield clouds
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
