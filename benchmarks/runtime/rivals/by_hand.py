"""The same API by hand: Flask, pydantic 2 and PyJWT, as a careful author would write it."""

from __future__ import annotations

from typing import Annotated

import jwt
from flask import Flask, Response, request
from pydantic import BaseModel, Field, ValidationError

app = Flask(__name__)


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


class Query(BaseModel):
    q: str | None = None
    limit: int = 10
    deep: bool = False


class Item(Query):
    item: int


class Hi(BaseModel):
    ok: str


class Me(BaseModel):
    user: str


def answer(model: BaseModel) -> Response:
    return Response(model.model_dump_json(exclude_none=True), mimetype="application/json")


@app.errorhandler(ValidationError)
def refuse(error: ValidationError) -> tuple[Response, int]:
    return Response(error.json(), mimetype="application/json"), 400


@app.get("/ping")
@app.get("/hi")
def hi() -> Response:
    return answer(Hi(ok="ok"))


@app.get("/items/<int:item>")
def item(item: int) -> Response:
    query = Query.model_validate(request.args.to_dict())
    return answer(Item(item=item, q=query.q, limit=query.limit, deep=query.deep))


@app.post("/orders")
def order() -> Response:
    order = Order.model_validate_json(request.get_data())
    total = sum(line.quantity * line.price for line in order.lines)
    return answer(Priced(order=order, total=total))


@app.get("/me")
def me() -> Response:
    token = request.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(
        token, "s" * 32, algorithms=["HS256"], issuer="bench", audience="bench", leeway=300
    )
    return answer(Me(user=claims["sub"]))
