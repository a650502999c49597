"""The WSGI application between what surrounds every request and Flask: calls an operation itself,
or hands the request on to Flask."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, Response
from werkzeug.wrappers import Response as WerkzeugResponse

from pymacaron import flask_contexts
from pymacaron.config import get_config
from pymacaron.dispatch.calls import DirectCall
from pymacaron.dispatch.roads import SIGNALS, reasons
from pymacaron.dispatch.router import Router, routers, sample_of
from pymacaron.endpoint import Answer, Endpoint
from pymacaron.response import STATUS_LINES, AnswerResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("pymacaron.dispatch")

EXTENSION = "pymacaron_dispatch"
HOST = re.compile(r"[A-Za-z0-9.-]{1,255}(:[0-9]{1,5})?")
REMEMBERED_HOSTS = 64
# With these Flask does something that depends on more than the route.
WEBSOCKET, PRESERVE = "HTTP_UPGRADE", "werkzeug.debug.preserve_context"


class Dispatch:
    """Chooses the road of all requests at the start, and anew where the application has changed by
    the first one."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self._flask: WSGIApplication = app.wsgi_app
        self._bare = getattr(app.wsgi_app, "__func__", None) is Flask.wsgi_app
        self._operations: dict[str, tuple[Endpoint, tuple[str, ...]]] = {}
        self._views: dict[str, Callable[..., Any]] = {}
        self._routers: dict[str, Router] = {}
        self._told: list[str] = []
        self._decided = False
        self._hosts: set[str] = set()
        self._cookie = ""
        for signal in SIGNALS:
            # Whoever listens from now on hears of all later requests.
            signal.receiver_connected.connect(self._reconsider)

    @classmethod
    def of(cls, app: Flask) -> Dispatch:
        """The one in an application, put into its place at the first call."""
        found = app.extensions.get(EXTENSION)
        if not isinstance(found, Dispatch):
            found = app.extensions[EXTENSION] = cls(app)
            app.wsgi_app = found  # type: ignore[method-assign]
        return found

    def add(
        self, name: str, endpoint: Endpoint, names: tuple[str, ...], view: Callable[..., Any]
    ) -> None:
        """An operation: Flask's name for it, its path's values, and the function Flask calls."""
        self._operations[name] = (endpoint, names)
        self._views[name] = view

    def decide(self) -> None:
        """Chooses the road, and tells the log why it is not the short one."""
        self._routers = {}
        if get_config().get("fast_path", True) in (False, "off"):
            return
        found = [] if self._bare else ["its wsgi_app was wrapped before start()"]
        found += reasons(self.app)
        if found:
            self._tell("all operations take Flask's own road, not the fast path", found)
            return
        functions = self.app.view_functions
        own = {n: self._operations[n] for n, view in self._views.items() if functions[n] is view}
        made = routers(self.app.url_map.iter_rules(), own)
        left = [n for n, (e, _) in self._operations.items() if not _finds(made, e)]
        if left:
            self._tell("these operations take Flask's own road, not the fast path", left)
        self._cookie = self.app.session_interface.get_cookie_name(self.app)
        self._routers = made

    def _tell(self, what: str, found: list[str]) -> None:
        if found != self._told:
            log.info("%s: %s", what, "; ".join(found))
            self._told = found

    def _reconsider(self, *_: object, **__: object) -> None:
        self._decided = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self._decided:
            self._decided = True
            self.decide()
        router = self._routers.get(environ["REQUEST_METHOD"])
        if router is not None:
            path = environ.get("PATH_INFO", "")
            found = router.find(path if path.isascii() else _decoded(path))
            if found is not None and self._plain(environ):
                return self._serve(*found, environ, start_response)
        return self._flask(environ, start_response)

    def _plain(self, environ: WSGIEnvironment) -> bool:
        """Whether nothing is special about a request but what its operation looks at."""
        if WEBSOCKET in environ or PRESERVE in environ or flask_contexts.within():
            return False
        if "HTTP_COOKIE" in environ and self._cookie in environ["HTTP_COOKIE"]:
            return False
        host = environ.get("HTTP_HOST")
        if host not in self._hosts:
            if host is None or HOST.fullmatch(host) is None:
                return False
            if len(self._hosts) < REMEMBERED_HOSTS:
                self._hosts.add(host)
        return True

    def _serve(
        self,
        endpoint: Endpoint,
        values: dict[str, str],
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        app = self.app
        # From now on Flask refuses functions that would come too late.
        app._got_first_request = True
        context = flask_contexts.enter(app, environ)
        error: BaseException | None = None
        try:
            result = endpoint(DirectCall(context, values))
            if type(result) is Answer and not result.headers and not context.made:
                return _sent(result, start_response)
            try:
                response = _response(app, result)
                if context.made or not isinstance(response, Response):
                    response = app.finalize_request(response)
            except Exception as failure:  # noqa: BLE001 - as in Flask.wsgi_app
                error = failure
                response = app.handle_exception(failure)
            return response(environ, start_response)
        except BaseException as failure:
            error = failure
            raise
        finally:
            context.leave(error)


def _finds(made: dict[str, Router], endpoint: Endpoint) -> bool:
    router = made.get(endpoint.operation.method)
    found = router.find(sample_of(endpoint.path)) if router is not None else None
    return found is not None and found[0] is endpoint


def _response(app: Flask, result: Answer | WerkzeugResponse) -> Any:
    if type(result) is not Answer:
        return result
    try:
        return AnswerResponse(result)
    except Exception as failure:  # noqa: BLE001 - as in Flask.full_dispatch_request
        return app.handle_user_exception(failure)


def _sent(answer: Answer, start_response: StartResponse) -> Iterable[bytes]:
    status, headers = answer.status, []
    if answer.type is not None:
        headers.append(("Content-Type", answer.type))
    if status not in (204, 304):
        headers.append(("Content-Length", str(len(answer.body))))
    start_response(STATUS_LINES.get(status) or f"{status} UNKNOWN", headers)
    return [answer.body]


def _decoded(path: str) -> str:
    return path.encode("latin-1").decode("utf-8", "replace")
