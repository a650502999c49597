"""Tampered tokens are refused, every one (RFC 8725; after Wycheproof's JWS vectors)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from functools import partial

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pymacaron.auth import generate_token, load_auth_token
from pymacaron.config import PyMacaronConfig
from pymacaron.exceptions import AuthInvalidTokenError
from tests.runtime.conftest import SECRET

pytestmark = pytest.mark.usefixtures("jwt_config")

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RSA_PUBLIC = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    good = {
        "iss": "hello.example.com",
        "sub": "ada",
        "aud": "greeters",
        "iat": now,
        "exp": now + 86_400,  # some are made when the tests are collected
    }
    return {k: v for k, v in {**good, **changes}.items() if v is not ABSENT}


ABSENT = object()
NEEDED = ("exp", "iat", "sub", "aud", "iss")


def signed(header: str, payload: str, key: bytes = SECRET.encode(), digest: str = "sha256") -> str:
    """A token with a valid HMAC over whatever it holds."""
    raw = (part.encode("utf-8", "surrogatepass") for part in (header, payload))
    text = ".".join(b64(part) for part in raw)
    return f"{text}.{b64(hmac.new(key, text.encode(), digest).digest())}"


def with_header(**changes: object) -> str:
    header = {k: v for k, v in {"alg": "HS256", "typ": "JWT", **changes}.items() if v is not ABSENT}
    return signed(json.dumps(header), json.dumps(claims()))


def with_claims(**changes: object) -> str:
    return signed('{"alg":"HS256","typ":"JWT"}', json.dumps(claims(**changes)))


def with_payload(text: str) -> str:
    return signed('{"alg":"HS256","typ":"JWT"}', text)


def unsigned(alg: str) -> str:
    header, payload = {"alg": alg, "typ": "JWT"}, claims()
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(payload).encode())}."


def parts() -> list[str]:
    return generate_token("ada").split(".")


def joined(*, header: str | None = None, payload: str | None = None, mac: str | None = None) -> str:
    first, second, third = parts()
    return ".".join((header or first, payload or second, third if mac is None else mac))


def flipped(segment: str) -> str:
    raw = bytearray(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    raw[len(raw) // 2] ^= 1
    return b64(bytes(raw))


def other_spelling(segment: str) -> str:
    """The same bytes with other unused bits at the end."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(segment[-1])
    assert len(segment) % 4 != 0
    return segment[:-1] + alphabet[last ^ 1]


NOW_CLAIMS = json.dumps(claims())
DEEP = '{"alg":"HS256","typ":"JWT"}'

TAMPERED: dict[str, Callable[[], str]] = {
    # the algorithm
    "alg none": lambda: unsigned("none"),
    "alg None": lambda: unsigned("None"),
    "alg NONE": lambda: unsigned("NONE"),
    "alg nOnE": lambda: unsigned("nOnE"),
    "alg none with the old signature": lambda: unsigned("none") + parts()[2],
    "alg empty": lambda: unsigned(""),
    "alg absent": lambda: with_header(alg=ABSENT),
    "alg null": lambda: with_header(alg=None),
    "alg a list": lambda: with_header(alg=["HS256"]),
    "alg an object": lambda: with_header(alg={"HS256": 1}),
    "alg in small letters": lambda: with_header(alg="hs256"),
    "alg with a blank": lambda: with_header(alg="HS256 "),
    "alg HS384": lambda: signed('{"alg":"HS384"}', json.dumps(claims()), digest="sha384"),
    "alg HS512": lambda: signed('{"alg":"HS512"}', json.dumps(claims()), digest="sha512"),
    "alg RS256 by a key of the attacker": lambda: jwt.encode(claims(), RSA_KEY, "RS256"),
    "alg ES256 by a key of the attacker": lambda: jwt.encode(claims(), EC_KEY, "ES256"),
    "alg PS256 by a key of the attacker": lambda: jwt.encode(claims(), RSA_KEY, "PS256"),
    "alg unknown": lambda: with_header(alg="XS256"),
    # the key
    "signed with another secret": lambda: signed(DEEP, NOW_CLAIMS, b"another secret"),
    "signed with an empty secret": lambda: signed(DEEP, NOW_CLAIMS, b""),
    "signed with a zero byte": lambda: signed(DEEP, NOW_CLAIMS, b"\0"),
    "signed with the secret's name": lambda: signed(DEEP, NOW_CLAIMS, b"TEST_JWT_SECRET"),
    "signed with the setting's name": lambda: signed(DEEP, NOW_CLAIMS, b"jwt_secret"),
    "signed with the secret cut short": lambda: signed(DEEP, NOW_CLAIMS, SECRET[:-1].encode()),
    "signed with a public key as secret": lambda: signed(DEEP, NOW_CLAIMS, RSA_PUBLIC),
    "kid leading to an empty file": lambda: signed(
        '{"alg":"HS256","kid":"../../../../dev/null"}', NOW_CLAIMS, b""
    ),
    "kid with SQL": lambda: signed(
        '{"alg":"HS256","kid":"x\' UNION SELECT \'key"}', NOW_CLAIMS, b"key"
    ),
    "kid a number": lambda: with_header(kid=1),
    "kid an object": lambda: with_header(kid={"a": 1}),
    "a key of its own in jwk": lambda: with_header(
        jwk={"kty": "oct", "k": b64(b"attacker"), "alg": "HS256"}
    ),
    "an address of keys in jku": lambda: with_header(jku="https://attacker.example.com/keys"),
    "an address of keys in x5u": lambda: with_header(x5u="https://attacker.example.com/keys"),
    "a certificate in x5c": lambda: with_header(x5c=["MIIB"]),
    "a critical extension": lambda: with_header(crit=["exp"]),
    "an unknown critical extension": lambda: with_header(crit=["x"], x=1),
    "an empty list of critical extensions": lambda: with_header(crit=[]),
    "an unencoded payload": lambda: with_header(b64=False),
    "a compressed payload": lambda: with_header(zip="DEF"),
    "an encrypted payload": lambda: with_header(enc="A128GCM"),
    "a nested token announced": lambda: with_header(cty="JWT"),
    "another type": lambda: with_header(typ="dpop+jwt"),
    "a type that is no text": lambda: with_header(typ=["JWT"]),
    "an issuer in the header only": lambda: signed(
        '{"alg":"HS256","iss":"hello.example.com"}', json.dumps(claims(iss=ABSENT))
    ),
    "another issuer in the header": lambda: with_header(iss="attacker.example.com"),
    # the signature
    "a flipped bit in the signature": lambda: joined(mac=flipped(parts()[2])),
    "no signature": lambda: joined(mac=""),
    "half a signature": lambda: joined(mac=parts()[2][:20]),
    "a signature that is too long": lambda: joined(mac=parts()[2] + "AAAA"),
    "a signature in another spelling": lambda: joined(mac=other_spelling(parts()[2])),
    "a signature with padding": lambda: joined(mac=parts()[2] + "="),
    "a signature of zeros": lambda: joined(mac=b64(bytes(32))),
    "a signature in hexadecimal": lambda: joined(
        mac=base64.urlsafe_b64decode(parts()[2] + "=").hex()
    ),
    "a signature over the payload alone": lambda: ".".join(
        [*parts()[:2], b64(hmac.new(SECRET.encode(), parts()[1].encode(), "sha256").digest())]
    ),
    "a signature by plain hashing": lambda: ".".join(
        [
            *parts()[:2],
            b64(hashlib.sha256((SECRET + ".".join(parts()[:2])).encode()).digest()),
        ]
    ),
    # the text
    "a flipped bit in the payload": lambda: joined(payload=flipped(parts()[1])),
    "a flipped bit in the header": lambda: joined(header=flipped(parts()[0])),
    "another payload": lambda: joined(payload=b64(json.dumps(claims(sub="root")).encode())),
    "another header": lambda: joined(header=b64(b'{"alg":"HS256"}')),
    "a line break at the end": lambda: generate_token("ada") + "\n",
    "a blank in front": lambda: " " + generate_token("ada"),
    "a blank inside": lambda: joined(payload=parts()[1][:9] + " " + parts()[1][9:]),
    "a tab inside": lambda: joined(payload=parts()[1][:9] + "\t" + parts()[1][9:]),
    "a zero byte inside": lambda: joined(payload=parts()[1][:9] + "\0" + parts()[1][9:]),
    "standard base64": lambda: joined(mac="+/" + parts()[2][2:]),
    "characters that are no base64": lambda: joined(payload=parts()[1] + "!!!!"),
    "characters beyond ASCII": lambda: joined(payload=parts()[1] + "é"),
    "fullwidth digits": lambda: joined(payload=parts()[1] + "\uff11"),
    "an impossible length": lambda: joined(payload=parts()[1] + "A" * (5 - len(parts()[1]) % 4)),
    "one part": lambda: parts()[0],
    "two parts": lambda: ".".join(parts()[:2]),
    "four parts": lambda: generate_token("ada") + ".AAAA",
    "five parts": lambda: generate_token("ada") + ".AAAA.AAAA",
    "only dots": lambda: "..",
    "nothing": lambda: "",
    "an empty header": lambda: "." + ".".join(parts()[1:]),
    "an empty payload": lambda: signed(DEEP, ""),
    "the JSON serialization": lambda: json.dumps(
        dict(zip(("protected", "payload", "signature"), parts(), strict=True))
    ),
    "a huge token": lambda: with_claims(more="x" * 100_000),
    "a huge payload of nested lists": lambda: with_payload("[" * 4000 + "]" * 4000),
    "a nested token": lambda: with_payload(json.dumps(generate_token("ada"))),
    # JSON
    "a header that is a list": lambda: signed('[{"alg":"HS256"}]', NOW_CLAIMS),
    "a header that is no JSON": lambda: signed("alg=HS256", NOW_CLAIMS),
    "a header with alg twice": lambda: signed('{"alg":"none","alg":"HS256"}', NOW_CLAIMS),
    "a header in UTF-16": lambda: joined(header=b64('{"alg":"HS256"}'.encode("utf-16"))),
    "a header that is not UTF-8": lambda: signed('{"alg":"HS256","x":"\udcff"}', NOW_CLAIMS),
    "a payload that is a list": lambda: with_payload("[]"),
    "a payload that is text": lambda: with_payload('"ada"'),
    "a payload that is null": lambda: with_payload("null"),
    "a payload that is no JSON": lambda: with_payload("{"),
    "a payload with a claim twice": lambda: with_payload(NOW_CLAIMS[:-1] + ',"sub":"root"}'),
    "a payload with a nested name twice": lambda: with_payload(
        NOW_CLAIMS[:-1] + ',"x":{"a":1,"a":2}}'
    ),
    "a payload with more behind it": lambda: with_payload(NOW_CLAIMS + "{}"),
    "a payload that is not UTF-8": lambda: with_payload(NOW_CLAIMS[:-1] + ',"x":"\udcff"}'),
    "a payload with NaN": lambda: with_payload(NOW_CLAIMS[:-1] + ',"x":NaN}'),
    # claims
    **{f"{name} absent": partial(with_claims, **{name: ABSENT}) for name in NEEDED},
    **{f"{name} null": partial(with_claims, **{name: None}) for name in NEEDED},
    "exp as text": lambda: with_claims(exp=str(int(time.time()) + 600)),
    "exp true": lambda: with_claims(exp=True),
    "exp a list": lambda: with_claims(exp=[int(time.time()) + 600]),
    "exp an object": lambda: with_claims(exp={}),
    "exp Infinity": lambda: with_payload(NOW_CLAIMS.replace('"exp": ', '"exp": 1e400, "y": ')),
    "exp beyond all times": lambda: with_claims(exp=10**30),
    "exp with five thousand digits": lambda: with_payload(
        NOW_CLAIMS.replace('"exp": ', '"exp": ' + "9" * 5000)
    ),
    "iat as text": lambda: with_claims(iat=str(int(time.time()))),
    "iat in the future": lambda: with_claims(iat=int(time.time()) + 4000),
    "iat false": lambda: with_claims(iat=False),
    "nbf in the future": lambda: with_claims(nbf=int(time.time()) + 4000),
    "nbf as text": lambda: with_claims(nbf="0"),
    "sub a number": lambda: with_claims(sub=7),
    "sub empty": lambda: with_claims(sub=""),
    "sub a list": lambda: with_claims(sub=["ada"]),
    "sub with a line break": lambda: with_claims(sub="ada\nroot logged in"),
    "sub with a lone surrogate": lambda: with_payload(NOW_CLAIMS.replace("ada", "\\ud800")),
    "aud of somebody else": lambda: with_claims(aud="others"),
    "aud of others": lambda: with_claims(aud=["others", "more"]),
    "aud an empty list": lambda: with_claims(aud=[]),
    "aud an object": lambda: with_claims(aud={"greeters": True}),
    "aud a number among texts": lambda: with_claims(aud=["greeters", 1]),
    "aud in capitals": lambda: with_claims(aud="GREETERS"),
    "aud beginning alike": lambda: with_claims(aud="greeters2"),
    "iss of somebody else": lambda: with_claims(iss="attacker.example.com"),
    "iss a list": lambda: with_claims(iss=["hello.example.com"]),
    "iss beginning alike": lambda: with_claims(iss="hello.example.com.attacker.example.com"),
    "iss in capitals": lambda: with_claims(iss="HELLO.EXAMPLE.COM"),
}


def test_the_untampered_ones_are_good() -> None:
    """Else the table below would prove nothing."""
    for token in (
        with_header(),
        with_header(typ=ABSENT),
        with_header(kid="key-1"),
        with_claims(aud=["others", "greeters"]),
        with_claims(exp=time.time() + 600.5),
        signed(DEEP, NOW_CLAIMS),
        joined(),
    ):
        assert load_auth_token(token, load=False)["sub"] == "ada"


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_token_is_refused(name: str) -> None:
    token = TAMPERED[name]()
    for _ in range(2):
        with pytest.raises(AuthInvalidTokenError) as caught:
            load_auth_token(token, load=False)
        assert caught.value.status == 401


def test_something_that_is_no_text_is_refused() -> None:
    for token in (None, 7, b"a.b.c", ["a.b.c"], object()):
        with pytest.raises(AuthInvalidTokenError):
            load_auth_token(token, load=False)  # type: ignore[arg-type]


@pytest.fixture
def public_key_config(jwt_config: PyMacaronConfig) -> PyMacaronConfig:
    jwt_config.jwt_algorithms = ["HS256", "RS256"]
    jwt_config.jwt_public_key = RSA_PUBLIC.decode()
    return jwt_config


def test_with_a_public_key_tokens_made_elsewhere_are_good(
    public_key_config: PyMacaronConfig,
) -> None:
    assert load_auth_token(jwt.encode(claims(), RSA_KEY, "RS256"), load=False)["sub"] == "ada"
    assert load_auth_token(generate_token("ada"), load=False)["sub"] == "ada"


def test_a_public_key_is_never_taken_for_a_secret(public_key_config: PyMacaronConfig) -> None:
    for key in (RSA_PUBLIC, RSA_PUBLIC.strip()):
        with pytest.raises(AuthInvalidTokenError):
            load_auth_token(signed(DEEP, NOW_CLAIMS, key), load=False)


def test_a_key_of_another_kind_is_no_public_key(public_key_config: PyMacaronConfig) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for token in (jwt.encode(claims(), other, "RS256"), jwt.encode(claims(), EC_KEY, "ES256")):
        with pytest.raises(AuthInvalidTokenError):
            load_auth_token(token, load=False)
