"""What a schema says, and whether pydantic-core has a word for it."""

from __future__ import annotations

from pymacaron.model import formats
from pymacaron.model.build import NULL, target_of
from pymacaron.openapi.schema import ABSENT, Schema

OTHER_TYPES = frozenset({"string", "integer", "number", "boolean", "null"})


def excludes_null(schema: Schema) -> bool:
    """Whether only certain values are allowed, and null is none of them."""
    return (schema.enum is not None and None not in schema.enum) or (
        schema.const is not ABSENT and schema.const is not None
    )


def only_null_beside(schema: Schema) -> Schema | None:
    """The one branch that is not `null`, where a oneOf or anyOf says no more than "or null"."""
    alternatives = [*schema.one_of, *schema.any_of]
    others = [s for s in alternatives if target_of(s).types != NULL]
    if len(alternatives) != 2 or len(others) != 1 or schema.ref or schema.all_of or schema.types:
        return None
    if constrained(schema) or needs_checker(schema, combined=True):
        return None
    null = target_of(next(s for s in alternatives if s is not others[0]))
    other = target_of(others[0])
    if constrained(null) or needs_checker(null):
        return None
    if schema.one_of and (other.nullable or not other.types or "null" in other.types):
        return None
    return others[0]


def constrained(schema: Schema) -> bool:
    """Whether a schema says anything about values beside their type."""
    return (
        text_constrained(schema)
        or bool(schema.properties or schema.required or schema.prefix_items)
        or schema.items is not None
        or schema.unique_items
        or schema.additional_properties is not None
        or schema.enum is not None
        or schema.const is not ABSENT
        or schema.format in formats.NUMBERS
        or any(
            bound is not None
            for bound in (
                schema.minimum,
                schema.maximum,
                schema.exclusive_minimum,
                schema.exclusive_maximum,
                schema.multiple_of,
                schema.min_items,
                schema.max_items,
                schema.min_properties,
                schema.max_properties,
            )
        )
    )


def text_constrained(schema: Schema) -> bool:
    return (
        schema.min_length is not None
        or schema.max_length is not None
        or schema.pattern is not None
        or schema.format in formats.TEXTS
    )


def needs_checker(schema: Schema, *, combined: bool = False) -> bool:
    """Whether a schema says what pydantic-core has no word for."""
    return bool(
        schema.not_ is not None
        or schema.if_ is not None
        or schema.contains is not None
        or schema.unevaluated_items is not None
        or (not combined and (schema.one_of or schema.any_of))
        or needs_object_checker(schema)
    )


def needs_object_checker(schema: Schema) -> bool:
    if schema.not_ is not None or schema.if_ is not None:
        return True
    if schema.types and schema.types <= OTHER_TYPES:
        return False
    return bool(
        schema.pattern_properties
        or schema.property_names is not None
        or schema.unevaluated_properties is not None
        or schema.dependent_required
        or schema.dependent_schemas
        or schema.enum is not None
        or schema.const is not ABSENT
        or (schema.properties and schema.items is not None)
    )
