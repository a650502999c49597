"""Handlers: one function for each operation in apis/hello.yaml."""

from typing import Any

from pymacaron import apipool
from pymacaron.auth import get_userid
from pymacaron.exceptions import add_error

STOCK = {"birthday": 120, "thanks": 45, "sorry": 0}

CardsSoldOut = add_error("Cards are sold out", "CARDS_SOLD_OUT", 409)


def greet(name: str = "world", times: int = 1) -> Any:
    return apipool.hello.Greeting(text=" ".join([f"Hello {name}!"] * times))


def price_order(order: Any) -> Any:
    return apipool.hello.PricedOrder(order=order, total_cents=order.total_cents())


def get_stock(card: str) -> Any:
    return apipool.hello.Stock(card=card, left=STOCK[card])


def whoami() -> Any:
    return apipool.hello.Caller(user_id=get_userid())


def fail(kind: str = "expected") -> Any:
    if kind == "bug":
        raise ValueError("this text stays in the service's own reports")
    raise CardsSoldOut("no sorry cards are left")
