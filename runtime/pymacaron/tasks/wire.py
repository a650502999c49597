"""A task's arguments and results as JSON, and back as what they were: models at any depth, dates,
decimals, bytes. Nothing here imports or runs what a message names."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, EnumMeta
from typing import Any
from uuid import UUID

from pymacaron.config import get_config
from pymacaron.model.base import STORED, PymacaronBaseModel
from pymacaron.pool import apipool

MARK = "__pym__"
# Bytes of arguments as JSON, by default: as many as a request's body may have.
MAX_TASK = 16 * 1024 * 1024
PLAIN = (str, int, float, bool, type(None))


class CannotTravel(TypeError):
    """A value that no message can carry to a worker: of another kind, or too large."""


# Exact types first to last: a datetime is a date, too.
WRITERS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (datetime, "datetime", lambda v: v.isoformat()),
    (date, "date", lambda v: v.isoformat()),
    (time, "time", lambda v: v.isoformat()),
    (timedelta, "timedelta", lambda v: [v.days, v.seconds, v.microseconds]),
    (Decimal, "decimal", str),
    (bytes, "bytes", lambda v: base64.b64encode(v).decode("ascii")),
    (bytearray, "bytearray", lambda v: base64.b64encode(v).decode("ascii")),
    (UUID, "uuid", str),
)
READERS: dict[str, Callable[[Any], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda v: timedelta(*v),
    "decimal": Decimal,
    "bytes": base64.b64decode,
    "bytearray": lambda v: bytearray(base64.b64decode(v)),
    "uuid": UUID,
    "tuple": lambda v: tuple(map(read, v)),
    "set": lambda v: set(map(read, v)),
    "frozenset": lambda v: frozenset(map(read, v)),
    "dict": lambda v: {read(key): read(value) for key, value in v},
    "model": lambda v: _read_model(v),
    "enum": lambda v: _read_enum(*v),
}


def pack(value: Any, where: str) -> Any:
    """JSON data of a value. Raises CannotTravel, naming the place, for what can't be sent."""
    try:
        return write(value, where)
    except RecursionError:
        raise CannotTravel(f"{where} is nested too deeply, or contains itself") from None


def write(value: Any, where: str = "value") -> Any:
    if type(value) in PLAIN:
        return value
    if type(value) is list:
        return [write(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, PymacaronBaseModel):
        return {MARK: "model", "v": _write_model(value, where)}
    if isinstance(value, dict):
        if all(type(key) is str for key in value) and MARK not in value:
            return {key: write(v, f"{where}[{key!r}]") for key, v in value.items()}
        pairs = [
            [write(k, f"a key of {where}"), write(v, f"{where}[{k!r}]")] for k, v in value.items()
        ]
        return {MARK: "dict", "v": pairs}
    for group in (tuple, set, frozenset):
        if isinstance(value, group):
            return {MARK: group.__name__, "v": [write(v, f"an item of {where}") for v in value]}
    if isinstance(value, Enum):
        path = (type(value).__module__, type(value).__qualname__, value.name)
        if _find_enum(*path) is not value:
            raise CannotTravel(f"{where} is {value}, which no module holds: pass its .value")
        return {MARK: "enum", "v": path}
    for kind, name, text in WRITERS:
        if isinstance(value, kind):
            return {MARK: name, "v": text(value)}
    if isinstance(value, str):  # a SecretValue, say
        return str(value)
    raise CannotTravel(
        f"{where} is a {type(value).__name__}, which can't be sent to a worker: "
        "pass models, plain data, dates, decimals or bytes"
    )


def write_call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call of a task, ready for a message. Raises CannotTravel."""
    call = {
        "args": [pack(v, f"argument {i + 1} of {name}") for i, v in enumerate(args)],
        "kwargs": {k: pack(v, f"argument {k} of {name}") for k, v in kwargs.items()},
    }
    limit = get_config().get("max_task_size", MAX_TASK)
    if len(json.dumps(call)) > limit:
        raise CannotTravel(
            f"the arguments of {name} are more than {limit:,} bytes as JSON (max_task_size), "
            f"most of them in argument {_largest(call)}: store what is large, and pass its key"
        )
    return call


def _largest(call: dict[str, Any]) -> object:
    given = [*enumerate(call["args"], 1), *call["kwargs"].items()]
    return max(given, key=lambda pair: len(json.dumps(pair[1])))[0]


def read(value: Any) -> Any:
    """The value of JSON data that `write` made. Raises UnknownModel for a model whose API is not
    loaded here."""
    if type(value) is list:
        return [read(v) for v in value]
    if type(value) is dict:
        kind = value.get(MARK)
        if kind is None:
            return {key: read(v) for key, v in value.items()}
        return READERS[kind](value["v"])
    return value


def _find_enum(module: str, path: str, name: str) -> Enum | None:
    """A member of an enumeration in a module that is loaded already: nothing is imported."""
    found: Any = sys.modules.get(module) if module != "__main__" else None
    for part in path.split("."):
        found = vars(found).get(part) if found is not None else None
    return found.__members__.get(name) if isinstance(found, EnumMeta) else None


def _read_enum(module: str, path: str, name: str) -> Enum:
    member = _find_enum(module, path, name)
    if member is None:
        raise LookupError(f"there is no {module}.{path}.{name} here")
    return member


def _write_model(model: PymacaronBaseModel, where: str) -> dict[str, Any]:
    info = type(model).pymacaron_info
    held = model.__dict__
    known = [name for name in type(model).model_fields if name in held]
    fields = {name: write(held[name], f"{where}.{name}") for name in known}
    data = {
        "api": info.api,
        "name": info.name,
        "fields": fields,
        "set": sorted(model.model_fields_set),
    }
    if model.model_extra:
        data["extra"] = write(model.model_extra, where)
    if STORED in held:
        data["stored"] = write(held[STORED], where)
    return data


def _read_model(data: dict[str, Any]) -> PymacaronBaseModel:
    """As it was, valid or not: what the sender made is not judged again. A property that this
    version of the API no longer has is dropped."""
    model: type[PymacaronBaseModel] = getattr(apipool.get_model(data["api"]), data["name"])
    known = model.model_fields
    fields = {name: read(v) for name, v in data["fields"].items() if name in known}
    made = model.model_construct({name for name in data["set"] if name in known}, **fields)
    if model.model_config.get("extra") == "allow":
        object.__setattr__(made, "__pydantic_extra__", read(data.get("extra", {})))
    if "stored" in data:
        made.__dict__[STORED] = read(data["stored"])
    return made
