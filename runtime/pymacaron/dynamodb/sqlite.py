"""Items in a SQLite file: for development, tests and small services. Needs nothing installed."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any

from pymacaron.dynamodb.store import (
    Expected,
    Item,
    ItemChanged,
    ItemPage,
    Key,
    Query,
    StoreError,
    Table,
)

BUSY_SECONDS = 30.0


class SqliteStore:
    """One file; each thread of each process has its own connection."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._local = threading.local()

    def get(self, table: Table, keys: Sequence[Key], *, consistent: bool) -> list[Item]:  # noqa: ARG002  (always)
        with self._reading(table) as db:
            found = [_find(db, table, key) for key in keys]
        return [item for item in found if item is not None]

    def put(self, table: Table, item: Item, expected: Expected | None = None) -> None:
        key = table.key_of(item)
        with self._reading(table) as db, db:
            # The lock comes before the look: nobody changes the item between the two.
            db.execute("BEGIN IMMEDIATE")
            if expected is not None:
                _check(_find(db, table, key), expected, table)
            primary, sort, order = _columns(table, key)
            db.execute(
                f"INSERT OR REPLACE INTO {_name(table)} VALUES (?, ?, ?, ?)",  # noqa: S608  (quoted)
                (primary, sort, order, json.dumps(encode(item))),
            )

    def delete(self, table: Table, key: Key) -> None:
        primary, sort, _ = _columns(table, table.key_of(key))
        with self._reading(table) as db, db:
            db.execute(
                f"DELETE FROM {_name(table)} WHERE primary_key = ? AND sort_key = ?",  # noqa: S608
                (primary, sort),
            )

    def query(self, table: Table, query: Query) -> ItemPage:
        conditions = ["primary_key = ?"]
        values: list[Any] = [_exact(query.primary)]
        for operator, bound in ((">=", query.low), ("<=", query.high)):
            if bound is not None:
                conditions.append(f"sort_order {operator} ?")
                values.append(_order(bound))
        if query.prefix is not None:
            conditions.append("substr(sort_order, 1, ?) = ?")
            values += [len(query.prefix), query.prefix]
        if query.after is not None and table.sort_key:
            conditions.append(f"sort_order {'<' if query.reverse else '>'} ?")
            values.append(_order(query.after[table.sort_key]))
        with self._reading(table) as db:
            rows = db.execute(
                f"SELECT item FROM {_name(table)} WHERE {' AND '.join(conditions)}"  # noqa: S608
                f" ORDER BY sort_order {'DESC' if query.reverse else 'ASC'} LIMIT ?",
                (*values, query.limit + 1),
            ).fetchall()
        items = [decode(json.loads(row[0])) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return ItemPage(items=items, after=table.key_of(items[-1]) if more else None)

    def create(self, table: Table) -> None:
        with self._connected() as db, db:
            db.execute(
                f"CREATE TABLE IF NOT EXISTS {_name(table)} (primary_key TEXT, sort_key TEXT,"
                " sort_order, item TEXT NOT NULL, PRIMARY KEY (primary_key, sort_key))"
            )

    @contextmanager
    def _reading(self, table: Table) -> Iterator[sqlite3.Connection]:
        with self._connected() as db:
            try:
                yield db
            except sqlite3.OperationalError as error:
                if "no such table" not in str(error):
                    raise
                raise StoreError(
                    f"{self._path} has no table {table.name}: make it with create_table()"
                ) from error

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        # A connection must not be used on the other side of a fork.
        if getattr(self._local, "pid", None) != os.getpid():
            try:
                db = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
                db.execute("PRAGMA journal_mode=WAL")
            except sqlite3.Error as error:
                raise StoreError(f"the database {self._path} can't be opened: {error}") from error
            self._local.db, self._local.pid = db, os.getpid()
        try:
            yield self._local.db
        except sqlite3.Error as error:
            raise StoreError(f"the database {self._path}: {error}") from error


def _name(table: Table) -> str:
    return '"' + table.name.replace('"', '""') + '"'


def _find(db: sqlite3.Connection, table: Table, key: Key) -> Item | None:
    primary, sort, _ = _columns(table, table.key_of(key))
    statement = f"SELECT item FROM {_name(table)} WHERE primary_key = ? AND sort_key = ?"  # noqa: S608
    with closing(db.execute(statement, (primary, sort))) as cursor:
        row = cursor.fetchone()
    return decode(json.loads(row[0])) if row else None


def _check(found: Item | None, expected: Expected, table: Table) -> None:
    if expected.item is None or found is None:
        same = found is None and expected.item is None
    else:
        same = all(found.get(n, _NOTHING) == v for n, v in expected.item.items())
        same = same and not any(name in found for name in expected.absent)
    if not same:
        raise ItemChanged(f"the item of table {table.name} was changed by somebody else")


_NOTHING = object()


def _columns(table: Table, key: Key) -> tuple[str, str, Any]:
    sort = key[table.sort_key] if table.sort_key else None
    return _exact(key[table.primary_key]), _exact(sort), _order(sort)


def _exact(value: Any) -> str:
    """A key's value as text that no other value has."""
    if isinstance(value, int | Decimal):
        return f"N{Decimal(value).normalize():f}"
    return f"B{value.hex()}" if isinstance(value, bytes) else f"S{value or ''}"


def _order(value: Any) -> Any:
    """What SQLite sorts by, as DynamoDB does: numbers by value, texts and bytes by their bytes."""
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    return float(value) if isinstance(value, int | Decimal) else value


def encode(value: Any) -> Any:
    """An item's values as JSON, in the manner of DynamoDB's own."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int | Decimal):
        return {"N": str(value)}
    if isinstance(value, bytes):
        return {"B": base64.b64encode(value).decode("ascii")}
    if isinstance(value, dict):
        return {"M": {k: encode(v) for k, v in value.items()}}
    return {"SET" if isinstance(value, set) else "L": [encode(v) for v in value]}


def decode(data: Any) -> Any:
    """The opposite of `encode`."""
    if not isinstance(data, dict):
        return data
    ((kind, value),) = data.items()
    if kind == "M":
        return {k: decode(v) for k, v in value.items()}
    if kind in ("L", "SET"):
        values = [decode(v) for v in value]
        return set(values) if kind == "SET" else values
    if kind == "N":
        return Decimal(value)
    return base64.b64decode(value) if kind == "B" else value
