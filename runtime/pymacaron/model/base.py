"""The class from which every model inherits: pydantic 2 with the methods that PyMacaron 2
promised."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from difflib import unified_diff
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import Self

from pymacaron.openapi.schema import ABSENT, Schema

# In the __dict__ of a persistent model: what its database holds of it.
STORED = "_stored"
DUMP_OPTIONS = (
    "include",
    "exclude",
    "exclude_unset",
    "exclude_none",
    "exclude_defaults",
    "by_alias",
)
DatetimeEncoder = Callable[[datetime], Any]


@dataclass(eq=False, kw_only=True)
class Property:
    """One property of a model: `field` is its Python name, `name` what JSON calls it."""

    name: str
    field: str
    schema: Schema
    others: tuple[Schema, ...] = ()
    required: bool = False
    nullable: bool = False
    mandatory: bool = False
    read_only: bool = False
    write_only: bool = False

    @property
    def default(self) -> Any:
        return self.schema.default

    @property
    def has_default(self) -> bool:
        return self.schema.default is not ABSENT


@dataclass(eq=False, kw_only=True)
class ModelInfo:
    """What a model class knows of its schema."""

    api: str
    name: str
    schema: Schema
    properties: dict[str, Property]
    extra: Literal["allow", "ignore", "forbid"]

    @cached_property
    def by_field(self) -> dict[str, Property]:
        return {p.field: p for p in self.properties.values()}

    @cached_property
    def renamed(self) -> dict[str, str]:
        """JSON names that differ from the Python ones."""
        return {p.name: p.field for p in self.properties.values() if p.name != p.field}


class _Encoders:
    """How dates become JSON; `API(json_encoders={datetime: f})` replaces it."""

    def __init__(self) -> None:
        self.custom: DatetimeEncoder | None = None

    def date_time(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return self.custom(value) if self.custom else value.isoformat()
        return value.isoformat() if isinstance(value, date) else value

    def date(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return self.custom(value) if self.custom else value.date().isoformat()
        return value.isoformat() if isinstance(value, date) else value


encoders = _Encoders()


class PymacaronBaseModel(BaseModel):
    """A model of an API. Made by `apipool.<api>.<Model>(...)`; never subclassed by hand.

    Keyword arguments are the properties, by their name in the API file or by their Python name
    where the two differ (`class` is `class_`). Raises pydantic.ValidationError."""

    model_config = ConfigDict(
        extra="ignore",
        populate_by_name=True,
        defer_build=True,
        protected_namespaces=(),
        arbitrary_types_allowed=True,
        coerce_numbers_to_str=True,
        ser_json_inf_nan="constants",
    )
    pymacaron_info: ClassVar[ModelInfo]

    def __getattr__(self, name: str) -> Any:
        # Only reached for what is no attribute: a property whose JSON name is no Python name.
        field = type(self).pymacaron_info.renamed.get(name) if name[:2] != "__" else None
        if field is not None:
            return getattr(self, field)
        return super().__getattr__(name)  # type: ignore[misc]

    def __setattr__(self, name: str, value: Any) -> None:
        field = type(self).pymacaron_info.renamed.get(name)
        super().__setattr__(name if field is None else field, value)

    def __str__(self) -> str:
        return f"{self.get_model_name()}({super().__str__()})"

    def to_json(
        self,
        keep_datetime: bool = False,
        keep_nullable: bool = False,
        datetime_encoder: DatetimeEncoder | None = None,
        exclude_unset: bool = True,
        exclude_none: bool = False,
    ) -> dict[str, Any]:
        """The model as a dict of JSON values. Dates become texts (`.isoformat()`, or what
        `datetime_encoder` makes of them) but with `keep_datetime`; `keep_nullable` shows unset
        x-nullable properties as None."""

        def value_of(value: Any, schema: Schema | None) -> Any:
            if isinstance(value, PymacaronBaseModel):
                return value.to_json(
                    keep_datetime=keep_datetime,
                    keep_nullable=keep_nullable,
                    datetime_encoder=datetime_encoder,
                    exclude_unset=exclude_unset,
                    exclude_none=exclude_none,
                )
            if isinstance(value, dict):
                return {k: value_of(v, None) for k, v in value.items()}
            if isinstance(value, list | tuple | set | frozenset):
                return [value_of(v, schema.items if schema else None) for v in value]
            if isinstance(value, date) and not keep_datetime:
                if datetime_encoder and isinstance(value, datetime):
                    return datetime_encoder(value)
                only_date = schema is not None and schema.format == "date"
                return value.isoformat()[:10] if only_date else value.isoformat()
            return value

        result: dict[str, Any] = {}
        info = type(self).pymacaron_info
        for prop in info.properties.values():
            value = getattr(self, prop.field, None)
            nullable = keep_nullable and prop.nullable
            unset = exclude_unset and prop.field not in self.model_fields_set
            if (unset or (value is None and exclude_none)) and not nullable:
                continue
            result[prop.name] = value_of(value, prop.schema)
        for name, value in (self.model_extra or {}).items():
            result[name] = value_of(value, None)
        return result

    @classmethod
    def from_json(cls, j: Mapping[str, Any], prune_none: bool = True) -> Self:
        """A model from a dict; None values are left out first, at any depth, but with
        `prune_none=False`."""
        return cls.model_validate(pruned(j) if prune_none else j)

    def clone(self) -> Self:
        """A deep copy."""
        return self.model_copy(deep=True)

    def get_model_name(self) -> str:
        """The schema's name in its API file."""
        return type(self).pymacaron_info.name

    def get_model_api(self) -> str:
        """The name of the API that declares the model."""
        return type(self).pymacaron_info.api

    def get_property_names(self) -> list[str]:
        """The names of the model's properties, as the API file writes them."""
        return list(type(self).pymacaron_info.properties)

    def get_model_properties(self) -> list[str]:
        """The documented alias of `get_property_names`."""
        return self.get_property_names()

    def get_nullable_properties(self) -> list[str]:
        """The names of the properties whose None is shown as null in answers."""
        return [p.name for p in type(self).pymacaron_info.properties.values() if p.nullable]

    @classmethod
    def diff_with(cls, other: type[PymacaronBaseModel]) -> str:
        """The differences of two models' schemas, descriptions left aside, as a unified diff; "" if
        there are none."""
        one, two = cls.pymacaron_info, other.pymacaron_info
        return "\n".join(
            unified_diff(
                _describe(one.schema).splitlines(),
                _describe(two.schema).splitlines(),
                fromfile=f"{one.api}.{one.name}",
                tofile=f"{two.api}.{two.name}",
                lineterm="",
            )
        ).strip()

    # The names of pydantic 1, without its successor's warnings.

    def dict(self, **kwargs: Any) -> dict[str, Any]:
        """The properties by their JSON names, nested models as dicts too."""
        kwargs.setdefault("by_alias", True)
        return self.model_dump(**kwargs)

    def json(self, **kwargs: Any) -> str:
        """The model as JSON text. `indent=` and the like are json.dumps's."""
        own = {name: kwargs.pop(name) for name in DUMP_OPTIONS if name in kwargs}
        own.setdefault("by_alias", True)
        kwargs.setdefault("default", encoders.date_time)
        return json.dumps(self.model_dump(**own), **kwargs)

    def copy(  # type: ignore[override]
        self, *, deep: bool = False, update: Mapping[str, Any] | None = None
    ) -> Self:
        """A copy; `update` replaces properties."""
        return self.model_copy(deep=deep, update=dict(update) if update else None)

    @classmethod
    def parse_obj(cls, obj: Any) -> Self:
        """A model from a dict. Raises pydantic.ValidationError."""
        return cls.model_validate(obj)

    @classmethod
    def parse_raw(cls, b: str | bytes, **_: Any) -> Self:
        """A model from JSON text. Raises pydantic.ValidationError."""
        return cls.model_validate_json(b)


def pruned(value: Any) -> Any:
    """A copy without the None values of dicts, at any depth."""
    if isinstance(value, Mapping):
        return {k: pruned(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [pruned(v) for v in value]
    return value


def _describe(schema: Schema) -> str:
    place = schema.place
    raw = place.document.data
    for token in place.pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        raw = raw[int(key)] if isinstance(raw, list) else raw[key]
    return json.dumps(_undescribed(raw), indent=4, sort_keys=True, default=str)


def _undescribed(raw: Any) -> Any:
    if isinstance(raw, Mapping):
        return {k: _undescribed(v) for k, v in raw.items() if k not in ("description", "example")}
    if isinstance(raw, list):
        return [_undescribed(v) for v in raw]
    return raw
