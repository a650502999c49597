"""The same API by flask-openapi3."""

from __future__ import annotations

from typing import Annotated

import jwt
from flask import Response, request
from flask_openapi3 import Info, OpenAPI
from pydantic import BaseModel, Field

app = OpenAPI(__name__, info=Info(title="Benchmark", version="1.0.0"))


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


class Path(BaseModel):
    item: int


class Query(BaseModel):
    q: str | None = None
    limit: int = 10
    deep: bool = False


class Item(Query):
    item: int


def answer(model: BaseModel) -> Response:
    return Response(model.model_dump_json(exclude_none=True), mimetype="application/json")


@app.get("/ping")
def ping() -> dict[str, str]:
    return {"ok": "ok"}


@app.get("/hi")
def hi() -> dict[str, str]:
    return {"ok": "ok"}


@app.get("/items/<int:item>")
def item(path: Path, query: Query) -> Response:
    return answer(Item(item=path.item, q=query.q, limit=query.limit, deep=query.deep))


@app.post("/orders")
def order(body: Order) -> Response:
    total = sum(line.quantity * line.price for line in body.lines)
    return answer(Priced(order=body, total=total))


@app.get("/me")
def me() -> dict[str, str]:
    token = request.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(
        token, "s" * 32, algorithms=["HS256"], issuer="bench", audience="bench", leeway=300
    )
    return {"user": claims["sub"]}
