"""Models ↔ items: the types that databases know, and back to the model's own."""

from __future__ import annotations

import math
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import ValidationError

from pymacaron.dynamodb.store import Item, StoreError, Table
from pymacaron.model.base import PymacaronBaseModel
from pymacaron.model.build import target_of
from pymacaron.openapi.schema import Schema

M = TypeVar("M", bound=PymacaronBaseModel)
DIGITS = 38
SETS = tuple(frozenset({name}) for name in ("string", "integer", "number"))


def item_of(model: PymacaronBaseModel, table: Table) -> Item:
    """The item of a model: what was set, None included. Raises StoreError for what no database of
    ours can hold."""
    item = _map_of(model, "")
    expires = item.get(table.ttl) if table.ttl else None
    if table.ttl and isinstance(getattr(model, table.ttl, None), datetime):
        moment: datetime = getattr(model, table.ttl)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        expires = math.ceil(aware.timestamp())
    if table.ttl and expires is not None:
        item[table.ttl] = expires
    return item


def model_of(model: type[M], item: Item, table: Table) -> M:
    """The model of an item. Raises StoreError when the stored data is none of it."""
    data = {name: plain(value) for name, value in item.items()}
    if table.ttl and isinstance(data.get(table.ttl), int):
        prop = model.pymacaron_info.properties.get(table.ttl)
        if prop is not None and target_of(prop.schema).types == frozenset({"string"}):
            data[table.ttl] = datetime.fromtimestamp(data[table.ttl], timezone.utc)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        key = ", ".join(f"{name} {item.get(name)!r}" for name in table.keys)
        raise StoreError(
            f"the item {key} of table {table.name} is no valid {model.pymacaron_info.name}: {error}"
        ) from error


def attribute_of(value: Any, where: str, schema: Schema | None = None) -> Any:
    """One value as databases know it."""
    if value is None or isinstance(value, bool | str | bytes):
        return value
    if isinstance(value, int | float | Decimal):
        return _number(value, where)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, PymacaronBaseModel):
        return _map_of(value, f"{where}.")
    if isinstance(value, dict):
        return {str(k): attribute_of(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        end = target_of(schema) if schema is not None else None
        items = target_of(end.items) if end is not None and end.items is not None else None
        found = [attribute_of(v, f"{where}[{i}]", items) for i, v in enumerate(value)]
        # Only what is of one type fits into a set, and no set is empty.
        unique = end is not None and end.unique_items and items is not None
        if unique and items is not None and items.types in SETS and _alike(found):
            return set(found)
        return found
    raise StoreError(f"{where} is a {type(value).__name__}, which can't be stored")


def plain(value: Any) -> Any:
    """A stored value in the types that models are made of."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(plain(v) for v in value)
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value


def _map_of(model: PymacaronBaseModel, where: str) -> Item:
    item = {}
    for prop in type(model).pymacaron_info.properties.values():
        if prop.field in model.model_fields_set or getattr(model, prop.field, None) is not None:
            value = getattr(model, prop.field, None)
            item[prop.name] = attribute_of(value, f"{where}{prop.name}", prop.schema)
    for name, value in (model.model_extra or {}).items():
        item[name] = attribute_of(value, f"{where}{name}")
    return item


def _number(value: float | Decimal, where: str) -> Decimal:
    """Exact, without zeros at its end: at most the 38 digits that DynamoDB has. Without any
    context of the decimal module: that would round."""
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise StoreError(f"{where} is {value}, which can't be stored")
    if not number:
        return Decimal(0)
    sign, digits, exponent = number.as_tuple()
    kept = len("".join(map(str, digits)).rstrip("0"))
    if kept > DIGITS or not -130 <= number.adjusted() <= 125:
        raise StoreError(
            f"{where} is {value}: numbers have at most {DIGITS} digits, and lie between 1e-130 and"
            " 1e126; declare the property as a string"
        )
    return Decimal((sign, digits[:kept], int(exponent) + len(digits) - kept))


def _alike(values: list[Any]) -> bool:
    kinds = {str if isinstance(v, str) else Decimal for v in values if v is not None}
    good = all(isinstance(v, str | int | Decimal) and not isinstance(v, bool) for v in values)
    return bool(values) and good and len(kinds) == 1
