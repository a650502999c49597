"""Flask's contexts, made at the first look into them: a handler that never asks for `request`, `g`
or `session` does not pay for them. What they hold then is what Flask makes."""

from __future__ import annotations

import threading
from contextvars import Token
from typing import TYPE_CHECKING, Any

import flask.globals
from flask import Flask, g, request
from flask.ctx import AppContext, RequestContext

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Flask 3.0 and 3.1 keep two contexts. A version that keeps them otherwise is served its own way.
KNOWN = hasattr(flask.globals, "_cv_app") and hasattr(flask.globals, "_cv_request")
if KNOWN:
    from flask.globals import _cv_app, _cv_request

Claims = dict[str, Any]
# Held while a context is made, for threads that share one (asyncio.to_thread); never in a handler.
_making = threading.RLock()


class LazyAppContext(AppContext):
    """What `g` and `current_app` look into."""

    made = False
    # The claims of the user: g.current_user, once there is a g.
    user: Claims | None = None
    token: Token[AppContext]

    def __getattr__(self, name: str) -> Any:  # called for what is not there (yet)
        with _making:
            if not self.made:
                self.made = True
                AppContext.__init__(self, self.app)
                self._cv_tokens.append(self.token)
                if self.user is not None:
                    self.g.current_user = self.user
        return object.__getattribute__(self, name)


class LazyRequestContext(RequestContext):
    """What `request` and `session` look into."""

    made = False
    environ: WSGIEnvironment
    # The request's body, where it was read already.
    body: bytes | None = None
    outer: LazyAppContext
    token: Token[RequestContext]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # by RequestContext.copy() alone
        self.made = True
        super().__init__(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        with _making:
            if not self.made:
                self.made = True
                self._make()
        return object.__getattribute__(self, name)

    def _make(self) -> None:
        RequestContext.__init__(self, self.app, self.environ)
        if self.body is not None:
            self.request.__dict__["_cached_data"] = self.body
        self.push()
        # It was pushed when the request came; this may be another task's or thread's context.
        self._cv_tokens[:] = [(self.token, self.outer)]

    def leave(self, error: BaseException | None) -> None:
        """The end of the request. To be called where it was entered."""
        outer = self.outer
        if self.made:
            self.pop(error)
            return
        _cv_request.reset(self.token)
        if outer.made:
            outer.pop(error)
        else:
            _cv_app.reset(outer.token)


_new_outer, _new_inner = LazyAppContext.__new__, LazyRequestContext.__new__


def enter(app: Flask, environ: WSGIEnvironment) -> LazyRequestContext:
    """Begins a request; `leave` of what it returns ends it."""
    outer = _new_outer(LazyAppContext)
    outer.app = app
    outer.token = _cv_app.set(outer)
    inner = _new_inner(LazyRequestContext)
    inner.app = app
    inner.environ = environ
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
        if type(context) is LazyRequestContext and not context.made:
            return context.environ
    return request.environ


def current_user() -> Claims | None:
    """The claims of the user being served, as in g.current_user."""
    context = _cv_app.get(None) if KNOWN else None
    if type(context) is LazyAppContext and not context.made:
        return context.user
    return g.get("current_user") if flask.has_app_context() else None


def set_current_user(claims: Claims | None) -> None:
    """Sets g.current_user, or removes it. Nothing happens outside of a context."""
    context = _cv_app.get(None) if KNOWN else None
    if type(context) is LazyAppContext and not context.made:
        context.user = claims
    elif not flask.has_app_context():
        return
    elif claims is None:
        g.pop("current_user", None)
    else:
        g.current_user = claims
