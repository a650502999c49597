"""`PersistentSwaggerObject`: the class that makes a model one that loads and saves itself.

>>> class PersistentProfile(PersistentSwaggerObject):
...     api_name, model_name = "profile", "Profile"
...     table_name, primary_key = "profile", "profile_id"
>>> p = PersistentProfile.load_from_db("x"); p.view_count += 1; p.save_to_db()
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from typing_extensions import Self

from pymacaron.config import get_config
from pymacaron.dynamodb.items import attribute_of, item_of, model_of
from pymacaron.dynamodb.store import (
    DynamoDBItemNotFound,
    Expected,
    Item,
    Key,
    KeyType,
    Query,
    Store,
    StoreError,
    Table,
)
from pymacaron.model.base import STORED
from pymacaron.model.build import target_of
from pymacaron.pool import apipool
from pymacaron.urls import persist_fault

T = TypeVar("T")
KEY_TYPES: dict[frozenset[str], KeyType] = {
    frozenset({"integer"}): "N",
    frozenset({"number"}): "N",
}


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of a query's models; `after` asks for the next page, None on the last."""

    items: list[T]
    after: Key | None


class _Stores:
    """The store in use: what persist_url says, else DynamoDB. Tests exchange it."""

    def __init__(self) -> None:
        self.active: Store | None = None

    def get(self) -> Store:
        if self.active is None:
            self.active = open_store(get_config().get("persist_url"))
        return self.active


stores = _Stores()


def use_store(store: Store | None) -> None:
    """From now on models are kept in this store; None: in what the settings say."""
    stores.active = store


def open_store(url: str | None) -> Store:
    """`sqlite:///file` opens SQLite (`~` is the home folder), None DynamoDB. Raises ValueError, or
    ImportError where the extra [dynamodb] is not installed."""
    if url:
        if fault := persist_fault(url):
            raise ValueError(f"persist_url can't be used: {fault}")
        from pymacaron.dynamodb.sqlite import SqliteStore

        return SqliteStore(str(Path(url.partition(":///")[2]).expanduser()))
    try:
        from pymacaron.dynamodb.dynamo import DynamoStore, make_client
    except ModuleNotFoundError as error:
        raise ImportError(
            "pymacaron.dynamodb needs boto3: pip install 'pymacaron[dynamodb]'"
            " (or set persist_url: sqlite:///dev.db)"
        ) from error
    return DynamoStore(lambda: make_client(get_config()))


class TableView:
    """What 2.x's get_table() could do, with a key given by name."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.table_name = table.name

    def has_item(self, consistent: bool = False, **key: Any) -> bool:
        """Whether there is an item with this key: `has_item(profile_id="x")`."""
        return bool(stores.get().get(self._table, [key], consistent=consistent))

    def get_item(self, consistent: bool = False, **key: Any) -> Item:
        """The stored attributes. Raises DynamoDBItemNotFound."""
        found = stores.get().get(self._table, [key], consistent=consistent)
        if not found:
            raise DynamoDBItemNotFound(f"table {self.table_name} has no item {_shown(key)}")
        return found[0]

    def delete_item(self, **key: Any) -> None:
        stores.get().delete(self._table, key)


class PersistentSwaggerObject:
    """Subclass it, set its attributes, and name the subclass in the model's `x-persist`. The models
    are then instances of both.

    `sort_key`: where the table has one. `ttl_attribute`: a property with the time after which
    DynamoDB may remove the item. `keep_unknown`: attributes that the model does not know survive a
    save. All errors are PyMacaronExceptions."""

    api_name: ClassVar[str]
    model_name: ClassVar[str]
    table_name: ClassVar[str]
    primary_key: ClassVar[str]
    sort_key: ClassVar[str | None] = None
    ttl_attribute: ClassVar[str | None] = None
    keep_unknown: ClassVar[bool] = True

    @classmethod
    def load_from_db(cls, key: Any, sort: Any = None, *, consistent: bool = False) -> Self:
        """The model with this key. `consistent`: sees every save that ended before.

        Raises DynamoDBItemNotFound."""
        found = cls.get_items([key if sort is None else (key, sort)], consistent=consistent)
        if not found:
            shown = key if sort is None else (key, sort)
            raise DynamoDBItemNotFound(f"table {cls.table_name} has no item {shown!r}")
        return found[0]

    @classmethod
    def get_items(cls, keys: Iterable[Any], *, consistent: bool = False) -> list[Self]:
        """The models with these keys (pairs of key and sort key where the table has both), in the
        order of the keys; those that are not there are left out."""
        table = _table(cls)
        wanted = [_key(table, key) for key in keys]
        found = stores.get().get(table, wanted, consistent=consistent)
        by_key = {_hashable(table.key_of(item)): item for item in found}
        items = [by_key.get(_hashable(key)) for key in wanted]
        return [_loaded(cls, table, item) for item in items if item is not None]

    @classmethod
    def query(
        cls,
        key: Any,
        *,
        low: Any = None,
        high: Any = None,
        prefix: str | bytes | None = None,
        reverse: bool = False,
        page_size: int = 100,
        consistent: bool = False,
    ) -> Iterator[Self]:
        """All models of a primary key, in the order of the sort key, read page by page as they are
        asked for. `low`, `high`: the sort key's bounds, included; `prefix`: how it begins."""
        after: Key | None = None
        while True:
            page = cls.query_page(
                key,
                low=low,
                high=high,
                prefix=prefix,
                reverse=reverse,
                limit=page_size,
                consistent=consistent,
                after=after,
            )
            yield from page.items
            after = page.after
            if after is None:
                return

    @classmethod
    def query_page(
        cls,
        key: Any,
        *,
        low: Any = None,
        high: Any = None,
        prefix: str | bytes | None = None,
        reverse: bool = False,
        limit: int = 100,
        after: Key | None = None,
        consistent: bool = False,
    ) -> Page[Self]:
        """One page of `query()`; `after` is the former page's."""
        table = _table(cls)
        bounded = low is not None or high is not None
        if (bounded or prefix is not None) and not table.sort_key:
            raise StoreError(f"table {table.name} has no sort key: query by its key alone")
        if bounded and prefix is not None:
            raise ValueError("query() takes bounds or a prefix, not both")
        found = stores.get().query(
            table,
            Query(
                primary=attribute_of(key, table.primary_key),
                low=attribute_of(low, "low"),
                high=attribute_of(high, "high"),
                prefix=prefix,
                reverse=reverse,
                limit=limit,
                after=after,
                consistent=consistent,
            ),
        )
        return Page([_loaded(cls, table, item) for item in found.items], found.after)

    def save_to_db(self, if_unchanged: bool = False) -> None:
        """Stores the model in the place of a former one with its key. With `if_unchanged` only when
        that is still as it was loaded (not there: never was); else ItemChanged is raised."""
        table = _table(type(self))
        before: Item | None = self.__dict__.get(STORED)
        item = item_of(self, table)  # type: ignore[arg-type]
        known = type(self).pymacaron_info.properties  # type: ignore[attr-defined]
        if before is not None and self.keep_unknown:
            item = {**{k: v for k, v in before.items() if k not in known}, **item}
        expected = None
        if if_unchanged:
            absent = [name for name in known if name not in before] if before is not None else []
            expected = Expected(item=before, absent=absent)
        stores.get().put(table, item, expected)
        self.__dict__[STORED] = item

    def delete_from_db(self) -> None:
        """Removes the stored item, if it is there."""
        table = _table(type(self))
        stores.get().delete(table, table.key_of(item_of(self, table)))  # type: ignore[arg-type]
        self.__dict__.pop(STORED, None)

    @classmethod
    def get_table(cls) -> TableView:
        """The table, for has_item(<key>=...)."""
        return TableView(_table(cls))

    @classmethod
    def create_table(cls) -> None:
        """Makes the table (on-demand capacity, its TTL attribute) if it is not there: for tests and
        the first set-up."""
        stores.get().create(_table(cls))


def _model(cls: Any) -> Any:
    if hasattr(cls, "pymacaron_info"):
        return cls
    for name in ("api_name", "model_name", "table_name", "primary_key"):
        if not getattr(cls, name, None):
            raise StoreError(f"the class {cls.__name__} sets no {name}")
    model = getattr(apipool.get_model(cls.api_name), cls.model_name)
    if not issubclass(model, cls):
        raise StoreError(
            f"the model {cls.model_name} of {cls.api_name}.yaml is no {cls.__name__}:"
            f" add `x-persist: {cls.__module__}.{cls.__qualname__}` to it"
        )
    return model


def _table(cls: Any) -> Table:
    properties = _model(cls).pymacaron_info.properties
    types: dict[str, KeyType] = {}
    for name in (cls.primary_key, cls.sort_key):
        if name is None:
            continue
        if name not in properties:
            raise StoreError(f"the model {cls.model_name} has no property {name}, the table's key")
        schema = target_of(properties[name].schema)
        kind: KeyType = "B" if schema.format == "binary" else "S"
        types[name] = KEY_TYPES.get(frozenset(schema.types or ()), kind)
    return Table(
        name=cls.table_name,
        primary_key=cls.primary_key,
        sort_key=cls.sort_key,
        key_types=types,
        ttl=cls.ttl_attribute,
    )


def _key(table: Table, key: Any) -> Key:
    if isinstance(key, dict):
        values = key
    elif table.sort_key:
        if not isinstance(key, tuple | list) or len(key) != 2:
            raise StoreError(
                f"table {table.name} needs two keys: {table.primary_key} and {table.sort_key}"
            )
        values = dict(zip(table.keys, key, strict=True))
    else:
        values = {table.primary_key: key}
    return table.key_of({name: attribute_of(value, name) for name, value in values.items()})


def _hashable(key: Key) -> tuple[Any, ...]:
    return tuple(key.values())


def _shown(key: Key) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in key.items())


def _loaded(cls: Any, table: Table, item: Item) -> Any:
    model = model_of(_model(cls), item, table)
    model.__dict__[STORED] = item
    return model
