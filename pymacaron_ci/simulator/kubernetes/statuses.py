"""Errors as a Kubernetes API server writes them: a Status object and its HTTP code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pymacaron_ci.simulator.kubernetes.objects import Json
from pymacaron_ci.simulator.kubernetes.resources import Resource
from pymacaron_ci.simulator.web import Response, json_response


class KubeError(Exception):
    """`reason` is one of metav1's StatusReasons; "" where the server itself doesn't know one."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Json | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.code, self.reason, self.message = code, reason, message
        self.details, self.headers = details, headers
        super().__init__(message)

    @property
    def status(self) -> Json:
        found: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            found["reason"] = self.reason
        if self.details is not None:
            found["details"] = self.details
        return {**found, "code": self.code}

    def response(self) -> Response:
        return json_response(self.status, self.code, *self.headers)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with an object: `reason` is a cause's, `text` its message."""

    reason: str
    field: str
    text: str

    @property
    def cause(self) -> Json:
        return {"reason": self.reason, "message": self.text, "field": self.field}

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"


def shown(value: Any) -> str:
    """A bad value inside a message."""
    import json

    return json.dumps(value, separators=(",", ":"))


def invalid_value(field: str, value: Any, why: str) -> Fault:
    return Fault("FieldValueInvalid", field, f"Invalid value: {shown(value)}: {why}")


def required(field: str, why: str = "") -> Fault:
    return Fault("FieldValueRequired", field, "Required value" + (f": {why}" if why else ""))


def forbidden_field(field: str, why: str) -> Fault:
    return Fault("FieldValueForbidden", field, f"Forbidden: {why}")


def duplicate(field: str, value: Any) -> Fault:
    return Fault("FieldValueDuplicate", field, f"Duplicate value: {shown(value)}")


def unsupported(field: str, value: Any, supported: Iterable[str]) -> Fault:
    values = ", ".join(f'"{name}"' for name in sorted(supported))
    return Fault(
        "FieldValueNotSupported",
        field,
        f"Unsupported value: {shown(value)}: supported values: {values}",
    )


def _details(resource: Resource, name: str) -> Json:
    found = {"name": name} if name else {}
    if resource.group:
        found["group"] = resource.group
    return {**found, "kind": resource.plural}


def not_found(resource: Resource, name: str) -> KubeError:
    text = f'{resource.qualified} "{name}" not found'
    return KubeError(404, "NotFound", text, details=_details(resource, name))


def already_exists(resource: Resource, name: str) -> KubeError:
    text = f'{resource.qualified} "{name}" already exists'
    return KubeError(409, "AlreadyExists", text, details=_details(resource, name))


def stale(resource: Resource, name: str, why: str = "") -> KubeError:
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try "
        "again"
    )
    text = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return KubeError(409, "Conflict", text, details=_details(resource, name))


def invalid(resource: Resource, name: str, faults: Sequence[Fault]) -> KubeError:
    texts = [str(fault) for fault in faults]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = {
        **_details(resource, name),
        "kind": resource.kind,
        "causes": [fault.cause for fault in faults],
    }
    return KubeError(422, "Invalid", f'{kind} "{name}" is invalid: {text}', details=details)


def forbidden(resource: Resource, name: str, why: str, causes: Sequence[Json] = ()) -> KubeError:
    quoted = f' "{name}"' if name else ""
    details = _details(resource, name)
    if causes:
        details["causes"] = list(causes)
    text = f"{resource.qualified}{quoted} is forbidden: {why}"
    return KubeError(403, "Forbidden", text, details=details)


def bad_request(text: str) -> KubeError:
    return KubeError(400, "BadRequest", text)


def unknown_path() -> KubeError:
    text = "the server could not find the requested resource"
    return KubeError(404, "NotFound", text, details={})


def wrong_method() -> KubeError:
    text = "the server does not allow this method on the requested resource"
    return KubeError(405, "MethodNotAllowed", text, details={})


def wrong_type(known: Sequence[str]) -> KubeError:
    text = (
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(known)
    )
    return KubeError(415, "UnsupportedMediaType", text)


def expired(version: int, oldest: int) -> KubeError:
    return KubeError(410, "Expired", f"too old resource version: {version} ({oldest})")


def unauthorized() -> KubeError:
    return KubeError(401, "Unauthorized", "Unauthorized")
