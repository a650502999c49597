"""The errors an endpoint may raise: each carries the code and the HTTP status of its answer.

Nothing here logs or reports; that is crash.py's business.
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from flask import Response
    from werkzeug.exceptions import HTTPException

E = TypeVar("E", bound="PyMacaronException")


def is_stop(error: BaseException) -> bool:
    """SystemExit and CancelledError: Flask leaves them to the server, and the server would end the
    whole process."""
    # Who raises a CancelledError has imported asyncio: a service without coroutines need not.
    asyncio = sys.modules.get("asyncio")
    return isinstance(error, SystemExit) or (
        asyncio is not None and isinstance(error, asyncio.CancelledError)
    )


class PyMacaronException(Exception):
    """An error with an answer of its own. Subclasses set `code` and `status`.

    >>> class InvalidUser(PyMacaronException):
    ...     code, status = "INVALID_USER", 401
    >>> InvalidUser("we don't know you").to_dict()["error_description"]
    "we don't know you"
    """

    code: str = "UNKNOWN_EXCEPTION"
    status: int = 500
    error_id: str | None = None
    user_message: str | None = None
    error_caught: object = None
    # Set where an earlier report, whose error_id this error has, tells of the same trouble.
    reported_before: bool = False

    def __init__(self, msg: object = None, *args: object) -> None:
        super().__init__(*(() if msg is None else (msg, *args)))
        if msg is not None:
            self.user_message = str(msg)

    def __str__(self) -> str:
        text = super().__str__()
        return text or str(self.user_message or self.code)

    def tell_user(self: E, msg: str) -> E:
        """Sets the text meant for the end user; the description stays what it was."""
        self.user_message = msg
        return self

    def caught(self: E, error: object) -> E:
        """Remembers the error behind this one; the answer shows it as `error_caught`."""
        self.error_caught = error
        return self

    def to_dict(self) -> dict[str, object]:
        """The body of the answer."""
        body: dict[str, object] = {
            "status": self.status,
            "error": self.code.upper(),
            "error_description": str(self),
        }
        if self.user_message:
            body["user_message"] = self.user_message
        if self.error_id:
            body["error_id"] = self.error_id
        if self.error_caught is not None:
            body["error_caught"] = _shown(self.error_caught)
        return body

    def jsonify(self) -> Response:
        """A Flask response with this error's body and status; needs an application context."""
        from flask import jsonify

        response = jsonify(self.to_dict())
        response.status_code = self.status
        return response

    def http_reply(self) -> Response:
        """The 1.x name of `jsonify`."""
        return self.jsonify()


def _shown(thing: object) -> str:
    try:
        return repr(thing)
    except Exception:  # noqa: BLE001  (a broken __repr__ is the application's)
        return type(thing).__name__


class InternalValidationError(PyMacaronException):
    """A model was filled with data of the wrong type inside an endpoint."""

    code = "INTERNAL_VALIDATION_ERROR"
    status = 500


class BadResponseException(PyMacaronException):
    """An endpoint returned something its operation does not declare."""

    code = "BAD_RESPONSE"
    status = 500


class UnhandledServerError(PyMacaronException):
    """Anything an endpoint raised that is not a PyMacaronException."""

    code = "SERVER_ERROR"
    status = 500


class InternalServerError(PyMacaronException):
    """A failure of the server that the endpoint itself found."""

    code = "SERVER_ERROR"
    status = 500


class InvalidParameterError(PyMacaronException):
    """The request does not fit the operation."""

    code = "INVALID_PARAMETER"
    status = 400


class RequestTimeout(PyMacaronException):
    """The client went away, or took too long to send its request."""

    code = "REQUEST_TIMEOUT"
    status = 408


class AuthMissingHeaderError(PyMacaronException):
    """The operation needs a token and the request has none."""

    code = "AUTHORIZATION_HEADER_MISSING"
    status = 401


class AuthTokenExpiredError(PyMacaronException):
    """The token was good once."""

    code = "TOKEN_EXPIRED"
    status = 401


class AuthInvalidTokenError(PyMacaronException):
    """The token is not one of ours, or is damaged."""

    code = "TOKEN_INVALID"
    status = 401


code_to_class: dict[str, type[PyMacaronException]] = {
    error.code: error
    for error in (
        InternalValidationError,
        BadResponseException,
        UnhandledServerError,
        InvalidParameterError,
        RequestTimeout,
        AuthMissingHeaderError,
        AuthTokenExpiredError,
        AuthInvalidTokenError,
    )
}


def add_error(
    name: str | None = None, code: str | None = None, status: int | None = None
) -> type[PyMacaronException]:
    """Makes, registers and returns an error class. Raises ValueError for a code used before.

    >>> add_error("TeapotError", "IM_A_TEAPOT", 418).status
    418
    """
    if not name or not code or not status:
        raise ValueError(
            f"an error needs a name, a code and a status; got {name}, {code}, {status}"
        )
    if not 100 <= int(status) <= 599:
        raise ValueError(f"{name}: {status} is no HTTP status; use one from 400 to 599")
    if code in code_to_class:
        other = code_to_class[code].__name__
        raise ValueError(f"{name}: the code {code} is {other}'s already; choose another")
    error = type(name, (PyMacaronException,), {"code": code, "status": int(status)})
    code_to_class[code] = error
    globals()[name] = error
    return error


def is_error(o: object) -> bool:
    """True for an error of ours, and for a response or Error model with a status from 300."""
    if isinstance(o, PyMacaronException):
        return True
    status = getattr(o, "status_code", None)
    if status is None:
        status = getattr(o, "status", None)
    if isinstance(status, str):  # werkzeug: "404 NOT FOUND"
        status = status.split(" ", 1)[0]
    try:
        return int(status) >= HTTPStatus.MULTIPLE_CHOICES  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def raise_error(e: object) -> None:
    """Raises an Error model (status, error, error_description) as the exception it stands for."""
    error = code_to_class.get(str(getattr(e, "error", "")), InternalServerError)
    raise error(getattr(e, "error_description", None))


def headers_of(error: HTTPException) -> list[tuple[str, str]]:
    """The headers that an abort() asks for (WWW-Authenticate, Allow, ...) besides its body's."""
    return [
        (name, value)
        for name, value in error.get_headers()
        if name.lower() not in ("content-type", "content-length")
    ]


def responsify(error: object) -> Response:
    """A Flask response from an Error model or one of our exceptions (1.x name)."""
    if isinstance(error, PyMacaronException):
        return error.jsonify()
    try:
        raise_error(error)
    except PyMacaronException as exception:
        return exception.jsonify()
    raise TypeError(f"{error!r} is no error")


def format_error(e: Exception) -> dict[str, object]:
    """The body for any exception (1.x name)."""
    if isinstance(e, PyMacaronException):
        return e.to_dict()
    return UnhandledServerError("the server failed to handle this request").to_dict()
