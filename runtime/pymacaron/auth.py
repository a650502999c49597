"""Who calls: JSON web tokens made and checked, the caller's data kept in flask.g for the request.

>>> @requires_auth
... def do_something():
...     return apipool.myapi.Answer(text=f"hello {get_userid()}")
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import unquote_plus

from flask import has_app_context, request

from pymacaron import token_rules, tokens
from pymacaron.config import get_config
from pymacaron.context import current
from pymacaron.exceptions import AuthInvalidTokenError, AuthMissingHeaderError
from pymacaron.flask_contexts import current_user, environ_of_request, set_current_user

BLANKS = re.compile(r"[ \t]+")

F = TypeVar("F", bound=Callable[..., Any])
Payload = dict[str, Any]


def requires_auth(f: F) -> F:
    """Only calls `f` for a request with a good token; else a 401 error is raised."""
    if inspect.iscoroutinefunction(f):

        @wraps(f)
        async def authenticated_async(*args: Any, **kwargs: Any) -> Any:
            authenticate_http_request()
            return await f(*args, **kwargs)

        authenticated_async.needs_token = True  # type: ignore[attr-defined]
        return cast("F", authenticated_async)

    @wraps(f)
    def authenticated(*args: Any, **kwargs: Any) -> Any:
        authenticate_http_request()
        return f(*args, **kwargs)

    authenticated.needs_token = True  # type: ignore[attr-defined]
    return cast("F", authenticated)


def add_auth(f: F) -> F:
    """Calls `f` with the caller's token added to its `headers` argument."""

    @wraps(f)
    def with_token(*args: Any, **kwargs: Any) -> Any:
        headers = dict(kwargs.get("headers") or {})
        headers["Authorization"] = f"Bearer {get_user_token()}"
        return f(*args, **{**kwargs, "headers": headers})

    return cast("F", with_token)


def authenticate_http_request(token: str | None = None) -> Payload:
    """Checks the request's header `Authorization: Bearer <t>`, or else its cookie `token` (the
    URL-quoted text `Bearer <t>`), and remembers the user. `token` stands in for the header's value.

    Raises AuthMissingHeaderError, AuthInvalidTokenError or AuthTokenExpiredError (all 401).
    """
    header = token
    if not header:
        environ = environ_of_request()
        header = environ.get("HTTP_AUTHORIZATION", "")
        if not header.strip() and "HTTP_COOKIE" in environ:
            header = unquote_plus(request.cookies.get("token") or "")
    words = [word for word in BLANKS.split(header) if word]
    if not words:
        raise AuthMissingHeaderError("There is no Authorization header in the HTTP request")
    if words[0].lower() != "bearer":
        raise AuthInvalidTokenError("Authorization header must start with Bearer")
    if len(words) == 1:
        raise AuthInvalidTokenError("Token not found in Authorization header")
    if len(words) > 2:
        raise AuthInvalidTokenError("Authorization header must be Bearer + space + token")
    return load_auth_token(words[1])


def load_auth_token(token: str, load: bool = True) -> Payload:
    """The claims of a good token plus `token` itself; with `load` it becomes the current user's."""
    rules = token_rules.rules(get_config())
    payload = tokens.verified(token, rules)
    payload["token"] = token
    if load:
        _become(payload)
        _renew(payload)
    return payload


def generate_token(
    user_id: str,
    expire_in: int | None = None,
    data: Mapping[str, Any] = {},
    issuer: str | None = None,
    iat: int | None = None,
) -> str:
    """A token (HS256) for `user_id`, good for `expire_in` seconds (default jwt_token_timeout). It
    carries `data` besides the claims iss, sub, aud, exp and iat. Changes none of its arguments."""
    if not user_id:
        raise ValueError("generate_token() needs a user_id")
    if not isinstance(data, Mapping):
        raise ValueError("generate_token(data=) should be a dictionary")
    conf = get_config()
    lifetime = conf.get("jwt_token_timeout") if expire_in is None else expire_in
    issued = int(time.time()) if iat is None else int(iat)
    return tokens.signed(
        {**data, "sub": str(user_id), "exp": issued + int(lifetime), "iat": issued},
        token_rules.rules(conf),
        issuer,
    )


@contextmanager
def backend_token(
    issuer: str | None = None,
    user_id: str | None = None,
    data: Mapping[str, Any] = {},
) -> Iterator[str]:
    """Within the block `get_user_token()` is a token of the service itself (default_user_id)."""
    if not has_app_context():
        raise RuntimeError("working outside of request context: backend_token() needs a request")
    token = generate_token(
        user_id or str(get_config().get("default_user_id")), issuer=issuer, data=data
    )
    before = current_user()
    set_current_user({**(before or {}), "token": token})
    try:
        yield token
    finally:
        set_current_user(before)


def get_userid() -> str:
    """The id (claim `sub`) of the authenticated user; empty if there is none."""
    return str(_user().get("sub", ""))


def get_user_token_data() -> Payload:
    """All claims of the user's token; empty if there is none."""
    return _user()


def get_user_token() -> str:
    """The user's token; empty if there is none."""
    return str(_user().get("token", ""))


def get_token_issuer() -> str | None:
    """Who issued the user's token; the service's own jwt_issuer if there is none."""
    issuer: str | None = _user().get("iss", get_config().get("jwt_issuer"))
    return issuer


def _user() -> Payload:
    user = current_user()
    return user if user is not None else {}


def _become(payload: Payload) -> None:
    set_current_user(payload)
    info = current.get()
    if info is not None:
        info.user = str(payload.get("sub", ""))


def _renew(payload: Payload) -> None:
    """With `jwt_renew: true` a token older than jwt_token_renew_after is replaced in the answer."""
    conf = get_config()
    info = current.get()
    if info is None or not conf.get("jwt_renew"):
        return
    age = time.time() - float(payload["iat"])
    if age > float(conf.get("jwt_token_renew_after")):
        own = {k: v for k, v in payload.items() if k not in ("token", "nbf", "jti")}
        info.fresh_token = generate_token(str(payload["sub"]), data=own)
