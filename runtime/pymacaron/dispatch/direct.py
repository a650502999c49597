"""The WSGI application in front of everything: answers operations itself, with all that surrounds a
request, or hands the request on to Flask."""

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
from pymacaron.dispatch.router import Found, Router, routers, sample_of
from pymacaron.edge import Edge, may_be_compressed
from pymacaron.endpoint import Answer, Endpoint
from pymacaron.headers import PlainHeaders
from pymacaron.response import STATUS_LINES, AnswerResponse
from pymacaron.services import Start, begin, end, outside_operations

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from pymacaron.flask_contexts import LazyRequestContext

log = logging.getLogger("pymacaron.dispatch")

EXTENSION = "pymacaron_dispatch"
HOST = re.compile(r"[A-Za-z0-9.-]{1,255}(:[0-9]{1,5})?")
REMEMBERED_HOSTS = 64
# What these answer is made by Flask and by the server, whatever an operation returns.
FLASKS_METHODS = ("HEAD", "OPTIONS")
# With these Flask does something that depends on more than the route.
WEBSOCKET, PRESERVE = "HTTP_UPGRADE", "werkzeug.debug.preserve_context"


class Dispatch:
    """Chooses the road of all requests at the start, and anew where the application has changed by
    the first one."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self._bare = getattr(app.wsgi_app, "__func__", None) is Flask.wsgi_app
        self._long: WSGIApplication | None = None
        self._operations: dict[str, tuple[Endpoint, tuple[str, ...]]] = {}
        self._views: dict[str, Callable[..., Any]] = {}
        self._routers: dict[str, Router] = {}
        self._told: list[str] = []
        self._decided = False
        self._hosts: set[str] = set()
        self._cookie = ""
        self._headers = PlainHeaders()
        for signal in SIGNALS:
            # Whoever listens from now on hears of all later requests.
            signal.receiver_connected.connect(self._reconsider)

    @classmethod
    def of(cls, app: Flask) -> Dispatch:
        """The one of an application."""
        found = app.extensions.get(EXTENSION)
        if not isinstance(found, Dispatch):
            found = app.extensions[EXTENSION] = cls(app)
        return found

    def install(self) -> None:
        """Puts it in front of the application with what surrounds that."""
        if self._long is None:
            self._long = Edge(self.app.wsgi_app)
            self.app.wsgi_app = self  # type: ignore[method-assign]

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
        own = {
            name: operation
            for name, operation in self._operations.items()
            if functions[name] is self._views[name]
            and operation[0].operation.method not in FLASKS_METHODS
        }
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
            # From now on Flask refuses functions that would come too late.
            self.app._got_first_request = True
        router = self._routers.get(environ["REQUEST_METHOD"])
        if router is not None:
            path = environ.get("PATH_INFO", "")
            found = router.find(path if path.isascii() else _decoded(path))
            if found is not None and self._plain(environ):
                return self._serve(found, environ, start_response)
        assert self._long is not None  # noqa: S101 - install() was called
        return self._long(environ, start_response)

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
        matched: tuple[Found, dict[str, str]],
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        app = self.app
        info = begin(environ)
        context = flask_contexts.enter(app, environ, matched)
        error: BaseException | None = None
        try:
            found, values = matched
            result = found.endpoint(DirectCall(context, values))
            if type(result) is Answer and not (result.headers or context.matters):
                status, content_type, body, _ = result
                if not (info.fresh_token or may_be_compressed(body, environ)):
                    line = STATUS_LINES.get(status) or f"{status} UNKNOWN"
                    bodiless = status in (204, 304)
                    whole = getattr(start_response, "whole", None)
                    if whole is not None and not bodiless:  # our own server's
                        text = self._headers.text(content_type, len(body), info)
                        return whole(line, text, body)  # type: ignore[no-any-return]
                    size = None if bodiless else len(body)
                    start_response(line, self._headers.of(content_type, size, info))
                    return [body]
            response, error = self._finished(result, context)
            return Edge(response)(environ, Start(info, start_response))
        except BaseException as failure:
            error = failure
            raise
        finally:
            context.leave(error, heard=not self._decided)
            if not info.completed:
                outside_operations(info, 500, 0)
            end(info)

    def _finished(
        self, result: Answer | WerkzeugResponse, context: LazyRequestContext
    ) -> tuple[WSGIApplication, BaseException | None]:
        """What Flask does with a view's result, and the exception that this has led to."""
        app = self.app
        try:
            response: Any = result
            if type(result) is Answer:
                try:
                    response = AnswerResponse(result)
                except Exception as failure:  # noqa: BLE001 - as in Flask.full_dispatch_request
                    response = app.handle_user_exception(failure)
            if context.matters or not self._decided or not isinstance(response, Response):
                response = app.finalize_request(response)
        except Exception as failure:  # noqa: BLE001 - as in Flask.wsgi_app
            return app.handle_exception(failure), failure
        return response, None


def _finds(made: dict[str, Router], endpoint: Endpoint) -> bool:
    router = made.get(endpoint.operation.method)
    found = router.find(sample_of(endpoint.path)) if router is not None else None
    return found is not None and found[0].endpoint is endpoint


def _decoded(path: str) -> str:
    return path.encode("latin-1").decode("utf-8", "replace")
