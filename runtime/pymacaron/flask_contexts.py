"""Flask's contexts, of which each part is made at the first look at it: a handler pays for what it
asks of `request`, `g` and `session`. What they hold then is what Flask makes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextvars import Token
from typing import TYPE_CHECKING, Any, Protocol

import flask.globals
from flask import Flask, Request, g, request
from flask.ctx import AppContext, RequestContext
from flask.sessions import SessionMixin
from werkzeug.routing import Rule

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Flask 3.0 and 3.1 keep two contexts. A version that keeps them otherwise is served its own way.
KNOWN = hasattr(flask.globals, "_cv_app") and hasattr(flask.globals, "_cv_request")
if KNOWN:
    from flask.globals import _cv_app, _cv_request

Claims = dict[str, Any]


class Route(Protocol):
    """Where a request leads."""

    def route(self, values: Mapping[str, str]) -> tuple[Rule, dict[str, str]]:
        """Flask's rule, and what stands for its variables."""


Match = tuple[Route, Mapping[str, str]]
# Held while a context is made, for threads that share one (asyncio.to_thread); never in a handler.
_making = threading.RLock()


class Lazy:
    """An attribute that Flask's constructors and push() would set, made at the first look at it.
    `matters`: it may have a say in the answer."""

    def __init__(self, make: Callable[[Any], Any], *, matters: bool = False) -> None:
        self._make, self._matters = make, matters

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, context: Any, owner: type | None = None) -> Any:
        if context is None:
            return self
        attributes, name = context.__dict__, self._name
        with _making:
            if name not in attributes:
                if self._matters:
                    context.matters = True
                attributes[name] = self._make(context)
        return attributes[name]


class LazyAppContext(AppContext):
    """What `g` and `current_app` look into."""

    # The claims of the user: g.current_user, once there is a g.
    user: Claims | None = None
    token: Token[AppContext]

    def _globals(self) -> Any:
        made = self.app.app_ctx_globals_class()
        if self.user is not None:
            made.current_user = self.user
        return made


class LazyRequestContext(RequestContext):
    """What `request` and `session` look into."""

    environ: WSGIEnvironment
    matched: Match
    # The request's body, where it was read already.
    body: bytes | None = None
    outer: LazyAppContext
    token: Token[RequestContext]
    # Something was made that may have a say in the answer.
    matters = False

    def __init__(self, app: Flask, environ: WSGIEnvironment, *args: Any, **kwargs: Any) -> None:
        """By RequestContext.copy() alone."""
        self.environ = environ
        super().__init__(app, environ, *args, **kwargs)

    def _request(self) -> Request:
        made = self.app.request_class(self.environ)
        made.json_module = self.app.json
        found, values = self.matched
        made.url_rule, made.view_args = found.route(values)
        if self.body is not None:
            made.__dict__["_cached_data"] = self.body
        return made

    def _open_session(self) -> SessionMixin:
        sessions = self.app.session_interface
        opened = sessions.open_session(self.app, self.request)
        return sessions.make_null_session(self.app) if opened is None else opened

    def leave(self, error: BaseException | None, heard: bool) -> None:
        """The end of the request. To be called where it was entered. `heard`: somebody listens to
        what Flask tells at the end."""
        made, outer = self.__dict__, self.outer
        if heard or "_cv_tokens" in made or "_cv_tokens" in outer.__dict__:
            self.pop(error)
            return
        request = made.get("request")
        if request is not None:
            if "files" in request.__dict__:
                request.close()
            self.environ["werkzeug.request"] = None  # which holds it, and is held by it
        _cv_request.reset(self.token)
        _cv_app.reset(outer.token)


def _attributes(of: type, **made: Lazy) -> None:
    for name, lazy in made.items():
        # Flask 3.0 has `session` where later versions have a property that looks at `_session`.
        if not hasattr(of, name):
            lazy.__set_name__(of, name)
            setattr(of, name, lazy)


_attributes(
    LazyAppContext,
    g=Lazy(LazyAppContext._globals),
    url_adapter=Lazy(lambda context: context.app.create_url_adapter(None)),
    _cv_tokens=Lazy(lambda context: [context.token]),
)
_attributes(
    LazyRequestContext,
    request=Lazy(LazyRequestContext._request),
    url_adapter=Lazy(lambda context: context.app.create_url_adapter(context.request)),
    flashes=Lazy(lambda _: None),
    _session=Lazy(LazyRequestContext._open_session, matters=True),
    session=Lazy(LazyRequestContext._open_session, matters=True),
    _after_request_functions=Lazy(lambda _: [], matters=True),
    _cv_tokens=Lazy(lambda context: [(context.token, context.outer)], matters=True),
)
_new_outer, _new_inner = LazyAppContext.__new__, LazyRequestContext.__new__


def enter(app: Flask, environ: WSGIEnvironment, matched: Match) -> LazyRequestContext:
    """Begins a request; `leave` of what it returns ends it."""
    outer = _new_outer(LazyAppContext)
    outer.app = app
    outer.token = _cv_app.set(outer)
    inner = _new_inner(LazyRequestContext)
    inner.app = app
    inner.environ = environ
    inner.matched = matched
    inner.outer = outer
    inner.token = _cv_request.set(inner)
    return inner


def within() -> bool:
    """Whether this code runs in a context of any application."""
    return _cv_app.get(None) is not None


def environ_of_request() -> WSGIEnvironment:
    """The WSGI environment of the request being served. Raises RuntimeError outside of one."""
    if KNOWN:
        context = _cv_request.get(None)
        if type(context) is LazyRequestContext:
            return context.environ
    return request.environ


def current_user() -> Claims | None:
    """The claims of the user being served, as in g.current_user."""
    context = _cv_app.get(None) if KNOWN else None
    if type(context) is LazyAppContext and "g" not in context.__dict__:
        return context.user
    return g.get("current_user") if flask.has_app_context() else None


def set_current_user(claims: Claims | None) -> None:
    """Sets g.current_user, or removes it. Nothing happens outside of a context."""
    context = _cv_app.get(None) if KNOWN else None
    if type(context) is LazyAppContext and "g" not in context.__dict__:
        context.user = claims
    elif not flask.has_app_context():
        return
    elif claims is None:
        g.pop("current_user", None)
    else:
        g.current_user = claims
