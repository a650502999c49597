"""Errors as Google's APIs write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymacaron_ci.simulator.web import Response, json_response

# google.rpc.Code: HTTP status, number
CODES = {
    "INVALID_ARGUMENT": (400, 3),
    "DEADLINE_EXCEEDED": (504, 4),
    "NOT_FOUND": (404, 5),
    "ALREADY_EXISTS": (409, 6),
    "PERMISSION_DENIED": (403, 7),
    "RESOURCE_EXHAUSTED": (429, 8),
    "FAILED_PRECONDITION": (400, 9),
    "ABORTED": (409, 10),
    "UNIMPLEMENTED": (501, 12),
    "INTERNAL": (500, 13),
    "UNAVAILABLE": (503, 14),
    "UNAUTHENTICATED": (401, 16),
}


class ApiError(Exception):
    """One of google.rpc.Code, with the text that the real service writes."""

    def __init__(
        self,
        code: str,
        message: str,
        *details: Mapping[str, Any],
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.code, self.message, self.details, self.headers = code, message, details, headers
        super().__init__(message)

    @property
    def status(self) -> dict[str, Any]:
        """google.rpc.Status, as an operation carries it."""
        return {"code": CODES[self.code][1], "message": self.message}

    def response(self) -> Response:
        http, _ = CODES[self.code]
        error: dict[str, Any] = {"code": http, "message": self.message, "status": self.code}
        if self.details:
            error["details"] = list(self.details)
        return json_response({"error": error}, http, *self.headers)


def invalid(message: str, field: str | None = None) -> ApiError:
    """INVALID_ARGUMENT; with a field, its violation as a detail and in front of the text."""
    if field is None:
        return ApiError("INVALID_ARGUMENT", message)
    violation = {"field": field, "description": message}
    detail = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [violation],
    }
    return ApiError("INVALID_ARGUMENT", f"{field}: {message}", detail)


def denied(permission: str, resource: str) -> ApiError:
    return ApiError(
        "PERMISSION_DENIED",
        f"Permission '{permission}' denied on resource '{resource}' (or resource may not exist).",
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "IAM_PERMISSION_DENIED",
            "domain": "iam.googleapis.com",
            "metadata": {"permission": permission, "resource": resource},
        },
    )


def disabled(api: str, title: str, number: str) -> ApiError:
    url = f"https://console.developers.google.com/apis/api/{api}/overview?project={number}"
    return ApiError(
        "PERMISSION_DENIED",
        f"{title} has not been used in project {number} before or it is disabled. Enable it by "
        f"visiting {url} then "
        "retry. If you enabled this API recently, wait a few minutes for the action to propagate "
        "to our systems "
        "and retry.",
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "SERVICE_DISABLED",
            "domain": "googleapis.com",
            "metadata": {"consumer": f"projects/{number}", "service": api, "activationUrl": url},
        },
    )
