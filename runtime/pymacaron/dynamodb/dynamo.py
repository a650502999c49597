"""Items in Amazon DynamoDB, through boto3's client."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Protocol

import boto3
from boto3.dynamodb.types import TypeSerializer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from pymacaron.dynamodb.store import (
    BadKey,
    Expected,
    Item,
    ItemChanged,
    ItemPage,
    Key,
    Query,
    StoreError,
    Table,
)

log = logging.getLogger(__name__)

BATCH = 100  # the most keys that BatchGetItem takes
# Pauses between calls double from at most 1 s, those within a batch from 0.05 s: about 7 s are
# waited at most, and then the caller is told.
ATTEMPTS = 4
BATCH_ATTEMPTS = 8


class Settings(Protocol):
    """As much of the config as this module reads."""

    def get(self, name: str, default: Any = None) -> Any: ...


class DynamoStore:
    """Tables of one account and region. The client is thread-safe; a forked process makes its
    own."""

    def __init__(self, make_client: Callable[[], Any]) -> None:
        self._make = make_client
        self._client: Any = None
        self._pid = 0
        self._lock = threading.Lock()

    @property
    def client(self) -> Any:
        if self._pid != os.getpid():
            self._lock = threading.Lock()
            self._client, self._pid = None, os.getpid()
        with self._lock:
            if self._client is None:
                self._client = self._make()
            return self._client

    def get(self, table: Table, keys: Sequence[Key], *, consistent: bool) -> list[Item]:
        unique = {repr(sorted(key.items())): table.key_of(key) for key in keys}
        wanted = [_typed(key) for key in unique.values()]
        items: list[Item] = []
        for start in range(0, len(wanted), BATCH):
            items += self._batch(table, wanted[start : start + BATCH], consistent)
        return items

    def _batch(self, table: Table, keys: list[Any], consistent: bool) -> list[Item]:
        items: list[Item] = []
        for attempt in range(BATCH_ATTEMPTS):
            request = {table.name: {"Keys": keys, "ConsistentRead": consistent}}
            with _explained(table):
                answer = self.client.batch_get_item(RequestItems=request)
            items += [_untyped(item) for item in answer["Responses"].get(table.name, [])]
            keys = answer.get("UnprocessedKeys", {}).get(table.name, {}).get("Keys", [])
            if not keys:
                return items
            time.sleep(0.05 * 2**attempt * random.uniform(0.5, 1))  # noqa: S311  (spreads load)
        raise StoreError(
            f"table {table.name} is read faster than its capacity allows:"
            " raise it, or use on-demand"
        )

    def put(self, table: Table, item: Item, expected: Expected | None = None) -> None:
        table.key_of(item)
        with _explained(table):
            self.client.put_item(
                TableName=table.name, Item=_typed(item), **_condition(table, expected)
            )

    def delete(self, table: Table, key: Key) -> None:
        with _explained(table):
            self.client.delete_item(TableName=table.name, Key=_typed(table.key_of(key)))

    def query(self, table: Table, query: Query) -> ItemPage:
        condition, values = "#p = :p", {":p": query.primary}
        if query.low is not None and query.high is not None:
            condition += " AND #s BETWEEN :low AND :high"
            values |= {":low": query.low, ":high": query.high}
        elif query.low is not None:
            condition += " AND #s >= :low"
            values[":low"] = query.low
        elif query.high is not None:
            condition += " AND #s <= :high"
            values[":high"] = query.high
        elif query.prefix is not None:
            condition += " AND begins_with(#s, :prefix)"
            values[":prefix"] = query.prefix
        names = {"#p": table.primary_key}
        if "#s" in condition and table.sort_key:
            names["#s"] = table.sort_key
        request: dict[str, Any] = {
            "TableName": table.name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": _typed(values),
            "ScanIndexForward": not query.reverse,
            "Limit": query.limit,
            "ConsistentRead": query.consistent,
        }
        if query.after is not None:
            request["ExclusiveStartKey"] = _typed(query.after)
        with _explained(table):
            answer = self.client.query(**request)
        last = answer.get("LastEvaluatedKey")
        return ItemPage(
            items=[_untyped(item) for item in answer["Items"]],
            after=_untyped(last) if last else None,
        )

    def create(self, table: Table) -> None:
        kinds = ("HASH", "RANGE")
        with _explained(table):
            try:
                self.client.create_table(
                    TableName=table.name,
                    BillingMode="PAY_PER_REQUEST",
                    AttributeDefinitions=[
                        {"AttributeName": name, "AttributeType": table.key_types[name]}
                        for name in table.keys
                    ],
                    KeySchema=[
                        {"AttributeName": name, "KeyType": kind}
                        for name, kind in zip(table.keys, kinds, strict=False)
                    ],
                )
            except self.client.exceptions.ResourceInUseException:
                return
            wait = {"Delay": 1, "MaxAttempts": 120}
            self.client.get_waiter("table_exists").wait(TableName=table.name, WaiterConfig=wait)
        if table.ttl:
            self._expire(table, table.ttl)

    def _expire(self, table: Table, attribute: str) -> None:
        setting = {"Enabled": True, "AttributeName": attribute}
        with _explained(table):
            try:
                self.client.update_time_to_live(
                    TableName=table.name, TimeToLiveSpecification=setting
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "UnknownOperationException":
                    raise
                # Some stand-ins for DynamoDB remove nothing: the table serves all the same.
                log.warning("the table %s does not remove expired items", table.name)


def make_client(conf: Settings) -> Any:
    """With the settings aws_region | aws_default_region, aws_access_key_id, aws_secret_access_key;
    what they leave out comes from AWS's usual places. Throttled calls are retried with back-off."""
    with _explained(None):
        return boto3.session.Session().client(
            "dynamodb",
            region_name=conf.get("aws_region") or conf.get("aws_default_region"),
            aws_access_key_id=conf.get("aws_access_key_id"),
            aws_secret_access_key=conf.get("aws_secret_access_key"),
            config=Config(
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                connect_timeout=5,
                read_timeout=10,
                max_pool_connections=64,
            ),
        )


def _condition(table: Table, expected: Expected | None) -> dict[str, Any]:
    if expected is None:
        return {}
    if expected.item is None:
        return {
            "ConditionExpression": "attribute_not_exists(#p)",
            "ExpressionAttributeNames": {"#p": table.primary_key},
        }
    names, values, parts = {}, {}, []
    for i, (name, value) in enumerate(expected.item.items()):
        names[f"#{i}"], values[f":{i}"] = name, value
        parts.append(f"#{i}=:{i}")
    for i, name in enumerate(expected.absent, len(parts)):
        names[f"#{i}"] = name
        parts.append(f"attribute_not_exists(#{i})")
    return {
        "ConditionExpression": " AND ".join(parts),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": _typed(values),
    }


def _typed(item: Item) -> dict[str, Any]:
    writer = TypeSerializer()
    return {name: writer.serialize(value) for name, value in item.items()}


def _untyped(item: dict[str, Any]) -> Item:
    return {name: _value(typed) for name, typed in item.items()}


def _value(typed: dict[str, Any]) -> Any:
    """boto3's own TypeDeserializer fails on numbers whose zeros exceed 38 digits."""
    ((kind, value),) = typed.items()
    if kind == "N":
        return Decimal(value)
    if kind == "NULL":
        return None
    if kind == "M":
        return _untyped(value)
    if kind == "L":
        return [_value(v) for v in value]
    if kind == "NS":
        return set(map(Decimal, value))
    return set(value) if kind in ("SS", "BS") else value


@contextmanager
def _explained(table: Table | None) -> Iterator[None]:
    """Botocore's errors in words of what to do."""
    name = table.name if table else ""
    try:
        yield
    except NoCredentialsError as error:
        raise StoreError(
            "no AWS credentials for DynamoDB: set aws_access_key_id and aws_secret_access_key"
            " (by env_secrets), or give the machine a role"
        ) from error
    except NoRegionError as error:
        raise StoreError("no AWS region for DynamoDB: set aws_region in pym-config.yaml") from error
    except ClientError as error:
        raise _refusal(error, name, table) from error
    except BotoCoreError as error:
        raise StoreError(f"DynamoDB can't be asked: {error}") from error


def _refusal(error: ClientError, name: str, table: Table | None) -> StoreError:
    code = error.response["Error"]["Code"]
    text = error.response["Error"].get("Message", "")
    if code == "ConditionalCheckFailedException":
        return ItemChanged(f"the item of table {name} was changed by somebody else")
    if code == "ResourceNotFoundException":
        return StoreError(
            f"there is no table {name} in this account and region:"
            " check aws_region, or make it with create_table()"
        )
    if "size" in text.lower() and "exceed" in text.lower():
        return StoreError(
            f"the item is too large for table {name}: DynamoDB takes 400 KB;"
            " store large parts elsewhere (S3) and keep a reference"
        )
    if code == "ValidationException" and "key" in text.lower() and table:
        return BadKey(f"table {name} has another key than {' and '.join(table.keys)}: {text}")
    if code in ("ProvisionedThroughputExceededException", "ThrottlingException"):
        return StoreError(f"table {name} is used faster than its capacity allows: {text}")
    if code in ("AccessDeniedException", "UnrecognizedClientException"):
        return StoreError(f"AWS does not allow this on table {name}: {text}")
    return StoreError(f"DynamoDB refused: {code}: {text}")
