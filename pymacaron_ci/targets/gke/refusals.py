"""What an API server refuses, in its own words and with what to do about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from pymacaron_ci.targets.calls import BUSY, CallFailed, retry_after


class Answer(Protocol):
    """The part of requests.Response that is used here."""

    status_code: int
    headers: Any

    @property
    def content(self) -> bytes: ...

    def json(self) -> Any: ...


@dataclass(frozen=True)
class Cause:
    """One of the reasons that an answer gives: which field, and what is wrong with it."""

    reason: str = ""
    field: str = ""
    message: str = ""


class Refused(CallFailed):
    """What the API server refused, in its own words."""

    def __init__(
        self, text: str, *, reason: str = "", causes: tuple[Cause, ...] = (), **options: Any
    ) -> None:
        super().__init__(text, **options)
        self.reason = reason
        self.causes = causes

    @property
    def others_fields(self) -> tuple[Cause, ...]:
        """Fields that another manager holds: why an apply was refused, if that was it."""
        return tuple(c for c in self.causes if c.reason == "FieldManagerConflict")


def refusal_of(answer: Answer, where: str) -> Refused:
    """The error of an answer ≥ 400, with what to do about it."""
    code = answer.status_code
    status = status_of(answer)
    reason = str(status.get("reason") or "")
    message = str(status.get("message") or "no reason given")
    causes = (status.get("details") or {}).get("causes") or []
    return Refused(
        f"{where} answers {code} {reason}: {message}".replace("  ", " "),
        code=code,
        reason=reason,
        message=message,
        causes=tuple(
            Cause(str(c.get("reason", "")), str(c.get("field", "")), str(c.get("message", "")))
            for c in causes
        ),
        # the API server says 500 to a manifest that isn't of the right types, and will again
        transient=code in BUSY and not message.startswith("failed to create typed patch"),
        retry_after=retry_after(answer.headers),
        hint=_hint(code, reason),
    )


LOG_IN = "check the log-in of this job: the credentials are expired, revoked, or not this cluster's"


def _hint(code: int, reason: str) -> str | None:
    if code == 401:
        return LOG_IN
    if code == 403:
        return "give the deployer the permissions that docs/targets/gke.md lists"
    if code == 429:
        return "the API server is busy: run it again in a minute"
    if code in BUSY:
        return "run it again: what is done already is kept"
    if reason == "Invalid":
        return "an object of the same name that was made otherwise may be in the way"
    return None


def status_of(answer: Answer) -> dict[str, Any]:
    """The Status object of an error, if it is one."""
    try:
        value = answer.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) and value.get("kind") == "Status" else {}


def innermost(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return str(error)
