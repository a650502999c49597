"""The request as an endpoint wants it, on either road."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from flask import request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from pymacaron.exceptions import RequestTimeout

if TYPE_CHECKING:
    from pymacaron.flask_contexts import LazyRequestContext

# Longer numbers of bytes are for Flask to judge.
DIGITS = 18
READ = ("_cached_data", "stream", "form")


class FlaskCall:
    """The request that Flask is serving."""

    by_flask: ClassVar[bool] = True

    __slots__ = ("environ", "values")

    def __init__(self, values: dict[str, str]) -> None:
        self.environ: dict[str, Any] = request.environ
        self.values = values

    def body(self) -> bytes:
        """Read once, and left where request.data, .json and .form find it."""
        known = request.__dict__
        body = None
        if not any(name in known for name in READ):
            body = _sized_body(self.environ, request.max_content_length)
        if body is not None:
            known["_cached_data"] = body
            return body
        try:
            return request.get_data(cache=True)
        except ClientDisconnected as error:
            raise _gone() from error


class DirectCall:
    """A request that Flask has not seen."""

    by_flask: ClassVar[bool] = False

    __slots__ = ("_context", "environ", "values")

    def __init__(self, context: LazyRequestContext, values: dict[str, str]) -> None:
        self.environ = context.environ
        self.values = values
        self._context = context

    def body(self) -> bytes:
        context = self._context
        body = _sized_body(self.environ, context.app.config["MAX_CONTENT_LENGTH"])
        if body is None:
            return FlaskCall(self.values).body()
        context.body = body
        return body


def _sized_body(environ: dict[str, Any], limit: int | None) -> bytes | None:
    """The body of a request that says plainly how long it is."""
    text = environ.get("CONTENT_LENGTH") or ""
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS):
        return None
    length = int(text)
    if limit is not None and length > limit:
        raise RequestEntityTooLarge
    body: bytes = environ["wsgi.input"].read(length)
    if len(body) < length:
        raise _gone()
    return body


def _gone() -> RequestTimeout:
    return RequestTimeout("the client went away before its request was complete")
