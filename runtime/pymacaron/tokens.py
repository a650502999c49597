"""Signing and checking of tokens, after RFC 7519 and the advice of RFC 8725. Knows no HTTP."""

from __future__ import annotations

import binascii
import copy
import functools
import hashlib
import math
import re
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jiter

from pymacaron import jwks
from pymacaron.config import ConfigError
from pymacaron.exceptions import AuthInvalidTokenError, AuthTokenExpiredError
from pymacaron.token_rules import NOT_SIGNING, SYMMETRIC, Rules

if TYPE_CHECKING:
    from jwt.algorithms import Algorithm

LEEWAY = 300
LONGEST = 16_384
REQUIRED = ("exp", "iat", "sub", "aud", "iss")
REMEMBERED = 2048
# Headers that bring a key along, or change what is signed or how it is wrapped: never needed here,
# and each of them has been a way in (RFC 8725 sections 3.5 and 3.10; CVE-2018-0114).
REFUSED_HEADERS = ("jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty")
TYPES = ("jwt", "at+jwt", "application/jwt", "application/at+jwt")
SCALARS = frozenset((str, int, float, bool, type(None)))
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_STANDARD = str.maketrans("-_", "+/")


def signed(claims: Mapping[str, Any], rules: Rules, issuer: str | None = None) -> str:
    """A token with these claims, and ours over them."""
    who = issuer or rules.issuer
    payload = {**claims, "iss": who, "aud": rules.audience}
    if not rules.secret:
        raise ConfigError("jwt_secret is not set: tokens can be checked here, but not made")
    algorithm = next((a for a in rules.algorithms if a in SYMMETRIC), None)
    if algorithm is None:
        raise ConfigError(NOT_SIGNING)
    import jwt  # slow to load, and many services need no tokens

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a short secret is warned about once, at the start
        return jwt.encode(payload, rules.secret, algorithm=algorithm, headers={"iss": who})


class Known(NamedTuple):
    """The claims of a token that was good, and whether none of them can be changed from within."""

    claims: dict[str, Any]
    flat: bool


class _Memory:
    """Tokens that were good, until they expire; the oldest go first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def get(self, key: bytes) -> Known | None:
        return self._known.get(key)

    def put(self, key: bytes, known: Known) -> None:
        with self._lock:
            self._known[key] = known
            while len(self._known) > self._size:
                self._known.popitem(last=False)

    def forget(self, key: bytes) -> None:
        with self._lock:
            self._known.pop(key, None)


_memory = _Memory(REMEMBERED)


def verified(token: object, rules: Rules, clock: Callable[[], float] = time.time) -> dict[str, Any]:
    """The claims of a token, as a copy the caller may change.

    Raises AuthTokenExpiredError for a token that was good once, else AuthInvalidTokenError.
    """
    if not isinstance(token, str):
        raise AuthInvalidTokenError("JWT token is invalid: not text")
    key = hashlib.sha256(rules.digest + token.encode("utf-8", "surrogatepass")).digest()
    known = _memory.get(key)
    if known is None:
        claims = _decoded(token, rules, clock())
        known = Known(claims, all(type(value) in SCALARS for value in claims.values()))
        _memory.put(key, known)
    elif float(known.claims["exp"]) <= clock() - LEEWAY:
        _memory.forget(key)
        raise AuthTokenExpiredError("JWT token has expired")
    return known.claims.copy() if known.flat else copy.deepcopy(known.claims)


def _decoded(token: str, rules: Rules, now: float) -> dict[str, Any]:
    header, claims, signature = _parts(token, rules)
    _check_signature(header, token.rpartition(".")[0].encode(), signature, rules)
    _check_claims(claims, header, rules, now)
    return claims


def _check_signature(
    header: Mapping[str, Any], signed: bytes, signature: bytes, rules: Rules
) -> None:
    import jwt  # as above

    try:
        algorithm, key = _own_key(header["alg"], rules) or _key_of_others(header, rules)
        good = algorithm.verify(signed, key, signature)
    # NotImplementedError is PyJWT's for an algorithm that needs cryptography where it is missing.
    except (jwt.PyJWTError, NotImplementedError, ValueError, TypeError) as error:
        raise AuthInvalidTokenError("JWT token is invalid") from error
    if not good:
        raise AuthInvalidTokenError("JWT token signature is invalid")


@functools.lru_cache(maxsize=32)
def _own_key(name: str, rules: Rules) -> tuple[Algorithm, Any] | None:
    """PyJWT's algorithm, and the configured key for it, made ready. Which kind of key goes with
    which algorithm is decided here alone, so that a public key is never taken for a secret."""
    if name not in SYMMETRIC and not rules.public_key:
        return None
    import jwt  # as above

    algorithm = jwt.get_algorithm_by_name(name)
    key = rules.secret if name in SYMMETRIC else rules.public_key
    return algorithm, algorithm.prepare_key(key or "")


def _key_of_others(header: Mapping[str, Any], rules: Rules) -> tuple[Algorithm, Any]:
    import jwt  # as above

    found = jwks.key_set(str(rules.jwks_url)).find(header.get("kid"), header["alg"])
    key = jwt.PyJWK(dict(found), header["alg"])
    return key.Algorithm, key.key


def _check_claims(
    claims: Mapping[str, Any], header: Mapping[str, Any], rules: Rules, now: float
) -> None:
    """What jwt.decode() checks, in its order, and more strictly: a test compares the two. It would
    read all again that was read already, in several times the time of the signature's check."""
    for name in REQUIRED:
        if claims.get(name) is None:
            raise AuthInvalidTokenError(f"JWT token lacks the claim {name}")
    _check_types(claims)
    if int(claims["iat"]) > now + LEEWAY or int(claims.get("nbf", 0)) > now + LEEWAY:
        raise AuthInvalidTokenError("JWT token was issued in the future")
    if int(claims["exp"]) <= now - LEEWAY:
        raise AuthTokenExpiredError("JWT token has expired")
    if claims["iss"] != rules.issuer or header.get("iss", rules.issuer) != rules.issuer:
        raise AuthInvalidTokenError("JWT has incorrect issuer")
    audiences = claims["aud"]
    if type(audiences) is list:
        known = rules.audience in audiences and all(type(a) is str for a in audiences)
    else:
        known = audiences == rules.audience
    if not known:
        raise AuthInvalidTokenError("JWT has incorrect audience")
    if type(claims.get("jti", "")) is not str:
        raise AuthInvalidTokenError("JWT token is invalid: claim jti is no text")


def _parts(token: str, rules: Rules) -> tuple[Mapping[str, Any], dict[str, Any], bytes]:
    """The header, which is one that the rules allow; the claims, of which nothing is known but that
    there is one way only to read them; the signature."""
    if len(token) > LONGEST:
        raise AuthInvalidTokenError("JWT token is invalid: too long")
    segments = token.split(".")
    if len(segments) != 3:
        raise AuthInvalidTokenError("JWT token is invalid: not three parts")
    header = _header(segments[0], rules)
    return header, _object(_bytes(segments[1])), _bytes(segments[2])


@functools.lru_cache(maxsize=64)
def _header(segment: str, rules: Rules) -> Mapping[str, Any]:
    """Checked once: all tokens of an issuer have the same, or a few."""
    header = _object(_bytes(segment))
    _check_header(header, rules)
    return header


def _bytes(segment: str) -> bytes:
    """Strict base64url: no padding, no foreign characters, one spelling for each value."""
    if _SEGMENT.fullmatch(segment):
        standard = (segment.translate(_STANDARD) + "=" * (-len(segment) % 4)).encode()
        try:
            raw = binascii.a2b_base64(standard)
        except ValueError:
            raw = b""
        if binascii.b2a_base64(raw, newline=False) == standard:
            return raw
    raise AuthInvalidTokenError("JWT token is invalid: bad base64")


def _object(raw: bytes) -> dict[str, Any]:
    """A JSON object in which no name stands twice: two readers might take different ones."""
    try:
        value = jiter.from_json(raw, allow_inf_nan=False, catch_duplicate_keys=True)
    except (ValueError, RecursionError) as error:
        raise AuthInvalidTokenError("JWT token is invalid: bad JSON") from error
    if not isinstance(value, dict):
        raise AuthInvalidTokenError("JWT token is invalid: not a JSON object")
    return value


def _check_header(header: Mapping[str, Any], rules: Rules) -> None:
    if header.get("alg") not in rules.algorithms:
        raise AuthInvalidTokenError("JWT token is invalid: wrong algorithm")
    if str(header.get("typ", "JWT")).lower() not in TYPES:
        raise AuthInvalidTokenError("JWT token is invalid: wrong type")
    if not isinstance(header.get("kid", ""), str):
        raise AuthInvalidTokenError("JWT token is invalid: bad key id")
    for name in REFUSED_HEADERS:
        if name in header:
            raise AuthInvalidTokenError(f"JWT token is invalid: header {name} is not accepted")


def _check_types(claims: Mapping[str, Any]) -> None:
    """JSON types as RFC 7519 section 4.1 has them; a text that looks like a number is none."""
    for name in ("exp", "iat", "nbf"):
        if name not in claims:
            continue
        value = claims[name]
        if type(value) not in (int, float) or not math.isfinite(value) or abs(value) > 2**53:
            raise AuthInvalidTokenError(f"JWT token is invalid: claim {name} is no time")
    for name in ("sub", "iss"):
        value = claims.get(name)
        if not isinstance(value, str) or not value or not _writable(value):
            raise AuthInvalidTokenError(f"JWT token is invalid: claim {name} is no text")


def _writable(text: str) -> bool:
    """No control characters and no lone surrogates: the text goes into logs and headers."""
    return text.isprintable()
