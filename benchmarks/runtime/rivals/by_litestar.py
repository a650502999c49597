"""The same API by Litestar, with msgspec's structs, its fastest."""

from __future__ import annotations

from typing import Annotated

import jwt
from litestar import Litestar, get, post
from litestar.params import Parameter
from msgspec import UNSET, Meta, Struct, UnsetType


class Line(Struct):
    sku: str
    quantity: Annotated[int, Meta(ge=1)]
    price: float
    note: str | UnsetType = UNSET


class Order(Struct):
    customer: str
    lines: list[Line]


class Priced(Struct):
    order: Order
    total: float


class Item(Struct):
    item: int
    limit: int
    deep: bool
    q: str | UnsetType = UNSET


@get(["/ping", "/hi"])
async def hi() -> dict[str, str]:
    return {"ok": "ok"}


@get("/items/{item:int}")
async def item(item: int, q: str | None = None, limit: int = 10, deep: bool = False) -> Item:
    return Item(item=item, q=UNSET if q is None else q, limit=limit, deep=deep)


@post("/orders", status_code=200)
async def order(data: Order) -> Priced:
    return Priced(order=data, total=sum(line.quantity * line.price for line in data.lines))


@get("/me")
async def me(authorization: Annotated[str, Parameter(header="Authorization")]) -> dict[str, str]:
    token = authorization.removeprefix("Bearer ")
    claims = jwt.decode(
        token, "s" * 32, algorithms=["HS256"], issuer="bench", audience="bench", leeway=300
    )
    return {"user": claims["sub"]}


app = Litestar([hi, item, order, me], openapi_config=None)
