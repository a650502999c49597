"""Checks HTTP requests and answers against Google's own API discovery documents.

They ship with google-api-python-client; this module finds them without importing it, so that
whoever wrote a client or a simulator is judged by something else. What the documents do not say is
not checked: lengths, rules between fields, permissions, conflicts.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import functools
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

Schema = Mapping[str, Any]
INT_RANGE = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
DURATION = re.compile(r"-?\d{1,12}(\.\d{1,9})?s")
DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
MASK_PART = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|\*|`[^`]+`")
CANONICAL = {  # google.rpc.Code → HTTP status
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
}


@dataclass(frozen=True)
class Problem:
    """`where` reads like `query.updateMask` or `body.template.containers[0].imag`."""

    level: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.level}: {self.where}: {self.what}"


def documents_folder() -> Path:
    spec = importlib.util.find_spec("googleapiclient")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("no discovery documents: pip install google-api-python-client")
    return Path(next(iter(spec.submodule_search_locations))) / "discovery_cache" / "documents"


class Checker:
    """The methods and schemas of one API: `Checker("run.v2")`."""

    def __init__(self, api: str) -> None:
        document = json.loads((documents_folder() / f"{api}.json").read_text(encoding="utf-8"))
        self.api = api
        self._schemas: Mapping[str, Schema] = document.get("schemas", {})
        self._parameters: Mapping[str, Schema] = document.get("parameters", {})
        below = document.get("servicePath", "")
        found = [(m["httpMethod"], _path_regex(below, m), m) for m in _walk(document)]
        # most literal characters first, so that ":wait" beats "{+name}"
        self._methods = sorted(found, key=lambda t: -len(re.sub(r"\{[^}]*\}", "", t[2]["path"])))

    def find(self, http_method: str, path: str) -> Schema | None:
        """By the path as it was sent: a %2F is part of a name."""
        for verb, pattern, method in self._methods:
            if verb == http_method.upper() and (
                pattern.fullmatch(path) or pattern.fullmatch(unquote(path))
            ):
                return method
        return None

    def request(self, http_method: str, url: str, body: Any = None) -> list[Problem]:
        parts = urlsplit(url)
        path = parts.path
        method = self.find(http_method, path)
        if method is None:
            fits = (verb for verb, regex, _ in self._methods if regex.fullmatch(unquote(path)))
            other = sorted(set(fits))
            hint = f" (this path answers to {', '.join(other)})" if other else ""
            text = f"no {self.api} method for {http_method} {path}{hint}"
            return [Problem("error", "path", text)]
        problems = list(self._query(method, parse_qsl(parts.query, keep_blank_values=True)))
        ref = method.get("request", {}).get("$ref")
        if ref is None:
            if body not in (None, {}, b"", ""):
                problems.append(Problem("error", "body", f"{method['id']} takes no request body"))
        elif body is None:
            needed = http_method.upper() in ("PUT", "PATCH") or method["id"].endswith(
                (".create", ".setIamPolicy")
            )
            # an all-default message may be sent as an empty body
            text = f"{method['id']} takes a {ref} body, none sent"
            problems.append(Problem("error" if needed else "warning", "body", text))
        else:
            problems += self._value({"$ref": ref}, body, "body", method)
        return problems

    def response(self, http_method: str, url: str, body: Any) -> list[Problem]:
        """A 2xx answer of a simulator, against the method's response schema."""
        path = urlsplit(url).path
        method = self.find(http_method, path)
        if method is None:
            return [Problem("error", "path", f"no {self.api} method for {http_method} {path}")]
        ref = method.get("response", {}).get("$ref")
        if ref is None:
            answered = body not in (None, {})
            text = f"{method['id']} answers nothing"
            return [Problem("error", "response", text)] if answered else []
        problems = self._value({"$ref": ref}, body, "response", None)
        # Operation.response and metadata hold any message: their @type says which
        for key in ("response", "metadata"):
            inner = body.get(key) if isinstance(body, dict) else None
            if isinstance(inner, dict) and "@type" in inner and ref.endswith("Operation"):
                problems += self._any(inner, f"response.{key}")
        return problems

    def _any(self, value: Mapping[str, Any], where: str) -> list[Problem]:
        kind = str(value["@type"])
        name = kind.rsplit("/", 1)[-1]
        if not kind.startswith("type.googleapis.com/"):
            return [Problem("error", f"{where}.@type", "must start with type.googleapis.com/")]
        identifier = "".join(part[:1].upper() + part[1:] for part in name.split("."))
        for candidate in (identifier, name.rsplit(".", 1)[-1]):
            if candidate in self._schemas:
                rest = {key: item for key, item in value.items() if key != "@type"}
                return self._value({"$ref": candidate}, rest, where, None)
        if name.endswith("Empty"):
            return []
        return [Problem("warning", f"{where}.@type", f"no schema for {name}")]

    # the query

    def _query(self, method: Schema, pairs: Sequence[tuple[str, str]]) -> Iterator[Problem]:
        own = {
            name: spec
            for name, spec in method.get("parameters", {}).items()
            if spec.get("location") == "query"
        }
        seen: set[str] = set()
        for name, value in pairs:
            where = f"query.{name}"
            spec = own.get(name) or self._parameters.get(name)
            if spec is None:
                known = ", ".join(sorted(own)) or "none"
                text = f"unknown parameter of {method['id']}; known: {known}"
                yield Problem("error", where, text)
                continue
            if name in seen and not spec.get("repeated"):
                yield Problem("error", where, "given more than once")
            seen.add(name)
            if spec.get("deprecated"):
                yield Problem("warning", where, "deprecated")
            yield from self._parameter(method, spec, value, where)
        for name, spec in own.items():
            if spec.get("required") and name not in seen:
                yield Problem("error", f"query.{name}", "required parameter missing")

    def _parameter(self, method: Schema, spec: Schema, value: str, where: str) -> Iterator[Problem]:
        kind = spec.get("type")
        if kind == "boolean" and value not in ("true", "false"):
            yield Problem("error", where, f"boolean must be true or false, not {value!r}")
        elif kind == "integer":
            if re.fullmatch(r"-?\d+", value):
                yield from _int_range(int(value), spec.get("format"), where)
            else:
                yield Problem("error", where, f"not an integer: {value!r}")
        elif "enum" in spec and value not in spec["enum"]:
            yield Problem("error", where, f"{value!r} is not one of {spec['enum']}")
        elif spec.get("format") == "google-fieldmask":
            yield from self._mask(value, method.get("request", {}).get("$ref"), where)

    def _mask(self, mask: str, ref: str | None, where: str) -> Iterator[Problem]:
        if mask == "":
            yield Problem("warning", where, "empty mask: the server takes its default")
            return
        for path in mask.split(","):
            if path == "*":
                continue
            if not path or path != path.strip():
                yield Problem("error", where, f"blank or empty path in mask {mask!r}")
                continue
            yield from self._mask_path(path, {"$ref": ref} if ref else None, where)

    def _mask_path(self, path: str, schema: Schema | None, where: str) -> Iterator[Problem]:
        for part in re.findall(MASK_PART, path):
            schema = self._resolved(schema) if schema else None
            if schema is None:
                return
            if "additionalProperties" in schema and "properties" not in schema:
                schema = schema["additionalProperties"]
                continue
            if schema.get("type") == "array":
                yield Problem("error", where, f"{path!r} reaches into a repeated field")
                return
            fields = schema.get("properties", {})
            camel = _camel(part)
            if part not in fields and camel in fields:
                text = f"{part!r} is snake_case; proto3 JSON masks are lowerCamelCase ({camel!r})"
                yield Problem("warning", where, text)
                part = camel
            if part not in fields:
                yield Problem("error", where, f"{path!r}: no field {part!r}")
                return
            schema = fields[part]
            if schema and schema.get("readOnly"):
                yield Problem("error", where, f"{path!r}: {part!r} is output-only")

    # values

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            read_only = {"readOnly": True} if schema.get("readOnly") else {}
            schema = {**self._schemas[schema["$ref"]], **read_only}
        return schema

    def _value(
        self, schema: Schema, value: Any, where: str, request: Schema | None
    ) -> list[Problem]:
        """`request` is the method whose request this is part of; None in an answer."""
        schema = self._resolved(schema)
        kind = schema.get("type")
        if kind == "any":
            return []
        if value is None:
            return [Problem("warning", where, "null: leave the field out instead")]
        if kind == "object":
            return self._object(schema, value, where, request)
        if kind == "array":
            if not isinstance(value, list):
                return [Problem("error", where, f"expected an array, got {_kind(value)}")]
            items = (
                self._value(schema["items"], item, f"{where}[{index}]", request)
                for index, item in enumerate(value)
            )
            return [problem for problems in items for problem in problems]
        return list(_scalar(schema, value, where, request is not None))

    def _object(
        self, schema: Schema, value: Any, where: str, request: Schema | None
    ) -> list[Problem]:
        if not isinstance(value, dict):
            return [Problem("error", where, f"expected an object, got {_kind(value)}")]
        found: list[Problem] = []
        fields = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        for key, item in value.items():
            place = f"{where}.{key}"
            if key in fields:
                if request and fields[key].get("readOnly"):
                    text = "output-only: the server ignores it in a request"
                    found.append(Problem("warning", place, text))
                    continue
                if request and fields[key].get("deprecated"):
                    found.append(Problem("warning", place, "deprecated"))
                found += self._value(fields[key], item, place, request)
            elif extra is not None:
                found += self._value(extra, item, place, request)
            elif fields:
                text = f"unknown field of {schema.get('id', 'object')}{_near(key, fields)}"
                found.append(Problem("error", place, text))
        if request and request["httpMethod"] == "POST":
            found += [
                Problem("error", f"{where}.{key}", "required field missing")
                for key, spec in fields.items()
                if key not in value and _is_required(spec)
            ]
        return found


def error(body: Any, http_status: int | None = None) -> list[Problem]:
    """The envelope {"error": {"code": 404, "message": "…", "status": "NOT_FOUND"}}."""
    inner = body.get("error") if isinstance(body, dict) else None
    if not isinstance(inner, dict):
        return [Problem("error", "error", "no {'error': {...}} envelope")]
    found = [
        Problem("error", f"error.{key}", f"missing or not {kind.__name__}")
        for key, kind in (("code", int), ("message", str), ("status", str))
        if not isinstance(inner.get(key), kind)
    ]
    code, status = inner.get("code"), inner.get("status", "")
    if status not in CANONICAL:
        found.append(Problem("error", "error.status", f"{status!r} is no google.rpc.Code"))
    elif CANONICAL[status] != code:
        text = f"{status} goes with {CANONICAL[status]}, not {code}"
        found.append(Problem("error", "error.code", text))
    if http_status not in (None, code):
        found.append(Problem("error", "error.code", f"HTTP status is {http_status}"))
    for index, detail in enumerate(inner.get("details", [])):
        if not str(detail.get("@type", "")).startswith("type.googleapis.com/"):
            found.append(Problem("error", f"error.details[{index}]", "needs an @type"))
    return found


def _walk(node: Schema) -> Iterator[Schema]:
    yield from node.get("methods", {}).values()
    for inner in node.get("resources", {}).values():
        yield from _walk(inner)


def _path_regex(below: str, method: Schema) -> re.Pattern[str]:
    out = [re.escape(below)]
    for literal, plus, name in re.findall(r"([^{]+)|\{(\+?)([^}]+)\}", method["path"]):
        if literal:
            out.append(re.escape(literal))
            continue
        pattern = method.get("parameters", {}).get(name, {}).get("pattern", "")
        pattern = pattern.removeprefix("^").removesuffix("$")
        if not pattern:
            pattern = r".+" if plus else r"[^/:]+"
        elif plus:  # before ":verb" it must not swallow the verb; a digest has a colon of its own
            pattern = pattern.replace("[^/]+", "(?:sha256:)?[^/:]+")
        out.append(f"({pattern})")
    return re.compile("/" + "".join(out))


def _scalar(schema: Schema, value: Any, where: str, request: bool) -> Iterator[Problem]:
    kind = schema.get("type")
    if kind == "boolean" and not isinstance(value, bool):
        yield Problem("error", where, f"expected a boolean, got {_kind(value)}")
    elif kind == "integer":
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole:
            yield Problem("error", where, f"expected an integer, got {_kind(value)}")
        else:
            yield from _int_range(int(value), schema.get("format"), where)
    elif kind == "number":
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number and value not in ("NaN", "Infinity", "-Infinity"):
            yield Problem("error", where, f"expected a number, got {_kind(value)}")
    elif kind == "string" and schema.get("format") in ("int64", "uint64"):
        yield from _long(schema["format"], value, where, request)
    elif kind == "string":
        yield from _string(schema, value, where)


def _long(format_: str, value: Any, where: str, request: bool) -> Iterator[Problem]:
    if isinstance(value, int) and not isinstance(value, bool):
        level = "warning" if request else "error"
        yield Problem(level, where, f"{format_} is a JSON string in this API")
        value = str(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        yield from _int_range(int(value), format_, where)
    else:
        yield Problem("error", where, f"not a decimal {format_} string: {value!r}")


def _string(schema: Schema, value: Any, where: str) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield Problem("error", where, f"expected a string, got {_kind(value)}")
        return
    format_ = schema.get("format")
    if "enum" in schema and value not in schema["enum"]:
        yield Problem("error", where, f"{value!r} is not one of {', '.join(schema['enum'])}")
    if format_ == "google-duration" and not DURATION.fullmatch(value):
        yield Problem("error", where, f"not a duration such as 300s: {value!r}")
    elif format_ == "google-datetime" and not DATETIME.fullmatch(value):
        yield Problem("error", where, f"not an RFC 3339 time: {value!r}")
    elif format_ == "byte":
        try:
            base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            yield Problem("error", where, "not base64")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield Problem("error", where, f"does not match {schema['pattern']}")


def _int_range(value: int, format_: str | None, where: str) -> Iterator[Problem]:
    low, high = INT_RANGE.get(format_ or "int32", INT_RANGE["int64"])
    if not low <= value <= high:
        yield Problem("error", where, f"{value} is out of range for {format_}")


def _is_required(spec: Schema) -> bool:
    description = str(spec.get("description", "")).lstrip()
    return not spec.get("readOnly") and description.startswith(("Required.", "REQUIRED"))


def _kind(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}
    return f"{names.get(type(value), type(value).__name__)} {value!r}"[:60]


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def _near(key: str, fields: Iterable[str]) -> str:
    if _camel(key) in fields:
        return f" (JSON name: {_camel(key)!r})"
    near = difflib.get_close_matches(key, list(fields), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


# Which document an URL belongs to. The second half of each pattern tells APIs apart by path, for a
# simulator that serves all of them from one address.
ROUTES: Sequence[tuple[str, str, str]] = (
    ("run", r"/v2/projects/[^/]+/locations/", "run.v2"),
    ("run", r"/v1/projects/[^/]+/locations$", "run.v1"),
    ("run", r"/apis/", "run.v1"),
    ("compute", r"/compute/v1/", "compute.v1"),
    ("container", r"/v1/projects/[^/]+/locations/[^/]+/(clusters|operations)", "container.v1"),
    ("artifactregistry", r"/v1/projects/[^/]+/locations/[^/]+/repositories", "artifactregistry.v1"),
    ("secretmanager", r"/v1/projects/[^/]+/secrets", "secretmanager.v1"),
    ("iamcredentials", r"/v1/projects/-/serviceAccounts/[^/]+:generate", "iamcredentials.v1"),
    ("iam", r"/v1/projects/[^/]+/serviceAccounts", "iam.v1"),
    ("serviceusage", r"/v1/projects/[^/]+/services", "serviceusage.v1"),
    ("cloudresourcemanager", r"/v3/", "cloudresourcemanager.v3"),
    ("cloudresourcemanager", r"/v1/projects/[^/]+(:\w+)?$", "cloudresourcemanager.v1"),
    ("sts", r"/v1/token$", "sts.v1"),
    ("logging", r"/v2/entries:list$", "logging.v2"),
    ("orgpolicy", r"/v2/projects/[^/]+/policies/", "orgpolicy.v2"),
)


def document_for(url: str) -> str | None:
    """By the real host where there is one, else by the path alone."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    for api, pattern, document in ROUTES:
        real = host.endswith("googleapis.com")
        if real and not host.endswith(f"{api}.googleapis.com"):
            continue
        if re.match(pattern, unquote(parts.path)):
            return document
    return None


@functools.cache
def checker(api: str) -> Checker:
    return Checker(api)


def check_request(http_method: str, url: str, body: Any = None) -> list[Problem]:
    """A request with whatever host, against the document that its URL belongs to."""
    document = document_for(url)
    if document is None:
        return [Problem("error", "url", f"no discovery document known for {url}")]
    return checker(document).request(http_method, url, _parsed(body))


def check_answer(http_method: str, url: str, status: int, body: Any) -> list[Problem]:
    document = document_for(url)
    if document is None:
        return [Problem("error", "url", f"no discovery document known for {url}")]
    if status >= 400:
        return error(body, status)
    return checker(document).response(http_method, url, body)


def _parsed(body: Any) -> Any:
    """Bytes and text as JSON, or as a form, whose names are snake_case (RFC 8693)."""
    text = body.decode() if isinstance(body, bytes) else body
    if not isinstance(text, str):
        return text
    if not text.strip():
        return None
    if text.lstrip().startswith("{"):
        return json.loads(text)
    return {_camel(key): value for key, value in parse_qsl(text)}


@dataclass
class Recorder:
    """A hook for requests' sessions: judges every request sent and every answer.

    `session.hooks["response"].append(recorder.hook)`; then `recorder.errors` must be empty.
    """

    calls: list[tuple[str, str]] = field(default_factory=list)
    problems: list[tuple[str, Problem]] = field(default_factory=list)

    def hook(self, response: Any, *_args: Any, **_kwargs: Any) -> Any:
        request = response.request
        found = check_request(request.method, request.url, request.body)
        if "json" in response.headers.get("Content-Type", ""):
            found += check_answer(
                request.method, request.url, response.status_code, response.json()
            )
        self.calls.append((request.method, request.url))
        self.problems += [(f"{request.method} {request.url}", problem) for problem in found]
        return response

    @property
    def errors(self) -> list[str]:
        return [f"{call}: {p}" for call, p in self.problems if p.level == "error"]
