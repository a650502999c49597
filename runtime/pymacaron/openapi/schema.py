"""A schema, whatever its dialect, in one form: Swagger 2.0 and OpenAPI 3.0 (draft 4), OpenAPI 3.1
(2020-12)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pymacaron.openapi.document import Document

Dialect = Literal["2.0", "3.0", "3.1"]


class _Absent:
    """Stands for: the keyword is not there (None is a value)."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = _Absent()


@dataclass(frozen=True)
class Place:
    """Where something is written."""

    document: Document
    pointer: str

    def __truediv__(self, token: str | int) -> Place:
        text = str(token).replace("~", "~0").replace("/", "~1")
        return Place(self.document, f"{self.pointer}/{text}")


@dataclass(frozen=True)
class Discriminator:
    """Which property names the branch of a oneOf or anyOf."""

    property: str
    mapping: dict[str, Schema]


@dataclass(eq=False, kw_only=True)
class Schema:
    """One schema object. Absent keywords are None or empty; bounds are numbers in both dialects.

    `ref` is a target with the other fields empty (drafts before 2019) or beside them (OpenAPI 3.1);
    `referred` says that some `$ref` leads here.
    """

    place: Place
    name: str | None = None
    always: bool | None = None
    ref: Schema | None = None
    referred: bool = False
    types: frozenset[str] | None = None
    nullable: bool = False
    enum: list[Any] | None = None
    const: Any = ABSENT
    default: Any = ABSENT
    minimum: int | float | None = None
    maximum: int | float | None = None
    exclusive_minimum: int | float | None = None
    exclusive_maximum: int | float | None = None
    multiple_of: int | float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    format: str | None = None
    items: Schema | None = None
    prefix_items: list[Schema] = field(default_factory=list)
    min_items: int | None = None
    max_items: int | None = None
    unique_items: bool = False
    contains: Schema | None = None
    min_contains: int | None = None
    max_contains: int | None = None
    unevaluated_items: Schema | None = None
    properties: dict[str, Schema] = field(default_factory=dict)
    has_properties: bool = False
    pattern_properties: dict[str, Schema] = field(default_factory=dict)
    additional_properties: Schema | None = None
    property_names: Schema | None = None
    unevaluated_properties: Schema | None = None
    required: list[str] = field(default_factory=list)
    min_properties: int | None = None
    max_properties: int | None = None
    dependent_required: dict[str, list[str]] = field(default_factory=dict)
    dependent_schemas: dict[str, Schema] = field(default_factory=dict)
    all_of: list[Schema] = field(default_factory=list)
    any_of: list[Schema] = field(default_factory=list)
    one_of: list[Schema] = field(default_factory=list)
    not_: Schema | None = None
    if_: Schema | None = None
    then: Schema | None = None
    else_: Schema | None = None
    discriminator: Discriminator | None = None
    read_only: bool = False
    write_only: bool = False
    mandatory: bool = False
    x_nullable: bool = False
    title: str | None = None
    description: str | None = None
    parent: str | None = None
    persist: str | None = None

    def __repr__(self) -> str:
        return f"<Schema {self.name or self.place.pointer}>"
