"""A file → an Api, or a SpecError with every problem of the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pymacaron.openapi.api import Api, Operation
from pymacaron.openapi.document import Document
from pymacaron.openapi.problems import Problem, SpecError
from pymacaron.openapi.read_operation import METHODS, OperationReader
from pymacaron.openapi.read_schema import SchemaReader
from pymacaron.openapi.reference import BadReference, Files
from pymacaron.openapi.schema import Dialect, Place, Schema

TEMPLATE = re.compile(r"\{([^{}]*)\}")


def load(path: str | Path, name: str | None = None) -> Api:
    """Reads an API file and all it refers to. `name` is the API's (default: the file's, without its
    extension).

    Raises SpecError with every problem found, each with file, line and JSON pointer."""
    file = Path(path)
    files = Files()
    document = files.open(file, str(path))
    return _Reader(files, document, name or file.stem).read()


class _Reader:
    def __init__(self, files: Files, document: Document, name: str) -> None:
        self.files = files
        self.document = document
        self.name = name
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.root = Place(document, "")

    def problem(self, place: Place, text: str) -> None:
        self.problems.append(place.document.problem(text, place.pointer))

    def read(self) -> Api:
        data = self.document.data
        version = self._version(data)
        schemas = SchemaReader(self.files, version, self.problems, self.warnings)
        named = self._named(data, version, schemas)
        operations = self._operations(data, version, schemas)
        base_path = self._base_path(data, version)
        if self.problems:
            raise SpecError(_in_order(self.problems))
        return Api(
            name=self.name,
            version=version,
            document=self.document,
            schemas=named,
            operations=tuple(operations),
            base_path=base_path,
            warnings=tuple(self.warnings),
        )

    def _version(self, data: Any) -> Dialect:
        if not isinstance(data, dict):
            raise SpecError([self.document.problem("not an OpenAPI file: it holds no mapping")])
        swagger, openapi = data.get("swagger"), data.get("openapi")
        if swagger is not None:
            if str(swagger) == "2.0":
                return "2.0"
            raise self._unknown("swagger", f"swagger {swagger} is not known: 2.0 is")
        if openapi is None:
            raise SpecError(
                [
                    self.document.problem(
                        'not an OpenAPI file: it has neither swagger: "2.0" nor openapi: "3.x.y"'
                    )
                ]
            )
        if str(openapi).startswith("3.0"):
            return "3.0"
        if str(openapi).startswith("3.1"):
            dialect = data.get("jsonSchemaDialect")
            if (
                dialect is not None
                and "2020-12" not in str(dialect)
                and "oas/3.1" not in str(dialect)
            ):
                raise self._unknown(
                    "jsonSchemaDialect", f"the schema dialect {dialect} is not supported"
                )
            return "3.1"
        raise self._unknown("openapi", f"OpenAPI {openapi} is not supported: 3.0 and 3.1 are")

    def _unknown(self, key: str, text: str) -> SpecError:
        return SpecError([self.document.problem(text, f"/{key}")])

    def _named(
        self, data: dict[str, Any], version: Dialect, reader: SchemaReader
    ) -> dict[str, Schema]:
        if version == "2.0":
            place, raw = self.root / "definitions", data.get("definitions") or {}
        else:
            components = data.get("components") or {}
            if not isinstance(components, dict):
                self.problem(self.root / "components", "components must be an object")
                return {}
            place, raw = self.root / "components" / "schemas", components.get("schemas") or {}
        if not isinstance(raw, dict):
            self.problem(place, "the schemas must be an object of named schemas")
            return {}
        return {name: reader.read(place / name, schema, name) for name, schema in raw.items()}

    def _operations(
        self, data: dict[str, Any], version: Dialect, schemas: SchemaReader
    ) -> list[Operation]:
        paths = data.get("paths")
        place = self.root / "paths"
        if paths is None:
            if version == "2.0" or version == "3.0":
                self.problem(self.root, "paths is missing; write `paths: {}` if there are none")
            return []
        if not isinstance(paths, dict):
            self.problem(place, "paths must be an object")
            return []
        reader = OperationReader(self.files, version, schemas, self.problems, data)
        operations: list[Operation] = []
        shapes: dict[str, dict[str, str]] = {}
        ids: dict[str, str] = {}
        for path, item in paths.items():
            at = place / path
            if path.startswith("x-"):
                continue
            if not path.startswith("/"):
                self.problem(at, f"the path {path!r} must start with /")
                continue
            self._same_shape(path, at, item, shapes)
            operations += self._path(path, at, item, reader, ids)
        return operations

    def _same_shape(
        self, path: str, at: Place, item: Any, shapes: dict[str, dict[str, str]]
    ) -> None:
        """Two paths that differ only in the names of their parameters serve different methods at
        most."""
        methods = shapes.setdefault(TEMPLATE.sub("{}", path), {})
        for method in item if isinstance(item, dict) else ():
            if method.lower() not in METHODS:
                continue
            other = methods.setdefault(method.lower(), path)
            if other != path:
                self.problem(at, f"the path {path!r} is the same as {other!r}")
                return

    def _path(
        self, path: str, at: Place, item: Any, reader: OperationReader, ids: dict[str, str]
    ) -> list[Operation]:
        if isinstance(item, dict) and "$ref" in item:
            try:
                at, found = self.files.follow(at / "$ref", item["$ref"])
            except BadReference as error:
                self.problem(at / "$ref", str(error))
                return []
            item = {**found, **{k: v for k, v in item.items() if k != "$ref"}} if isinstance(
                found, dict) else found  # fmt: skip
        if not isinstance(item, dict):
            self.problem(at, "a path must be an object of methods")
            return []
        operations = []
        for key, raw in item.items():
            if key.lower() in METHODS:
                if not isinstance(raw, dict):
                    self.problem(at / key, "an operation must be an object")
                    continue
                operation = reader.read(path, key.upper(), at, item, raw)
                operations.append(operation)
                if operation.id is not None:
                    where = f"{operation.method} {path}"
                    if operation.id in ids and not _is_path(operation.id):
                        self.problem(
                            at / key / "operationId",
                            f"the operationId {operation.id!r} is used twice: {ids[operation.id]}"
                            f" has it too",
                        )
                    ids.setdefault(operation.id, where)
            elif key not in ("parameters", "summary", "description", "servers", "$ref") and (
                not key.startswith("x-")
            ):
                self.problem(at / key, f"{key!r} is neither a method nor anything else a path has")
        return operations

    def _base_path(self, data: dict[str, Any], version: Dialect) -> str:
        if version == "2.0":
            base = data.get("basePath") or ""
            if not isinstance(base, str) or (base and not base.startswith("/")):
                self.problem(self.root / "basePath", "basePath must be a text that starts with /")
                return ""
            return base.rstrip("/")
        servers = data.get("servers")
        if not isinstance(servers, list) or not servers or not isinstance(servers[0], dict):
            return ""
        url = str(servers[0].get("url", ""))
        for name, variable in (servers[0].get("variables") or {}).items():
            url = url.replace("{" + name + "}", str(variable.get("default", "")))
        return urlsplit(url).path.rstrip("/")


def _is_path(operation_id: str) -> bool:
    """An operationId that names a handler (2.x): several operations may share one."""
    return "." in operation_id


def _in_order(problems: list[Problem]) -> list[Problem]:
    unique = {(p.file, p.pointer, p.text): p for p in problems}
    return sorted(unique.values(), key=lambda p: (p.file, p.line or 0))
