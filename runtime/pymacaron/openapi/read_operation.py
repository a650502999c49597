"""Raw operations → Operation: parameters, bodies and answers of Swagger 2.0 and OpenAPI 3 in one
form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

from pymacaron.openapi.api import (
    Body,
    Encoding,
    Media,
    Operation,
    Parameter,
    Response,
    Style,
    Where,
)
from pymacaron.openapi.problems import Problem
from pymacaron.openapi.read_schema import SchemaReader
from pymacaron.openapi.reference import BadReference, Files
from pymacaron.openapi.schema import Dialect, Place

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
TEMPLATE = re.compile(r"\{([^{}]*)\}")
STATUS = re.compile(r"[1-5](?:\d\d|XX)|default")
DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
COLLECTIONS: dict[str, tuple[Style, bool]] = {
    "csv": ("form", False),
    "ssv": ("spaceDelimited", False),
    "tsv": ("tabs", False),
    "pipes": ("pipeDelimited", False),
    "multi": ("form", True),
}
STYLES = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}
NOT_HEADERS = ("accept", "content-type", "authorization")  # OpenAPI 3: to be ignored
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
JSON = "application/json"


class OperationReader:
    def __init__(
        self,
        files: Files,
        version: Dialect,
        schemas: SchemaReader,
        problems: list[Problem],
        root: dict[str, Any],
    ) -> None:
        self.files = files
        self.version = version
        self.schemas = schemas
        self.problems = problems
        self.root = root

    def problem(self, place: Place, text: str) -> None:
        self.problems.append(place.document.problem(text, place.pointer))

    def read(
        self, path: str, method: str, at: Place, item: dict[str, Any], raw: dict[str, Any]
    ) -> Operation:
        place = at / method.lower()
        listed = self._parameters(at, item, place, raw)
        parameters = tuple(self._convert(listed))
        self._path_parameters(path, place, parameters)
        body = self._body_2(listed, raw) if self.version == "2.0" else self._body_3(place, raw)
        operation_id = raw.get("operationId")
        if operation_id is not None and not isinstance(operation_id, str):
            self.problem(place / "operationId", "operationId must be a text")
            operation_id = None
        handler = self._dotted(place, raw, "x-bind-server")
        if handler is None and operation_id and DOTTED.fullmatch(operation_id):
            handler = operation_id
        return Operation(
            method=method,
            path=path,
            place=place,
            id=operation_id,
            handler=handler,
            decorator=self._dotted(place, raw, "x-decorate-server"),
            parameters=parameters,
            body=body,
            responses=tuple(self._responses(place, raw)),
            produces=tuple(self._types("produces", raw)) if self.version == "2.0" else (),
        )

    def _dotted(self, place: Place, raw: dict[str, Any], keyword: str) -> str | None:
        value = raw.get(keyword)
        if value is None:
            return None
        if not isinstance(value, str) or not DOTTED.fullmatch(value.strip()):
            self.problem(place / keyword, f"{keyword} must be a dotted path: pkg.module.function")
            return None
        return value.strip()

    def _follow(self, place: Place, raw: Any) -> tuple[Place, Any]:
        for _ in range(20):
            if not isinstance(raw, dict) or not isinstance(raw.get("$ref"), str):
                break
            try:
                place, raw = self.files.follow(place / "$ref", raw["$ref"])
            except BadReference as error:
                self.problem(place / "$ref", str(error))
                return place, None
        return place, raw

    def _parameters(
        self, at: Place, item: dict[str, Any], place: Place, raw: dict[str, Any]
    ) -> list[tuple[Place, dict[str, Any]]]:
        """Those of the path and those of the operation, which win."""
        found: dict[tuple[str, str], tuple[Place, dict[str, Any]]] = {}
        for owner, values in ((at, item.get("parameters")), (place, raw.get("parameters"))):
            if values is None:
                continue
            where = owner / "parameters"
            if not isinstance(values, list):
                self.problem(where, "parameters must be a list")
                continue
            own: set[tuple[str, str]] = set()
            for index, entry in enumerate(values):
                spot, parameter = self._follow(where / index, entry)
                if parameter is None:
                    continue
                if not self._named(spot, parameter):
                    continue
                key = (parameter["in"], parameter["name"])
                if key in own:
                    self.problem(spot, f"the {key[0]} parameter {key[1]!r} is declared twice")
                own.add(key)
                found[key] = (spot, parameter)
        return list(found.values())

    def _named(self, place: Place, raw: Any) -> bool:
        if not isinstance(raw, dict):
            self.problem(place, "a parameter must be an object")
            return False
        allowed = ("path", "query", "header") + (
            ("body", "formData") if self.version == "2.0" else ("cookie",)
        )
        if not isinstance(raw.get("name"), str) or not raw["name"]:
            self.problem(place, "a parameter needs a name")
            return False
        if raw.get("in") not in allowed:
            self.problem(place, f"a parameter's `in` must be one of {', '.join(allowed)}")
            return False
        return True

    def _convert(self, listed: list[tuple[Place, dict[str, Any]]]) -> Iterator[Parameter]:
        for place, raw in listed:
            if raw["in"] == "body":
                continue
            if (
                raw["in"] == "header"
                and self.version != "2.0"
                and raw["name"].lower() in NOT_HEADERS
            ):
                continue
            parameter = (
                self._parameter_2(place, raw)
                if self.version == "2.0"
                else self._parameter_3(place, raw)
            )
            if parameter is not None:
                yield parameter

    def _parameter_2(self, place: Place, raw: dict[str, Any]) -> Parameter | None:
        if "type" not in raw:
            self.problem(place, f"the parameter {raw['name']!r} needs a type")
            return None
        where = {"formData": "form"}.get(raw["in"], raw["in"])
        collection = raw.get("collectionFormat", "csv")
        if collection not in COLLECTIONS:
            self.problem(
                place / "collectionFormat",
                f"collectionFormat must be one of {', '.join(COLLECTIONS)}",
            )
            return None
        style, explode = COLLECTIONS[collection]
        words = {k: v for k, v in raw.items() if k not in ("required", "name", "in")}
        return Parameter(
            name=raw["name"],
            where=cast(Where, where),
            schema=self.schemas.read(place, words),
            place=place,
            required=raw.get("required") is True,
            style="simple" if where in ("path", "header") and style == "form" else style,
            explode=explode,
            allow_empty=raw.get("allowEmptyValue") is True,
            is_file=raw["type"] == "file",
        )

    def _parameter_3(self, place: Place, raw: dict[str, Any]) -> Parameter | None:
        where = raw["in"]
        style = raw.get("style", "form" if where in ("query", "cookie") else "simple")
        if style not in STYLES[where]:
            self.problem(
                place / "style",
                f"the style of a {where} parameter must be one of {', '.join(STYLES[where])}",
            )
            return None
        media_type = None
        if "content" in raw:
            content = raw["content"]
            if not isinstance(content, dict) or len(content) != 1:
                self.problem(place / "content", "a parameter's content must be one media type")
                return None
            media_type, inner = next(iter(content.items()))
            at = place / "content" / media_type / "schema"
            words = inner.get("schema", {}) if isinstance(inner, dict) else {}
        elif "schema" in raw:
            at, words = place / "schema", raw["schema"]
        else:
            self.problem(place, f"the parameter {raw['name']!r} needs a schema")
            return None
        return Parameter(
            name=raw["name"],
            where=cast(Where, where),
            schema=self.schemas.read(at, words),
            place=place,
            required=raw.get("required") is True,
            style=cast(Style, style),
            explode=bool(raw.get("explode", style == "form")),
            allow_empty=raw.get("allowEmptyValue") is True,
            media_type=media_type,
        )

    def _path_parameters(self, path: str, place: Place, parameters: tuple[Parameter, ...]) -> None:
        names = TEMPLATE.findall(path)
        for name in names:
            if not name:
                self.problem(place, f"the path {path!r} has braces without a name")
            elif names.count(name) > 1:
                self.problem(place, f"the path {path!r} names {name!r} twice")
        declared = {p.name: p for p in parameters if p.where == "path"}
        for name in dict.fromkeys(n for n in names if n):
            if name not in declared:
                self.problem(
                    place, f"the path has {{{name}}}, but no path parameter {name!r} is declared"
                )
        for name, parameter in declared.items():
            if name not in names:
                self.problem(
                    parameter.place, f"the path parameter {name!r} is not part of {path!r}"
                )
            elif not parameter.required:
                self.problem(
                    parameter.place, f"the path parameter {name!r} must say `required: true`"
                )
        text = TEMPLATE.sub("", path)
        if "{" in text or "}" in text:
            self.problem(place, f"the braces of the path {path!r} don't match")

    def _types(self, keyword: str, raw: dict[str, Any]) -> list[str]:
        value = raw.get(keyword, self.root.get(keyword))
        return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []

    def _body_2(
        self, listed: list[tuple[Place, dict[str, Any]]], raw: dict[str, Any]
    ) -> Body | None:
        bodies = [(p, r) for p, r in listed if r["in"] == "body"]
        forms = [(p, r) for p, r in listed if r["in"] == "formData"]
        consumes = self._types("consumes", raw)
        if bodies and forms:
            self.problem(bodies[0][0], "an operation has either a body or formData, not both")
        if len(bodies) > 1:
            self.problem(bodies[1][0], "an operation has at most one body")
        if bodies:
            place, body = bodies[0]
            if "schema" not in body:
                self.problem(place, "a body parameter needs a schema")
                return None
            schema = self.schemas.read(place / "schema", body["schema"])
            media = tuple(Media(type=t, schema=schema) for t in consumes or (JSON, *FORMS))
            return Body(
                media=media,
                required=body.get("required") is True,
                declared=bool(consumes),
                place=place,
            )
        if forms:
            types = [t for t in consumes if t in FORMS] or list(FORMS)
            return Body(
                media=tuple(Media(type=t) for t in types),
                required=any(r.get("required") is True for _, r in forms),
                declared=bool(consumes),
                place=forms[0][0],
            )
        return None

    def _body_3(self, place: Place, raw: dict[str, Any]) -> Body | None:
        if "requestBody" not in raw:
            return None
        at, body = self._follow(place / "requestBody", raw["requestBody"])
        if body is None:
            return None
        if not isinstance(body, dict) or not isinstance(body.get("content"), dict):
            self.problem(at, "a requestBody needs `content`: media types and their schemas")
            return None
        return Body(
            media=tuple(self._media(at / "content", body["content"])),
            required=body.get("required") is True,
            place=at,
        )

    def _media(self, at: Place, content: dict[str, Any]) -> Iterator[Media]:
        for name, raw in content.items():
            if raw is not None and not isinstance(raw, dict):
                self.problem(at / name, "a media type must be an object")
                continue
            raw = raw or {}
            schema = None
            if "schema" in raw:
                schema = self.schemas.read(at / name / "schema", raw["schema"])
            encodings = raw.get("encoding") or {}
            yield Media(
                type=name.split(";")[0].strip().lower(),
                schema=schema,
                encoding={
                    k: Encoding(
                        content_type=v.get("contentType"),
                        style=v.get("style", "form"),
                        explode=bool(v.get("explode", v.get("style", "form") == "form")),
                    )
                    for k, v in encodings.items()
                    if isinstance(v, dict)
                },
            )

    def _responses(self, place: Place, raw: dict[str, Any]) -> Iterator[Response]:
        responses = raw.get("responses")
        if responses is None and self.version == "3.1":
            return
        if not isinstance(responses, dict) or not responses:
            self.problem(place, "an operation needs responses, with at least one")
            return
        for status, entry in responses.items():
            if status.startswith("x-"):
                continue
            if not STATUS.fullmatch(status):
                self.problem(
                    place / "responses" / status,
                    f"{status!r} is no status: write 200, 2XX or default",
                )
                continue
            at, response = self._follow(place / "responses" / status, entry)
            if not isinstance(response, dict):
                if response is not None:
                    self.problem(at, "a response must be an object")
                continue
            yield Response(status=status, media=tuple(self._answers(at, response, raw)))

    def _answers(self, at: Place, response: dict[str, Any], raw: dict[str, Any]) -> Iterator[Media]:
        if self.version == "2.0":
            if "schema" in response:
                schema = self.schemas.read(at / "schema", response["schema"])
                for name in self._types("produces", raw) or [JSON]:
                    yield Media(type=name.split(";")[0].strip().lower(), schema=schema)
            return
        content = response.get("content")
        if isinstance(content, dict):
            yield from self._media(at / "content", content)
        elif content is not None:
            self.problem(at / "content", "content must be an object of media types")
