"""The same API by connexion 3, from the same specification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import connexion
import jwt

SERVICE = Path(__file__).parent.parent / "service"


def hi() -> dict[str, str]:
    return {"ok": "ok"}


def item(item: int, limit: int, deep: bool, q: str | None = None) -> dict[str, Any]:
    return {"item": item, "q": q, "limit": limit, "deep": deep}


def order(body: dict[str, Any]) -> dict[str, Any]:
    total = sum(line["quantity"] * line["price"] for line in body["lines"])
    return {"order": body, "total": total}


def me() -> dict[str, str]:
    token = connexion.request.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(
        token, "s" * 32, algorithms=["HS256"], issuer="bench", audience="bench", leeway=300
    )
    return {"user": claims["sub"]}


def find(operation: str) -> Any:
    return globals()[operation.rpartition(".")[2]]


app = connexion.FlaskApp(__name__, specification_dir=str(SERVICE / "apis"))
app.add_api("bench.yaml", resolver=connexion.Resolver(find))
app.app.add_url_rule("/ping", "ping", hi)
