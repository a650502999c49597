"""JSON ↔ models: bytes in, bytes out, through pydantic-core. Where its schemas say exactly what the
API's schema says they judge alone; elsewhere the checker judges and the conversion follows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jiter
from pydantic_core import CoreSchema, SchemaSerializer, SchemaValidator, ValidationError

from pymacaron.model.base import PymacaronBaseModel, encoders
from pymacaron.model.build import Models, target_of
from pymacaron.model.check import Compiler, Direction
from pymacaron.model.convert import Conversion, Converter
from pymacaron.model.core import Core
from pymacaron.model.keywords import Checker, Fault, State
from pymacaron.model.quick import UNSURE, Quick
from pymacaron.openapi.schema import Schema

TOO_DEEP = Fault("", "is nested too deeply")


class Invalid(ValueError):
    """A value that its schema forbids, with every reason."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("; ".join(str(f) for f in faults))


class Malformed(Exception):
    """Bytes that are no JSON; the text says why."""


def parse(body: bytes) -> Any:
    """JSON as RFC 8259 has it, one meaning only: no NaN, no repeated names, no lone surrogates.
    Raises Malformed."""
    try:
        return jiter.from_json(
            body, allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys"
        )
    except (ValueError, RecursionError) as error:
        raise Malformed(str(error)) from error


class Workshop:
    """Makes the codecs of one API, for requests or for answers; each schema is compiled once."""

    def __init__(self, models: Models, direction: Direction, *, required: bool = True) -> None:
        self.models = models
        self.direction = direction
        self.required = required
        self.compile = Compiler(direction, required=required)
        self._codecs: dict[int, Codec] = {}

    def wire(self, value: Any) -> Any:
        """JSON data of whatever a handler put where the schema says nothing: models as they are
        written elsewhere, dates as texts."""
        if isinstance(value, PymacaronBaseModel):
            return self.codec(type(value).pymacaron_info.schema).dump(value)
        if isinstance(value, dict):
            return {k: self.wire(v) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.wire(v) for v in value]
        return encoders.date_time(value)

    def codec(self, schema: Schema, hint: str = "") -> Codec:
        end = target_of(schema)
        found = self._codecs.get(id(end))
        if found is None:
            found = self._codecs[id(end)] = Codec(self, end, hint)
        return found


class Codec:
    """Reads and writes the values of one schema. Compiled at its first use, or by `prepare`."""

    def __init__(self, workshop: Workshop, schema: Schema, hint: str) -> None:
        self.workshop = workshop
        self.schema = schema
        self.hint = hint

    def prepare(self) -> None:
        _ = self._quick if self.workshop.direction == "request" else self._write

    def read(self, body: bytes) -> Any:
        """A model, or plain data. Raises Malformed, Invalid."""
        if self._quick is not None:
            value = self._quick.read(body)
            if value is not UNSURE:
                return value
        return self.read_data(parse(body))

    def read_data(self, data: Any) -> Any:
        """The same from parsed JSON. Raises Invalid."""
        validator = self._validator
        if validator is not None:
            try:
                return validator.validate_python(data)
            except (ValidationError, RecursionError) as error:
                raise Invalid(self.faults(data) or [_unexpected(error)]) from None
        faults = self.faults(data)
        if faults:
            raise Invalid(faults)
        try:
            return self._convert(data)
        except RecursionError:
            raise Invalid([TOO_DEEP]) from None

    def faults(self, data: Any) -> list[Fault]:
        """Everything that is wrong with parsed JSON."""
        try:
            return self._check(data, "", State())
        except RecursionError:
            return [TOO_DEEP]

    def write(self, value: Any) -> bytes:
        """JSON text of a model or of plain data. Raises ValueError for what JSON can't say."""
        return self._write(value)

    def dump(self, value: Any) -> Any:
        """JSON data of a model or of plain data."""
        exclude = not self._core[2]
        return self._serializer.to_python(
            value, mode="json", by_alias=True, exclude_none=exclude, warnings=False
        )

    @cached_property
    def _core(self) -> tuple[CoreSchema, bool, bool]:
        core = Core(self.workshop)
        made = core.compile(self.schema, self.hint)
        return made, core.exact, core.shows_none

    @cached_property
    def _validator(self) -> SchemaValidator | None:
        core, exact, _ = self._core
        return SchemaValidator(core, None, False) if exact else None

    @cached_property
    def _quick(self) -> Quick | None:
        validator = self._validator
        return Quick.of(validator, self._core[0]) if validator is not None else None

    @cached_property
    def _check(self) -> Checker:
        return self.workshop.compile(self.schema)

    @cached_property
    def _convert(self) -> Converter:
        return Conversion(self.workshop).make(self.schema, self.hint)

    @cached_property
    def _serializer(self) -> SchemaSerializer:
        return SchemaSerializer(self._core[0], None, False)

    @cached_property
    def _write(self) -> Callable[[Any], bytes]:
        to_json = self._serializer.to_json
        exclude = not self._core[2]

        def write(value: Any) -> bytes:
            return to_json(value, by_alias=True, exclude_none=exclude, warnings=False)

        return write


def _unexpected(error: BaseException) -> Fault:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return Fault("".join(f"/{t}" for t in first["loc"]), first["msg"])
    return TOO_DEEP
