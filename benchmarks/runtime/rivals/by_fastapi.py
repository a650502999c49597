"""The same API by FastAPI."""

from __future__ import annotations

from typing import Annotated

import jwt
from fastapi import FastAPI, Header
from pydantic import BaseModel, Field

app = FastAPI()


class Line(BaseModel):
    sku: str
    quantity: Annotated[int, Field(ge=1)]
    price: float
    note: str | None = None


class Order(BaseModel):
    customer: str
    lines: list[Line]


class Priced(BaseModel):
    order: Order
    total: float


class Item(BaseModel):
    item: int
    q: str | None = None
    limit: int
    deep: bool


@app.get("/ping")
@app.get("/hi")
async def hi() -> dict[str, str]:
    return {"ok": "ok"}


@app.get("/items/{item}", response_model_exclude_none=True)
async def item(item: int, q: str | None = None, limit: int = 10, deep: bool = False) -> Item:
    return Item(item=item, q=q, limit=limit, deep=deep)


@app.post("/orders", response_model_exclude_none=True)
async def order(order: Order) -> Priced:
    return Priced(order=order, total=sum(line.quantity * line.price for line in order.lines))


@app.get("/me")
async def me(authorization: Annotated[str, Header()]) -> dict[str, str]:
    token = authorization.removeprefix("Bearer ")
    claims = jwt.decode(
        token, "s" * 32, algorithms=["HS256"], issuer="bench", audience="bench", leeway=300
    )
    return {"user": claims["sub"]}
