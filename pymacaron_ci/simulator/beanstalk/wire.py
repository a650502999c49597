"""Requests and answers of AWS's query, ec2 and json protocols, by botocore's service models.

The mirror image of botocore's serializers and parsers: nothing here knows an operation by name.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import cache
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.loaders import Loader
from botocore.model import ServiceModel

# XML 1.0 has no place for these, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class AwsError(Exception):
    """An answer that says no, as AWS words it."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.code, self.message, self.status = code, message, status
        super().__init__(f"{code}: {message}")


@cache
def service_model(service: str) -> Any:
    model = Loader().load_service_model(service, "service-2")
    if service == "elasticbeanstalk":
        # awsebcli has a model of its own, and can't do without this member
        settings = model["shapes"]["ConfigurationSettingsDescription"]["members"]
        settings["Tier"] = {"shape": "EnvironmentTier"}
    return ServiceModel(model, service)


def protocol(service: str) -> str:
    return str(service_model(service).metadata["protocol"])


def operation_of(service: str, headers: Mapping[str, str], body: bytes) -> tuple[Any, Any]:
    """The operation's model, and its parameters in Python's types."""
    model = service_model(service)
    kind = protocol(service)
    if kind == "json":
        name = headers.get("X-Amz-Target", "").rpartition(".")[2]
    else:
        form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        name = form.get("Action", "")
    if name not in model.operation_names:
        raise AwsError("InvalidAction", f"Could not find operation {name or '(none)'}")
    operation = model.operation_model(name)
    if operation.input_shape is None:
        return operation, {}
    if kind == "json":
        try:
            values = json.loads(body or b"{}")
        except ValueError:
            raise AwsError("SerializationException", "the body is not JSON") from None
    else:
        values = _Form(form, ec2=kind == "ec2").structure(operation.input_shape, "")
    problems = list(_violations(operation.input_shape, values, ""))
    if problems:
        plural = "" if len(problems) == 1 else "s"
        raise AwsError(
            "ValidationError",
            f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}",
        )
    return operation, values


class _Form:
    """A flat form read as the nested structure that a shape describes."""

    def __init__(self, form: Mapping[str, str], *, ec2: bool) -> None:
        self._form = form
        self._ec2 = ec2

    def structure(self, shape: Any, prefix: str) -> dict[str, Any]:
        values = {}
        for name, member in shape.members.items():
            where = f"{prefix}.{self._name(member, name)}" if prefix else self._name(member, name)
            value = self._value(member, where)
            if value is not None:
                values[name] = value
        return values

    def _name(self, member: Any, default: str) -> str:
        if not self._ec2:
            return str(member.serialization.get("name", default))
        if "queryName" in member.serialization:
            return str(member.serialization["queryName"])
        name = str(member.serialization.get("name", default))
        return name[:1].upper() + name[1:]

    def _value(self, shape: Any, where: str) -> Any:
        if shape.type_name == "structure":
            return self.structure(shape, where) if self._has(where) else None
        if shape.type_name == "list":
            return self._list(shape, where)
        if shape.type_name == "map":
            return self._map(shape, where)
        text = self._form.get(where)
        return None if text is None else _scalar(shape, text)

    def _has(self, where: str) -> bool:
        return any(key == where or key.startswith(f"{where}.") for key in self._form)

    def _list(self, shape: Any, where: str) -> list[Any] | None:
        if not self._ec2 and not shape.serialization.get("flattened"):
            where = f"{where}.{shape.member.serialization.get('name', 'member')}"
        elif not self._ec2 and "name" in shape.member.serialization:
            where = ".".join([*where.split(".")[:-1], shape.member.serialization["name"]])
        values: list[Any] = []
        while self._has(f"{where}.{len(values) + 1}"):
            values.append(self._value(shape.member, f"{where}.{len(values) + 1}"))
        return values or None

    def _map(self, shape: Any, where: str) -> dict[str, Any] | None:
        if not shape.serialization.get("flattened"):
            where = f"{where}.entry"
        values: dict[str, Any] = {}
        key, value = (
            s.serialization.get("name", d) for s, d in ((shape.key, "key"), (shape.value, "value"))
        )
        while self._has(f"{where}.{len(values) + 1}.{key}"):
            at = f"{where}.{len(values) + 1}"
            values[self._form[f"{at}.{key}"]] = self._value(shape.value, f"{at}.{value}")
        return values or None


def _scalar(shape: Any, text: str) -> Any:
    try:
        if shape.type_name in ("integer", "long"):
            return int(text)
        if shape.type_name in ("float", "double"):
            return float(text)
        if shape.type_name == "timestamp":
            moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
            return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except ValueError:
        raise AwsError("MalformedInput", f"{text!r} is not a {shape.type_name}") from None
    if shape.type_name == "boolean":
        return text.lower() == "true"
    return base64.b64decode(text) if shape.type_name == "blob" else text


def _violations(shape: Any, value: Any, where: str) -> Any:
    """What the model asks of a value and does not get, in AWS's words."""
    bounds = shape.metadata
    if shape.type_name == "structure" and isinstance(value, dict):
        for name in shape.required_members:
            if name not in value:
                at = f"{where}.{_lower(name)}".lstrip(".")
                yield f"Value null at '{at}' failed to satisfy constraint: Member must not be null"
        for name, member in value.items():
            if name in shape.members:
                yield from _violations(
                    shape.members[name], member, f"{where}.{_lower(name)}".lstrip(".")
                )
    elif shape.type_name == "list" and isinstance(value, list):
        for number, member in enumerate(value, 1):
            yield from _violations(shape.member, member, f"{where}.{number}.member")
    elif shape.type_name == "string" and isinstance(value, str):
        rules = []
        if len(value) < bounds.get("min", 0):
            rules.append(f"have length greater than or equal to {bounds['min']}")
        if len(value) > bounds.get("max", len(value)):
            rules.append(f"have length less than or equal to {bounds['max']}")
        if shape.enum and value not in shape.enum:
            rules.append(f"satisfy enum value set: [{', '.join(shape.enum)}]")
        for rule in rules:
            yield f"Value '{value}' at '{where}' failed to satisfy constraint: Member must {rule}"
    elif shape.type_name in ("integer", "long") and not (
        bounds.get("min", value) <= value <= bounds.get("max", value)
    ):
        yield f"Value '{value}' at '{where}' failed to satisfy constraint: out of range"


def _lower(name: str) -> str:
    return name if name[:2].isupper() else name[:1].lower() + name[1:]


def answer(operation: Any, values: Mapping[str, Any], request_id: str) -> tuple[str, bytes]:
    """Content type and body of a good answer."""
    service = operation.service_model.service_name
    kind = protocol(service)
    shape = operation.output_shape
    if kind == "json":
        body = json.dumps(_json(shape, values) if shape else {}).encode()
        return f"application/x-amz-json-{operation.service_model.metadata['jsonVersion']}", body
    namespace = operation.service_model.metadata["xmlNamespace"]
    inner = _members(shape, values) if shape else ""
    if kind == "ec2":
        inner = f"<requestId>{request_id}</requestId>{inner}"
    else:
        wrapper = shape.serialization.get("resultWrapper") if shape else None
        inner = f"<{wrapper}>{inner}</{wrapper}>" if wrapper else inner
        inner += f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
    name = f"{operation.name}Response"
    return "text/xml", f'<{name} xmlns="{namespace}">{inner}</{name}>'.encode()


def error(service: str, problem: AwsError, request_id: str) -> tuple[str, bytes]:
    code, message = _text(problem.code), _text(problem.message)
    kind = protocol(service)
    if kind == "json":
        return "application/x-amz-json-1.1", json.dumps(
            {"__type": problem.code, "message": problem.message}
        ).encode()
    inner = f"<Code>{code}</Code><Message>{message}</Message>"
    if kind == "rest-xml":
        text = f"<Error>{inner}<RequestId>{request_id}</RequestId></Error>"
    elif kind == "ec2":
        text = (
            f"<Response><Errors><Error>{inner}</Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>"
        )
    else:
        side = "Sender" if problem.status < 500 else "Receiver"
        namespace = service_model(service).metadata["xmlNamespace"]
        text = (
            f'<ErrorResponse xmlns="{namespace}"><Error><Type>{side}</Type>{inner}</Error>'
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    return "text/xml", text.encode()


def _members(shape: Any, values: Mapping[str, Any]) -> str:
    unknown = values.keys() - shape.members.keys()
    if unknown:
        raise KeyError(f"{shape.name} has no member {', '.join(sorted(unknown))}")
    parts = []
    for name, member in shape.members.items():
        if values.get(name) is not None:
            parts.append(_xml(member, values[name], member.serialization.get("name", name)))
    return "".join(parts)


def _xml(shape: Any, value: Any, tag: str) -> str:
    if shape.type_name == "structure":
        return f"<{tag}>{_members(shape, value)}</{tag}>"
    if shape.type_name == "list":
        if shape.serialization.get("flattened"):
            return "".join(_xml(shape.member, v, tag) for v in value)
        inner = shape.member.serialization.get("name", "member")
        return f"<{tag}>{''.join(_xml(shape.member, v, inner) for v in value)}</{tag}>"
    if shape.type_name == "map":
        entries = (
            f"<entry>{_xml(shape.key, k, 'key')}{_xml(shape.value, v, 'value')}</entry>"
            for k, v in value.items()
        )
        return f"<{tag}>{''.join(entries)}</{tag}>"
    return f"<{tag}>{_text(_plain(shape, value))}</{tag}>"


def _plain(shape: Any, value: Any) -> str:
    if shape.type_name == "boolean":
        return "true" if value else "false"
    if shape.type_name == "timestamp":
        moment = datetime.fromtimestamp(value, timezone.utc)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    return str(value)


def _json(shape: Any, value: Any) -> Any:
    if shape.type_name == "structure":
        return {
            shape.members[k].serialization.get("name", k): _json(shape.members[k], v)
            for k, v in value.items()
            if v is not None
        }
    if shape.type_name == "list":
        return [_json(shape.member, v) for v in value]
    if shape.type_name == "map":
        return {k: _json(shape.value, v) for k, v in value.items()}
    return base64.b64encode(value).decode() if shape.type_name == "blob" else value


def _text(value: str) -> str:
    return escape(_NOT_XML.sub("?", value))
