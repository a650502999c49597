"""An API as its file describes it: operations, parameters, bodies, answers; one form for all
versions of OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pymacaron.openapi.document import Document
from pymacaron.openapi.problems import Problem
from pymacaron.openapi.schema import Dialect, Place, Schema

Where = Literal["path", "query", "header", "cookie", "form"]
Style = Literal[
    "simple", "label", "matrix", "form", "spaceDelimited", "pipeDelimited", "deepObject", "tabs"
]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A value outside of the body, or a field of a Swagger 2.0 form. `media_type`: its text is
    JSON, say."""

    name: str
    where: Where
    schema: Schema
    place: Place
    required: bool = False
    style: Style = "form"
    explode: bool = False
    allow_empty: bool = False
    is_file: bool = False
    media_type: str | None = None


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How one field of a form is written."""

    content_type: str | None = None
    style: Style = "form"
    explode: bool = True


@dataclass(frozen=True, kw_only=True)
class Media:
    """A media type (`*` allowed) and the schema of its content; no schema: anything."""

    type: str
    schema: Schema | None = None
    encoding: Mapping[str, Encoding] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Body:
    """What a request may send. `declared` is False where Swagger 2.0 names no `consumes`."""

    media: tuple[Media, ...]
    required: bool = False
    declared: bool = True
    place: Place | None = None


@dataclass(frozen=True, kw_only=True)
class Response:
    """`status` is "200", "2XX" or "default"."""

    status: str
    media: tuple[Media, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path. `handler` and `decorator` are dotted paths."""

    method: str
    path: str
    place: Place
    id: str | None
    handler: str | None
    decorator: str | None
    parameters: tuple[Parameter, ...]
    body: Body | None
    responses: tuple[Response, ...]
    produces: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.handler or self.id or f"{self.method} {self.path}"


@dataclass(frozen=True, kw_only=True)
class Api:
    """A whole file. `schemas` are the named ones; `base_path` the prefix that basePath or servers
    give."""

    name: str
    version: Dialect
    document: Document
    schemas: Mapping[str, Schema]
    operations: tuple[Operation, ...]
    base_path: str = ""
    warnings: tuple[Problem, ...] = ()
