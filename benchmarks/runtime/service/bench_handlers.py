"""The handlers of the benchmark's API. With BENCH_TOUCH they use Flask's contexts, too."""

from __future__ import annotations

import os
from typing import Any

import flask

from pymacaron import apipool
from pymacaron.auth import get_userid

TOUCH = os.environ.get("BENCH_TOUCH") == "1"


def touch() -> None:
    flask.g.seen = flask.request.headers.get("User-Agent")
    assert flask.current_app.name


def hi() -> Any:
    if TOUCH:
        touch()
    return apipool.bench.Hi(ok="ok")


def item(item: int, q: str | None, limit: int, deep: bool) -> Any:
    if TOUCH:
        touch()
    return apipool.bench.Item(item=item, q=q, limit=limit, deep=deep)


def order(order: Any) -> Any:
    if TOUCH:
        touch()
    total = sum(line.quantity * line.price for line in order.lines)
    return apipool.bench.Priced(order=order, total=total)


def me() -> Any:
    if TOUCH:
        touch()
    return apipool.bench.Me(user=get_userid())
