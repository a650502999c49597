"""`format`: what each name asks of a text or a number. Unknown names are ignored, own ones can be
registered."""

from __future__ import annotations

import base64
import binascii
import datetime
import ipaddress
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from pymacaron.model.hostnames import is_hostname, is_idn_hostname
from pymacaron.openapi.ecma import BadPattern, compile_pattern

Check = Callable[[Any], bool]

# RFC 3339 §5.6
DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([zZ])|([+-])(\d\d):(\d\d))", re.ASCII)
# RFC 3339 appendix A
DURATION = re.compile(
    r"P(?:\d+W|(?=\d|T)(?:\d+Y(?:\d+M(?:\d+D)?)?|\d+M(?:\d+D)?|\d+D)?"
    r"(?:T(?=\d)(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S))?)",
    re.ASCII,
)
UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LOCAL_PART = re.compile(rf'{ATOM}(?:\.{ATOM})*|"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*"')
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
URI_CHARACTERS = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*", re.ASCII)
IRI_CHARACTERS = re.compile(
    r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2}|[\u00a0-\ud7ff\uf900-\ufdcf"
    r"\ufdf0-\uffef\U00010000-\U000efffd])*"
)
POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)*")
RELATIVE_POINTER = re.compile(r"(?:0|[1-9]\d*)(?:#|(?:/(?:[^~/]|~[01])*)*)", re.ASCII)
BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII)
TEMPLATE = re.compile(
    r"(?:[^\x00-\x20\"'%<>\\^`{|}]|%[0-9A-Fa-f]{2}|\{[+#./;?&=,!@|]?[\w.%]+(?::[1-9]\d{0,3}|\*)?"
    r"(?:,[\w.%]+(?::[1-9]\d{0,3}|\*)?)*\})*",
    re.ASCII,
)


def parse_date(text: str) -> datetime.date | None:
    """RFC 3339 full-date; None if it is none."""
    found = DATE.fullmatch(text)
    if found is None:
        return None
    try:
        return datetime.date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None


def parse_datetime(text: str) -> datetime.datetime | None:
    """RFC 3339 date-time; None if it is none. A leap second becomes the second before it."""
    if len(text) < 20 or text[10] not in "tT":
        return None
    date, time = parse_date(text[:10]), TIME.fullmatch(text, 11)
    if date is None or time is None:
        return None
    return _combine(date, time)


def _combine(date: datetime.date, time: re.Match[str]) -> datetime.datetime | None:
    hour, minute, second = int(time[1]), int(time[2]), int(time[3])
    micros = int((time[4] or "0")[:6].ljust(6, "0"))
    zone = datetime.timezone.utc
    offset = 0
    if time[5] is None:
        hours, minutes = int(time[7]), int(time[8])
        if hours > 23 or minutes > 59:
            return None
        offset = (hours * 60 + minutes) * (1 if time[6] == "+" else -1)
        zone = datetime.timezone(datetime.timedelta(minutes=offset))
    if second == 60:
        # RFC 3339 §5.7: a leap second is the last second of a UTC day.
        if (hour * 60 + minute - offset) % 1440 != 1439:
            return None
        second, micros = 59, 999999
    try:
        return datetime.datetime(
            date.year, date.month, date.day, hour, minute, second, micros, tzinfo=zone
        )
    except ValueError:
        return None


def _time(text: str) -> bool:
    found = TIME.fullmatch(text)
    return found is not None and _combine(datetime.date(2000, 1, 1), found) is not None


def _email(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    if not at or not LOCAL_PART.fullmatch(local):
        return False
    if domain.startswith("[") and domain.endswith("]"):
        inner = domain[1:-1]
        return _ipv6(inner[5:]) if inner[:5].lower() == "ipv6:" else _ipv4(inner)
    return is_hostname(domain)


def _idn_email(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    return bool(at and local and domain) and (is_hostname(domain) or is_idn_hostname(domain))


def _ipv4(text: str) -> bool:
    if not re.fullmatch(r"\d{1,3}(?:\.\d{1,3}){3}", text, re.ASCII):
        return False
    return all(int(p) < 256 and (len(p) == 1 or p[0] != "0") for p in text.split("."))


def _ipv6(text: str) -> bool:
    if "%" in text or not text.isascii():
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _uri(text: str) -> bool:
    return SCHEME.match(text) is not None and _uri_reference(text)


def _uri_reference(text: str) -> bool:
    return URI_CHARACTERS.fullmatch(text) is not None and _structure(text)


def _iri(text: str) -> bool:
    return SCHEME.match(text) is not None and _iri_reference(text)


def _iri_reference(text: str) -> bool:
    return IRI_CHARACTERS.fullmatch(text) is not None and _structure(text)


def _structure(text: str) -> bool:
    """RFC 3986: one fragment, brackets only around an IPv6 host, a numeric port."""
    if text.count("#") > 1:
        return False
    try:
        parts = urlsplit(text)
        port = parts.netloc.rpartition("@")[2]
        _ = parts.port
    except ValueError:
        return False
    host = port.rpartition(":")[0] if port[-1:] != "]" and ":" in port else port
    if "[" in host or "]" in host:
        if not (host.startswith("[") and host.endswith("]")):
            return False
    elif ":" in host:
        return False
    return "[" not in parts.path + parts.query + parts.fragment and "@" not in host


def _regex(text: str) -> bool:
    try:
        compile_pattern(text)
    except BadPattern:
        return False
    return True


def _integer_in(low: int, high: int) -> Check:
    def check(value: Any) -> bool:
        return bool(low <= value <= high)

    return check


def _finite(value: Any) -> bool:
    return bool(abs(value) <= 1.7976931348623157e308)


def _float(value: Any) -> bool:
    return bool(abs(value) <= 3.4028234663852886e38)


TEXTS: dict[str, Check] = {
    "date": lambda v: parse_date(v) is not None,
    "date-time": lambda v: parse_datetime(v) is not None,
    "datetime": lambda v: parse_datetime(v) is not None,
    "time": _time,
    "duration": lambda v: DURATION.fullmatch(v) is not None and v[-1] not in "PT",
    "uuid": lambda v: UUID.fullmatch(v) is not None,
    "email": _email,
    "idn-email": _idn_email,
    "hostname": is_hostname,
    "idn-hostname": is_idn_hostname,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "uri": _uri,
    "url": _uri,
    "uri-reference": _uri_reference,
    "iri": _iri,
    "iri-reference": _iri_reference,
    "uri-template": lambda v: TEMPLATE.fullmatch(v) is not None,
    "json-pointer": lambda v: POINTER.fullmatch(v) is not None,
    "relative-json-pointer": lambda v: RELATIVE_POINTER.fullmatch(v) is not None,
    "regex": _regex,
    "byte": lambda v: BASE64.fullmatch(v) is not None,
}
NUMBERS: dict[str, Check] = {
    "int32": _integer_in(-(2**31), 2**31 - 1),
    "int64": _integer_in(-(2**63), 2**63 - 1),
    "float": _float,
    "double": _finite,
}


def register_format(name: str, check: Callable[[str], bool]) -> None:
    """Makes `format: <name>` mean that `check(text)` is true. Call it before the APIs are loaded.

    >>> register_format("iban", lambda text: text[:2].isalpha() and len(text) <= 34)
    """
    TEXTS[name] = check


def decode_base64(text: str) -> bytes | None:
    """The bytes of a `format: byte` text (RFC 4648 §4); None if it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
