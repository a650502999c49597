"""The handlers of the benchmark's API."""

from __future__ import annotations

from typing import Any

from pymacaron import apipool
from pymacaron.auth import get_userid


def hi() -> Any:
    return apipool.bench.Hi(ok="ok")


def item(item: int, q: str | None, limit: int, deep: bool) -> Any:
    return apipool.bench.Item(item=item, q=q, limit=limit, deep=deep)


def order(order: Any) -> Any:
    total = sum(line.quantity * line.price for line in order.lines)
    return apipool.bench.Priced(order=order, total=total)


def me() -> Any:
    return apipool.bench.Me(user=get_userid())
