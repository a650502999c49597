"""The few protobuf bodies that kubectl writes: access reviews, namespaces. Answers are JSON.

https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pymacaron_ci.simulator.kubernetes.objects import Json
from pymacaron_ci.simulator.kubernetes.statuses import bad_request, wrong_type

MAGIC = b"k8s\x00"
TYPE = "application/vnd.kubernetes.protobuf"
TEXT = "text"
PAIRS = "pairs"  # map<string, string>
Message = Mapping[int, tuple[str, Any]]

_METADATA: Message = {
    1: ("name", TEXT),
    2: ("generateName", TEXT),
    3: ("namespace", TEXT),
    11: ("labels", PAIRS),
    12: ("annotations", PAIRS),
}
_RESOURCE: Message = {
    number: (name, TEXT)
    for number, name in enumerate(
        ("namespace", "verb", "group", "version", "resource", "subresource", "name"), 1
    )
}
_REVIEW: Message = {
    1: ("resourceAttributes", _RESOURCE),
    2: ("nonResourceAttributes", {1: ("path", TEXT), 2: ("verb", TEXT)}),
}
_KINDS: Mapping[tuple[str, str], Message] = {
    ("v1", "Namespace"): {1: ("metadata", _METADATA)},
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): {
        1: ("metadata", _METADATA),
        2: ("spec", _REVIEW),
    },
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): {
        1: ("metadata", _METADATA),
        2: ("spec", {1: ("namespace", TEXT)}),
    },
}
_TYPE: Message = {1: ("apiVersion", TEXT), 2: ("kind", TEXT)}


def decoded(data: bytes) -> Json:
    """Raises 400, and 415 for a kind that isn't known in this form."""
    try:
        envelope = dict(_fields(data[len(MAGIC) :]))
        kind = _message(envelope.get(1, b""), _TYPE)
        message = _KINDS.get((kind.get("apiVersion", ""), kind.get("kind", "")))
        if message is None:
            raise wrong_type(("application/json", "application/yaml"))
        return {**kind, **_message(envelope.get(2, b""), message)}
    except (IndexError, UnicodeDecodeError) as error:
        raise bad_request(f"the body of the request can't be read: {error}") from error


def _message(data: bytes, fields: Message) -> Json:
    found: Json = {}
    for number, value in _fields(data):
        name, kind = fields.get(number, ("", TEXT))
        if not name:
            continue
        if kind == TEXT:
            if value:
                found[name] = value.decode()
        elif kind == PAIRS:
            pair = dict(_fields(value))
            found.setdefault(name, {})[pair.get(1, b"").decode()] = pair.get(2, b"").decode()
        else:
            found[name] = _message(value, kind)
    return found


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Fields of a length; numbers are left out."""
    place = 0
    while place < len(data):
        key, place = _number(data, place)
        kind = key & 7
        if kind == 0:
            _, place = _number(data, place)
        elif kind == 2:
            length, place = _number(data, place)
            yield key >> 3, data[place : place + length]
            place += length
        else:
            place += {1: 8, 5: 4}[kind] if kind in (1, 5) else len(data)


def _number(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
