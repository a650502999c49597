"""Google's REST APIs: one session with retries, errors as sentences, operations awaited.

Knows nothing of Cloud Run or GKE. A change is never sent twice blindly: an answer that got lost is
a transient ApiError, and the caller looks at what is there before it tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Protocol

from pymacaron_ci.google_token import Bearer, Credentials
from pymacaron_ci.targets.calls import BUSY, TIMEOUT, CallFailed, repeated, retry_after
from pymacaron_ci.waiting import Clock, Pending, Ready, SystemClock, wait_for

HELD = 20.0  # seconds that a server may take to answer a wait

Body = dict[str, Any]
Query = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Where each API answers; a simulator's endpoints lead to loopback."""

    run: str = "https://run.googleapis.com"
    serviceusage: str = "https://serviceusage.googleapis.com"
    cloudresourcemanager: str = "https://cloudresourcemanager.googleapis.com"
    iam: str = "https://iam.googleapis.com"
    iamcredentials: str = "https://iamcredentials.googleapis.com"
    artifactregistry: str = "https://artifactregistry.googleapis.com"
    secretmanager: str = "https://secretmanager.googleapis.com"
    logging: str = "https://logging.googleapis.com"
    orgpolicy: str = "https://orgpolicy.googleapis.com"
    compute: str = "https://compute.googleapis.com"
    container: str = "https://container.googleapis.com"

    @classmethod
    def all_at(cls, url: str) -> Endpoints:
        """One server for all of them."""
        return cls(**{field.name: url.rstrip("/") for field in fields(cls)})


class ApiError(CallFailed):
    """What an API refused, in its own words; `status` is Google's name for the kind of error."""

    def __init__(self, text: str, *, status: str = "", **options: Any) -> None:
        super().__init__(text, **options)
        self.status = status


class Answer(Protocol):
    """The part of requests.Response that is used here."""

    status_code: int
    headers: Mapping[str, str]

    @property
    def content(self) -> bytes: ...

    def json(self) -> Any: ...


class Http(Protocol):
    """The part of requests.Session that is used here; it adds the access token by itself."""

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Query | None = None,
        json: Mapping[str, Any] | None = None,
        timeout: tuple[float, float] | None = None,
    ) -> Answer: ...


def authorized(credentials: Credentials) -> Any:
    """A requests.Session that carries the credentials' token and renews it."""
    import requests

    session = requests.Session()
    session.auth = Bearer(credentials)
    return session


class FixedToken:
    """Credentials with a token that never ends: what a simulator wants to see."""

    def __init__(self, token: str, account: str = "deployer@simulated.invalid") -> None:
        self.token: str | None = token
        self.expiry: datetime | None = None
        self.service_account_email = account

    def refresh(self, request: object) -> None:
        """There is no other."""


class GoogleSession:
    """Calls with retries where they are harmless, and errors as sentences."""

    def __init__(
        self,
        http: Http,
        *,
        endpoints: Endpoints | None = None,
        account: str | None = None,
        clock: Clock | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._http = http
        self.endpoints = endpoints or Endpoints()
        self.account = account
        self.clock = clock or SystemClock()
        self._progress = progress

    @classmethod
    def over(cls, credentials: Credentials, **options: Any) -> GoogleSession:
        """A session for google-auth's credentials."""
        account = getattr(credentials, "service_account_email", None)
        return cls(authorized(credentials), account=account, **options)

    def read(
        self,
        api: str,
        path: str,
        *,
        query: Query | None = None,
        post: Body | None = None,
        method: str | None = None,
    ) -> Body:
        """A call that changes nothing, retried. `post`: the body, where reading is a POST."""
        verb = method or ("GET" if post is None else "POST")
        return repeated(
            f"asking {_name(api)}",
            lambda: self.change(verb, api, path, query=query, body=post),
            clock=self.clock,
            progress=self._progress,
            again=lambda e: e.transient or (isinstance(e, ApiError) and e.status == "ABORTED"),
        )

    def find(self, api: str, path: str, *, query: Query | None = None) -> Body | None:
        """Like `read`, and None for what does not exist."""
        try:
            return self.read(api, path, query=query)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def change(
        self,
        method: str,
        api: str,
        path: str,
        *,
        query: Query | None = None,
        body: Body | None = None,
    ) -> Body:
        """One call, sent once. The body never shows in an error: it may hold secrets."""
        import requests
        from google.auth.exceptions import GoogleAuthError

        url = f"{getattr(self.endpoints, api)}/{path}"
        try:
            answer = self._http.request(method, url, params=query, json=body, timeout=TIMEOUT)
            content = answer.content
        except requests.RequestException as error:
            raise _lost(api, error) from error
        except GoogleAuthError as error:
            raise _unauthenticated(api, error) from error
        if answer.status_code >= 400:
            raise refusal(api, answer)
        try:
            value = answer.json() if content else {}
        except ValueError as error:
            raise _lost(api, error) from error
        return value if isinstance(value, dict) else {}


def finished(
    session: GoogleSession,
    api: str,
    path: str,
    *,
    what: str,
    timeout: float,
    held: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Body:
    """Waits for a long-running operation. The answer is the operation: it may hold an `error`.

    `held`: the API has `:wait`, which answers as soon as there is something to say.
    """

    def probe() -> Ready[Body] | Pending:
        if held:
            operation = session.read(api, f"{path}:wait", post={"timeout": f"{HELD:.0f}s"})
        else:
            operation = session.read(api, path)
        return Ready(operation) if operation.get("done") else Pending(f"{what}…")

    return wait_for(
        what, probe, timeout=timeout, clock=session.clock, progress=progress, first=0.2, most=5
    )


def refusal(api: str, answer: Answer) -> ApiError:
    """The error of an answer ≥ 400, with what to do about it."""
    code = answer.status_code
    status, message, details = _envelope(answer)
    kind = f" {status}" if status else ""
    return ApiError(
        f"{_name(api)} answers {code}{kind}: {message or 'no reason given'}",
        code=code,
        status=status,
        message=message,
        transient=code in BUSY,
        retry_after=retry_after(answer.headers),
        hint=_hint(code, status, message, details, api),
    )


def _envelope(answer: Answer) -> tuple[str, str, list[Body]]:
    """status, message and details of Google's error body, if it is one."""
    try:
        error = answer.json()["error"]
        details = [d for d in error.get("details", []) if isinstance(d, dict)]
        fields = [
            f"{v.get('field')}: {v.get('description')}"
            for d in details
            for v in d.get("fieldViolations", [])
        ]
        message = str(error.get("message", ""))
        missing = [f for f in fields if f not in message]
        return str(error.get("status", "")), "; ".join([message, *missing]), details
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", "", []


def _hint(code: int, status: str, message: str, details: list[Body], api: str = "") -> str | None:
    reasons = {str(d.get("reason")): d.get("metadata") or {} for d in details if d.get("reason")}
    if "SERVICE_DISABLED" in reasons:
        api = reasons["SERVICE_DISABLED"].get("service", "the API")
        return f"enable it: gcloud services enable {api}"
    if code == 401:
        return (
            "the credentials are expired, revoked or not Google's: check the log-in of this job "
            "(workload identity provider and service account, or the key file)"
        )
    if "actas" in message.lower():
        return (
            "give the deployer roles/iam.serviceAccountUser on the service account that the "
            "service runs as"
        )
    if code == 403:
        page = "gke" if api == "container" else "gcp-cloud-run"
        return f"give the deployer the roles that docs/targets/{page}.md lists"
    if code == 429 or status == "RESOURCE_EXHAUSTED":
        return "a quota is used up: wait a minute, or ask for more in the console (IAM → Quotas)"
    if code in BUSY:
        return (
            "run it again: what is done already is kept; "
            "https://status.cloud.google.com tells of outages"
        )
    return None


def _lost(api: str, error: Exception) -> ApiError:
    """No answer, or half of one: whether the call was carried out is not known."""
    kind = type(error).__name__
    return ApiError(
        f"{_name(api)} gave no usable answer ({kind})",
        transient=True,
        hint="check that the runner reaches *.googleapis.com; then run it again",
    )


def _unauthenticated(api: str, error: Exception) -> ApiError:
    """google-auth got no token."""
    from google.auth.exceptions import TransportError

    return ApiError(
        f"no access token for {_name(api)}: {error.args[0] if error.args else error}",
        code=401,
        transient=isinstance(error, TransportError) or bool(getattr(error, "retryable", False)),
        hint=_hint(401, "", "", []),
    )


def _name(api: str) -> str:
    return {
        "run": "Cloud Run",
        "serviceusage": "Service Usage",
        "cloudresourcemanager": "Resource Manager",
        "iam": "IAM",
        "iamcredentials": "IAM Credentials",
        "artifactregistry": "Artifact Registry",
        "secretmanager": "Secret Manager",
        "logging": "Cloud Logging",
        "orgpolicy": "Organization Policy",
        "container": "Kubernetes Engine",
    }.get(api, api)
