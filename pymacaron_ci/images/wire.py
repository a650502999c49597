"""HTTP with a registry: log-in, retries with back-off, and errors that say who may not do what."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from pymacaron_ci.errors import BuildError, RegistryError
from pymacaron_ci.images import transport
from pymacaron_ci.images.logins import Login
from pymacaron_ci.images.transport import Answer
from pymacaron_ci.waiting import Clock, SystemClock

_TRIES = 6
_LONGEST_PAUSE = 30.0
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, kw_only=True)
class Name:
    """A repository as its registry knows it."""

    host: str
    path: str

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"


class Interrupted(Exception):
    """The conversation broke off; at `place` it may be taken up again."""

    def __init__(self, text: str, place: str) -> None:
        super().__init__(text)
        self.place = place


class Wire:
    """Requests to one repository. HTTPS except on loopback; credentials go to that host alone."""

    def __init__(
        self,
        name: Name,
        login: Callable[[], Login | None] = lambda: None,
        clock: Clock | None = None,
        tries: int = _TRIES,
    ) -> None:
        self.name = name
        scheme = "http" if transport.is_loopback(name.host) else "https"
        self.root = f"{scheme}://{name.host}/v2/{name.path}/"
        self._ask_login = login
        self._login: Login | None = None
        self._asked = False
        self._clock = clock or SystemClock()
        self._tries = tries
        self._lock = threading.Lock()
        self._authorization: str | None = None

    def ask(
        self,
        method: str,
        path: str,
        *,
        allowed: tuple[int, ...],
        data: Callable[[], Any] | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
        once: bool = False,
    ) -> Answer:
        """The answer, when its status is allowed; BuildError for any other, after polite retries.

        `data` makes the body anew for each try. `once`: a break raises Interrupted at once,
        because only the caller knows where to go on.
        """
        last, pause = "", 0.0
        for attempt in range(1 if once else self._tries):
            if attempt:
                self._clock.sleep(min(pause, _LONGEST_PAUSE))
            pause = 0.2 * 2**attempt
            try:
                answer = self._authorized(method, path, data, headers, stream)
            except (transport.HTTPError, OSError) as error:
                last = _short(error)
                if _hopeless(error):
                    break
                continue
            if answer.status in allowed:
                return answer
            if answer.status not in _AGAIN:
                raise self._refusal(method, answer)
            last = f"it answered {answer.status} {_words(answer)}".strip()
            pause = _retry_after(answer) or pause
        if once:
            raise Interrupted(last, urljoin(self.root, path))
        raise RegistryError(
            f"the registry {self.name.host} does not answer: {last}",
            hint="nothing was published; the next run goes on where this one ended",
        )

    def pause(self, attempt: int) -> None:
        """Waits politely before a caller's own next try."""
        self._clock.sleep(min(0.2 * 2**attempt, _LONGEST_PAUSE))

    def _authorized(
        self,
        method: str,
        path: str,
        data: Callable[[], Any] | None,
        headers: Mapping[str, str] | None,
        stream: bool,
    ) -> Answer:
        url = urljoin(self.root, path)
        for _ in range(2):
            used = self._authorization
            answer = self._send(method, url, data, headers, stream)
            challenge = answer.headers.get("WWW-Authenticate", "")
            if answer.status != 401 or not challenge:
                return answer
            answer.drain_conn()
            with self._lock:  # tokens end in the middle of an upload; one thread gets the next one
                if self._authorization == used:
                    self._authorization = self._authorize(challenge)
        return answer

    def _send(
        self,
        method: str,
        url: str,
        data: Callable[[], Any] | None,
        headers: Mapping[str, str] | None,
        stream: bool,
    ) -> Answer:
        sent = dict(headers or {})
        if self._authorization and urlsplit(url).netloc == urlsplit(self.root).netloc:
            sent["Authorization"] = self._authorization
        return transport.send(method, url, headers=sent, body=data, stream=stream)

    @property
    def login(self) -> Login | None:
        if not self._asked:
            self._login, self._asked = self._ask_login(), True
        return self._login

    def _authorize(self, challenge: str) -> str | None:
        kind, _, rest = challenge.partition(" ")
        login = self.login
        if kind.lower() == "basic":
            return _basic(login) if login else None
        if kind.lower() != "bearer":
            raise BuildError(f"{self.name.host} wants the unknown log-in {kind}")
        asked = dict(_CHALLENGE.findall(rest))
        realm = asked.get("realm", "")
        scope = asked.get("scope") or f"repository:{self.name.path}:pull,push"
        query = {"service": asked.get("service", ""), "scope": scope}
        if login and login.identity_token:
            form = query | {
                "grant_type": "refresh_token",
                "client_id": "pymacaron-ci",
                "refresh_token": login.identity_token,
            }
            answer = transport.send(
                "POST",
                realm,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=lambda: urlencode(form),
            )
        else:
            headers = {"Authorization": _basic(login)} if login else {}
            joined = "&" if "?" in realm else "?"
            answer = transport.send("GET", f"{realm}{joined}{urlencode(query)}", headers=headers)
        if answer.status in (400, 401, 403):
            raise self._refusal("log-in", answer)
        try:
            told = answer.json()
            return f"Bearer {told.get('token') or told['access_token']}"
        except (ValueError, KeyError, AttributeError) as error:
            if answer.status in _AGAIN:
                raise transport.HTTPError(f"{realm} answered {answer.status}") from error
            raise BuildError(f"{realm} gave no token for {self.name.host}") from error

    def _refusal(self, method: str, answer: Answer) -> RegistryError:
        host, path = self.name.host, self.name.path
        who = self._login.user if self._login else "an anonymous user"
        what = {"GET": "pull from", "HEAD": "pull from", "log-in": "use"}.get(method, "push to")
        details = [line for line in (_words(answer),) if line]
        if answer.status == 401 and self._login:
            return RegistryError(
                f"the registry {host} refused the log-in of {who} to {what} {path}",
                hint="is the password or token right, still valid, and meant for this repository?",
                details=details,
            )
        if answer.status == 401:
            return RegistryError(
                f"the registry {host} wants a log-in to {what} {path}",
                hint=f"set DOCKER_USERNAME and DOCKER_PASSWORD, or run `docker login {host}`",
                details=details,
            )
        if answer.status == 403:
            return RegistryError(
                f"{who} may not {what} {path} at the registry {host}",
                hint="give the account that right, or check docker_repo and docker_registry",
                details=details,
            )
        if answer.status == 404:
            return RegistryError(
                f"the registry {host} has no repository {path}, or {who} may not see it",
                hint="make it first, where the registry doesn't by itself",
                details=details,
            )
        return RegistryError(
            f"the registry {host} refused to {what} {path} ({method}: {answer.status})",
            details=details,
        )


def _basic(login: Login) -> str:
    return f"Basic {base64.b64encode(f'{login.user}:{login.password}'.encode()).decode()}"


def _retry_after(answer: Answer) -> float | None:
    told = answer.headers.get("Retry-After", "")
    return float(told) if told.isdigit() else None


def _hopeless(error: Exception) -> bool:
    """A wrong certificate or an unknown host doesn't become right by trying again."""
    text = str(error)
    return any(
        words in text
        for words in (
            "CERTIFICATE_VERIFY_FAILED",
            "WRONG_VERSION_NUMBER",
            "Name or service not known",
            "No address associated",
        )
    )


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _words(answer: Answer) -> str:
    """The registry's own explanation, in the form that the specification gives it."""
    try:
        errors = answer.json()["errors"]
        return "; ".join(f"{e.get('code', '')}: {e.get('message', '')}" for e in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return " ".join(answer.data.decode("utf-8", "replace").split())[:200]
