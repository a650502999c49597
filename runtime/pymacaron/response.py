"""Flask's responses and sessions without what an API's answers never need: a third of the time of a
small request."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from werkzeug.datastructures import Headers

from pymacaron.endpoint import Answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

STATUS_LINES = {status.value: f"{status.value} {status.phrase.upper()}" for status in HTTPStatus}


class AnswerResponse(Response):
    """An Answer as a Flask response, so that after_request functions may change it. It has no
    Content-Type unless its headers say one."""

    default_mimetype = None

    def __init__(self, answer: Answer) -> None:
        # What Response.__init__ would set, from values that need no parsing.
        first = () if answer.type is None else (("Content-Type", answer.type),)
        self.headers = Headers((*first, *answer.headers))
        self._status_code = answer.status
        self._status = STATUS_LINES.get(answer.status) or f"{answer.status} UNKNOWN"
        self._on_close = []
        self.direct_passthrough = False
        self.response = [answer.body]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = self.response
        if self._on_close or not isinstance(body, list) or len(body) != 1:
            return super().__call__(environ, start_response)
        headers = self.headers.to_wsgi_list()
        if self._status_code not in (204, 304) and self.content_length is None:
            headers.append(("Content-Length", str(len(body[0]))))
        start_response(self._status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body


class LazySessions(SecureCookieSessionInterface):
    """Flask's signed cookie sessions, that cost nothing where there is no cookie."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if app.secret_key and self.get_cookie_name(app) not in request.environ.get(
            "HTTP_COOKIE", ""
        ):
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if session or session.modified or session.accessed:
            super().save_session(app, session, response)
