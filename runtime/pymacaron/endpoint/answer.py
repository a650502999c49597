"""What a handler returned → status, headers and bytes; only what its operation declares goes
out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from werkzeug.exceptions import NotAcceptable
from werkzeug.http import parse_accept_header
from werkzeug.wrappers import Response as WerkzeugResponse

from pymacaron.endpoint.body import is_json, matches
from pymacaron.endpoint.call import Answer
from pymacaron.exceptions import BadResponseException, PyMacaronException
from pymacaron.model.base import PymacaronBaseModel
from pymacaron.model.build import is_model, parts, target_of
from pymacaron.model.codec import Codec, Malformed, Workshop, parse
from pymacaron.openapi import Operation, Response, Schema

JSON = "application/json"


@dataclass(frozen=True)
class Declared:
    """One content that an answer may have."""

    status: int
    type: str
    schema: Schema | None
    codec: Codec | None
    fits: Callable[[Any], bool]


class PlainModel(NamedTuple):
    """How each model of a class is answered."""

    status: int
    type: str
    write: Callable[[Any], bytes]


def _status(text: str) -> int:
    if text == "default":
        return 0
    return int(text[0]) * 100 if text.endswith("XX") else int(text)


class Answers:
    """The answers of one operation, compiled."""

    def __init__(self, operation: Operation, workshop: Workshop, *, validate: bool) -> None:
        self.workshop = workshop
        self.validate = validate
        self.statuses = {_status(r.status): r for r in operation.responses}
        ordered = sorted(operation.responses, key=_rank)
        hint = operation.name.rpartition(".")[2].replace(" ", "_").replace("/", "_")
        self.declared = [d for r in ordered for d in self._contents(r, f"{hint}_answer")]
        self.empty = next(
            (_status(r.status) for r in ordered if not r.media and 200 <= _status(r.status) < 400),
            None,
        )
        self.types = list(dict.fromkeys([*operation.produces, *(d.type for d in self.declared)]))
        self._by_class: dict[type, Declared | None] = {}
        self._plain_models: dict[type, PlainModel] = {}
        self.accepts = lru_cache(maxsize=64)(self._accepts)

    def prepare(self) -> None:
        for declared in self.declared:
            if declared.codec is not None:
                declared.codec.prepare()

    def _contents(self, response: Response, hint: str) -> list[Declared]:
        status = _status(response.status)
        found = []
        for media in response.media:
            codec = None
            fits: Callable[[Any], bool] = _anything
            if media.schema is not None and is_json(media.type.replace("*/*", JSON)):
                codec = self.workshop.codec(media.schema, hint)
                fits = self._fits(media.schema, hint, 0)
            kind = JSON if media.type == "*/*" else media.type
            found.append(Declared(status, kind, media.schema, codec, fits))
        return found

    def _fits(self, schema: Schema, hint: str, depth: int) -> Callable[[Any], bool]:
        """Whether a value is of the declared kind: a shallow look at classes, no validation."""
        end = target_of(schema)
        if depth > 5:
            return _anything
        if is_model(end):
            model = self.workshop.models.class_of(end, hint)
            if model is not None:
                return lambda value: isinstance(value, model)
        branches = [*end.one_of, *end.any_of]
        if branches:
            tests = [self._fits(s, hint, depth + 1) for s in branches]
            return lambda value: any(test(value) for test in tests)
        types = end.types or frozenset()
        if types == {"array"}:
            items = end.items
            test = self._fits(items, f"{hint}_item", depth + 1) if items is not None else _anything
            return lambda value: isinstance(value, list | tuple) and all(map(test, value))
        if types == {"object"}:
            return lambda value: isinstance(value, dict)
        if types and types <= {"string", "integer", "number", "boolean", "null"}:
            return lambda value: not isinstance(value, dict | list | PymacaronBaseModel)
        if any(p.types for p in parts(end)):
            return _anything
        return _anything

    def _accepts(self, header: str) -> bool:
        if not header or "*/*" in header or not self.types:
            return True
        accepted = parse_accept_header(header)
        wanted = [
            name.partition(";")[0].strip().lower() for name, quality in accepted if quality > 0
        ]
        return any(matches(name, own) for name in wanted for own in self.types)

    def check_accept(self, header: str) -> None:
        """Raises NotAcceptable before the handler runs, where the client wants none of our
        types."""
        if header != "*/*" and not self.accepts(header):
            raise NotAcceptable(f"this operation answers {' or '.join(self.types)}")

    def answer(self, result: Any, accept: str | None = None) -> Answer | WerkzeugResponse:
        """Raises BadResponseException for what the operation does not declare, and an exception
        that was returned."""
        plain = self._plain_models.get(type(result))
        if plain is not None:
            try:
                return Answer(plain.status, plain.type, plain.write(result))
            except (ValueError, TypeError) as error:
                raise _unwritable(error) from error
        if isinstance(result, PymacaronBaseModel):
            return self._model(result, None)
        if isinstance(result, WerkzeugResponse):
            return result
        if isinstance(result, PyMacaronException):
            raise result
        if result is None:
            return self._nothing(None)
        if isinstance(result, tuple) and 2 <= len(result) <= 3 and type(result[1]) is int:
            return self._tuple(result)
        return self._plain(result, None, accept)

    def _tuple(self, result: tuple[Any, ...]) -> Answer | WerkzeugResponse:
        value, status = result[0], result[1]
        headers = result[2] if len(result) == 3 else {}
        if isinstance(value, PymacaronBaseModel):
            made = self._model(value, status)
        elif value is None:
            made = self._nothing(status)
        else:
            made = self._plain(value, status, None)
        if isinstance(made, Answer) and headers:
            pairs = headers.items() if hasattr(headers, "items") else headers
            own = [(str(k), str(v)) for k, v in pairs]
            typed = any(name.lower() == "content-type" for name, _ in own)
            return made._replace(headers=own, type=None if typed else made.type)
        return made

    def _nothing(self, status: int | None) -> Answer:
        if status is not None and (status in self.statuses or 0 in self.statuses):
            return Answer(status, None, b"")
        if self.empty is None:
            raise BadResponseException(
                f"the handler returned nothing; the operation answers {self._expected()}"
            )
        return Answer(self.empty, None, b"")

    def _model(self, model: PymacaronBaseModel, status: int | None) -> Answer:
        kind = type(model)
        if status is None:
            if kind in self._by_class:
                declared = self._by_class[kind]
            else:
                declared = self._by_class[kind] = self._find(model)
                self._remember(kind, declared)
        else:
            declared = self._find(model, status)
        if declared is None:
            raise BadResponseException(
                f"the handler returned a {model.get_model_name()};"
                f" the operation answers {self._expected(status)}"
            )
        return self._write(declared, model, status)

    def _remember(self, kind: type, declared: Declared | None) -> None:
        """A model whose answers need neither a check nor a look at its own status."""
        if declared is None or declared.codec is None or self.validate:
            return
        if 0 < declared.status < 400:
            self._plain_models[kind] = PlainModel(
                declared.status, _full(declared.type), declared.codec.write
            )

    def _find(self, value: Any, status: int | None = None) -> Declared | None:
        wanted = [d for d in self.declared if status is None or d.status == status]
        if not wanted and status is not None:
            group = status // 100 * 100
            wanted = [d for d in self.declared if d.status == group and status not in self.statuses]
            wanted = wanted or [d for d in self.declared if d.status == 0]
        return next((d for d in wanted if d.codec is not None and d.fits(value)), None)

    def _write(self, declared: Declared, value: Any, status: int | None) -> Answer:
        assert declared.codec is not None  # noqa: S101 - the caller has looked
        try:
            body = declared.codec.write(value)
        except (ValueError, TypeError) as error:
            raise _unwritable(error) from error
        if self.validate:
            self._check(declared.codec, body)
        return Answer(status or _status_of(declared, value), _full(declared.type), body)

    @staticmethod
    def _check(codec: Codec, body: bytes) -> None:
        try:
            faults = codec.faults(parse(body))
        except Malformed as error:
            raise BadResponseException(f"the answer is not valid JSON: {error}") from error
        if faults:
            raise BadResponseException(
                f"the answer is not as declared: {'; '.join(map(str, faults))}"
            )

    def _plain(self, value: Any, status: int | None, accept: str | None) -> Answer:
        if isinstance(value, bytes | str | os.PathLike) or hasattr(value, "read"):
            other = self._raw(status, accept)
            if other is not None:
                return Answer(status or other.status or 200, _full(other.type), _content(value))
        declared = self._find(value, status)
        if declared is None:
            raise BadResponseException(
                f"the handler returned a {type(value).__name__};"
                f" the operation answers {self._expected(status)}"
            )
        return self._write(declared, value, status)

    def _raw(self, status: int | None, accept: str | None) -> Declared | None:
        """The declared content that is no JSON, the one that the client prefers first."""
        found = [
            d
            for d in self.declared
            if not is_json(d.type) and (d.status == status if status else 200 <= d.status < 400)
        ]
        if accept and len(found) > 1:
            best = parse_accept_header(accept)
            found.sort(key=lambda d: -max((q for t, q in best if matches(t, d.type)), default=0))
        return found[0] if found else None

    def _expected(self, status: int | None = None) -> str:
        names = [
            _label(d.schema) if d.schema is not None else d.type
            for d in self.declared
            if not status or d.status in (status, 0)
        ]
        return " or ".join(dict.fromkeys(names)) or "nothing"


def _unwritable(error: Exception) -> BadResponseException:
    return BadResponseException(f"the answer can't be written as JSON: {error}")


def _full(media_type: str) -> str:
    """The Content-Type of an answer."""
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type


def _content(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, os.PathLike):
        with open(value, "rb") as file:  # noqa: PTH123 - any path-like
            return file.read()
    data = value.read()
    return data.encode() if isinstance(data, str) else bytes(data)


def _label(schema: Schema) -> str:
    end = target_of(schema)
    if end.name:
        return end.name
    if end.items is not None:
        return f"a list of {_label(end.items)}"
    return " or ".join(sorted(end.types)) if end.types else "JSON"


def _rank(response: Response) -> tuple[int, int]:
    status = _status(response.status)
    if 200 <= status < 300:
        return (0, status)
    return (1, status) if status else (2, 0)


def _status_of(declared: Declared, value: Any) -> int:
    """An error model says its own status; `default` alone stands for 200."""
    if declared.status == 0 or declared.status >= 400:
        own = getattr(value, "status", None)
        if type(own) is int and 200 <= own <= 599:
            return own
    return declared.status or 200


def _anything(value: Any) -> bool:  # noqa: ARG001
    return True
