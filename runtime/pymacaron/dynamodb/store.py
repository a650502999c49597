"""What persistent models need of a database: five methods over tables, keys and items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, Protocol

from pymacaron.exceptions import PyMacaronException

KeyType = Literal["S", "N", "B"]
Item = dict[str, Any]
"""Attributes by name. Values: None, bool, int, Decimal, str, bytes, list, dict, and sets of str,
numbers or bytes."""
Key = dict[str, Any]
"""The primary key's attribute, and the sort key's where the table has one."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table and its keys. `key_types`: S text, N number, B bytes. `ttl`: the attribute with the
    time after which an item may be removed."""

    name: str
    primary_key: str
    sort_key: str | None = None
    key_types: Mapping[str, KeyType]
    ttl: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.primary_key, self.sort_key) if self.sort_key else (self.primary_key,)

    def key_of(self, item: Mapping[str, Any]) -> Key:
        """Raises BadKey when a part of the key is missing, empty or of the wrong type."""
        kinds: dict[KeyType, tuple[type, ...]] = {"S": (str,), "N": (int, Decimal), "B": (bytes,)}
        key = {}
        for name in self.keys:
            value = item.get(name)
            kind = self.key_types[name]
            if value is None or value in ("", b""):
                raise BadKey(f"the key {name} of table {self.name} is missing or empty")
            if not isinstance(value, kinds[kind]) or isinstance(value, bool):
                wanted = {"S": "a text", "N": "a number", "B": "bytes"}[kind]
                raise BadKey(f"the key {name} of table {self.name} must be {wanted}: {value!r}")
            key[name] = value
        return key


@dataclass(frozen=True, kw_only=True)
class Query:
    """The items of one primary key whose sort key lies from `low` to `high` (both included), or
    begins with `prefix`; `after`: the key where the last page ended."""

    primary: Any
    low: Any = None
    high: Any = None
    prefix: str | bytes | None = None
    reverse: bool = False
    limit: int = 100
    after: Key | None = None
    consistent: bool = False


@dataclass(frozen=True, kw_only=True)
class ItemPage:
    """Items in the order of the sort key; `after` is None on the last page."""

    items: list[Item]
    after: Key | None


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What must still be stored for a save to happen: `item` (None: nothing at all), and no
    attribute of `absent`."""

    item: Item | None
    absent: Sequence[str] = ()


class Store(Protocol):
    """A database. Methods raise StoreError, in words of what to do; they are safe in threads and
    after a fork."""

    def get(self, table: Table, keys: Sequence[Key], *, consistent: bool) -> list[Item]:
        """The items that are there, in any order."""

    def put(self, table: Table, item: Item, expected: Expected | None = None) -> None:
        """Stores an item in the place of a former one. Raises ItemChanged."""

    def delete(self, table: Table, key: Key) -> None:
        """Removes an item; none there: nothing to do."""

    def query(self, table: Table, query: Query) -> ItemPage:
        """One page."""

    def create(self, table: Table) -> None:
        """Makes the table, and waits until it can be used; there already: nothing to do."""


class StoreError(PyMacaronException):
    """The database refused, or could not be asked."""

    code = "STORE_ERROR"
    status = 500


class BadKey(StoreError):
    """A key that the table can't have."""

    code = "BAD_KEY"


class ItemChanged(StoreError):
    """The item is not what it was when it was loaded: load it again, and repeat the change."""

    code = "ITEM_CHANGED"
    status = 409


class DynamoDBItemNotFound(PyMacaronException):
    """There is no item with that key."""

    code = "ITEM_NOT_FOUND"
    status = 404
