"""Models that load and save themselves, in DynamoDB (extra [dynamodb]) or SQLite.

>>> from pymacaron.dynamodb import PersistentSwaggerObject, DynamoDBItemNotFound
"""

from pymacaron.dynamodb.persistent import (
    Page,
    PersistentSwaggerObject,
    open_store,
    use_store,
)
from pymacaron.dynamodb.store import (
    BadKey,
    DynamoDBItemNotFound,
    Expected,
    ItemChanged,
    ItemPage,
    Query,
    Store,
    StoreError,
    Table,
)

__all__ = [
    "BadKey",
    "DynamoDBItemNotFound",
    "Expected",
    "ItemChanged",
    "ItemPage",
    "Page",
    "PersistentSwaggerObject",
    "Query",
    "Store",
    "StoreError",
    "Table",
    "open_store",
    "use_store",
]
