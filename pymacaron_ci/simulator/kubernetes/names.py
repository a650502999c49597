"""Names, labels and annotations: which characters, how long."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pymacaron_ci.simulator.kubernetes.objects import Json
from pymacaron_ci.simulator.kubernetes.resources import NAMESPACES, SERVICES, Resource
from pymacaron_ci.simulator.kubernetes.statuses import Fault, invalid_value

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    f"for validation is '{LABEL}')"
)
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{LABEL}(\\.{LABEL})*')"
)
DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_PART = (
    "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
ANNOTATIONS_LIMIT = 256 * 1024


def metadata_faults(resource: Resource, metadata: Json) -> Iterator[Fault]:
    name = metadata.get("name", "")
    labels_only = {NAMESPACES: LABEL_TEXT, SERVICES: DNS1035_TEXT}.get(resource)
    pattern = r"[a-z]([-a-z0-9]*[a-z0-9])?" if resource is SERVICES else LABEL
    if labels_only:
        if not re.fullmatch(pattern, name):
            yield invalid_value("metadata.name", name, labels_only)
        if len(name) > 63:
            yield invalid_value("metadata.name", name, "must be no more than 63 characters")
    elif not re.fullmatch(rf"{LABEL}(\.{LABEL})*", name):
        yield invalid_value("metadata.name", name, SUBDOMAIN_TEXT)
    if len(name) > 253:
        yield invalid_value("metadata.name", name, "must be no more than 253 characters")
    yield from label_faults("metadata.labels", metadata.get("labels"))
    total = 0
    for key, value in (metadata.get("annotations") or {}).items():
        total += len(key) + len(str(value))
        if not _KEY.fullmatch(key.lower()):
            yield invalid_value("metadata.annotations", key, "name part must consist of " + _PART)
    if total > ANNOTATIONS_LIMIT:
        text = f"Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"
        yield Fault("FieldValueTooLong", "metadata.annotations", text)


def label_faults(field: str, found: Mapping[str, Any] | None) -> Iterator[Fault]:
    for key, value in (found or {}).items():
        if not _KEY.fullmatch(key):
            yield invalid_value(field, key, "name part must consist of " + _PART)
        if len(value) > 63:
            yield invalid_value(field, value, "must be no more than 63 characters")
        if not _VALUE.fullmatch(value):
            yield invalid_value(field, value, VALUE_TEXT)
