"""Tokens made elsewhere: their public keys come from a JWKS URL, are kept, and asked for rarely."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.client import BadStatusLine

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from pymacaron import jwks, token_rules, tokens
from pymacaron.config import ConfigError, PyMacaronConfig
from pymacaron.exceptions import AuthInvalidTokenError
from pymacaron.jwks import AuthKeysUnavailable, KeySet, fetch

URL = "https://id.example.com/keys"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_JWK = {**RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True), "kid": "r1", "alg": "RS256"}
EC_JWK = {**ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True), "kid": "e1"}


class Site:
    """What the URL answers, and how often it was asked."""

    def __init__(self, *keys: object) -> None:
        self.body = json.dumps({"keys": keys}).encode()
        self.asked = 0
        self.now = 1000.0

    def get(self, url: str) -> bytes:
        assert url == URL
        self.asked += 1
        if not self.body:
            raise OSError("unreachable")
        return self.body

    def keys(self) -> KeySet:
        return KeySet(URL, self.get, lambda: self.now)


def token(key: object, algorithm: str, kid: str | None) -> str:
    now = int(time.time())
    claims = {
        "iss": "hello.example.com",
        "sub": "ada",
        "aud": "greeters",
        "iat": now,
        "exp": now + 60,
    }
    return jwt.encode(claims, key, algorithm, headers={"kid": kid} if kid else {})  # type: ignore[arg-type]


@pytest.fixture
def rules(jwt_config: PyMacaronConfig, monkeypatch: pytest.MonkeyPatch) -> token_rules.Rules:
    monkeypatch.setattr(jwks, "_sets", {URL: Site(RSA_JWK, EC_JWK).keys()})
    jwt_config.jwt_algorithms = ["HS256", "RS256", "ES256"]
    jwt_config.jwt_jwks_url = URL
    return token_rules.rules(jwt_config)


def test_tokens_of_every_key_in_the_set_are_good(rules: token_rules.Rules) -> None:
    for made in (token(RSA_KEY, "RS256", "r1"), token(EC_KEY, "ES256", "e1")):
        assert tokens.verified(made, rules)["sub"] == "ada"


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [
        (RSA_KEY, "RS256", "e1"),
        (EC_KEY, "ES256", "r1"),
        (RSA_KEY, "RS256", "unknown"),
        (RSA_KEY, "RS256", None),
        (RSA_KEY, "RS384", "r1"),
        (rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256", "r1"),
        (b"public keys are no secrets, whatever they hold", "HS256", "r1"),
    ],
)
def test_a_token_of_any_other_key_is_refused(
    rules: token_rules.Rules, key: object, algorithm: str, kid: str | None
) -> None:
    with pytest.raises(AuthInvalidTokenError):
        tokens.verified(token(key, algorithm, kid), rules)


def test_a_secret_in_a_public_set_is_never_used() -> None:
    site = Site({"kty": "oct", "kid": "s", "k": "c2VjcmV0"}, RSA_JWK)
    with pytest.raises(AuthInvalidTokenError):
        site.keys().find("s", "RS256")


def test_the_only_key_needs_no_id() -> None:
    assert Site(RSA_JWK).keys().find(None, "RS256")["kid"] == "r1"


def test_the_keys_are_kept() -> None:
    site = Site(RSA_JWK)
    keys = site.keys()
    for _ in range(5):
        keys.find("r1", "RS256")
    assert site.asked == 1
    site.now += jwks.FRESH_SECONDS + 1
    keys.find("r1", "RS256")
    assert site.asked == 2


def test_a_new_key_is_found_and_made_up_ids_do_not_cause_a_flood() -> None:
    site = Site(RSA_JWK)
    keys = site.keys()
    keys.find("r1", "RS256")
    site.body = json.dumps({"keys": [RSA_JWK, EC_JWK]}).encode()
    site.now += jwks.ASK_AGAIN_SECONDS + 1
    assert keys.find("e1", "ES256")["kid"] == "e1"
    for n in range(100):
        with pytest.raises(AuthInvalidTokenError):
            keys.find(f"made-up-{n}", "RS256")
    assert site.asked == 2


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b'{"keys": 7}', b'{"keys": ["x"]}', b'{"keys": []}']
)
def test_an_outage_leaves_the_known_keys_in_use(body: bytes) -> None:
    site = Site(RSA_JWK)
    keys = site.keys()
    keys.find("r1", "RS256")
    site.body = body
    site.now += jwks.FRESH_SECONDS + 1
    assert keys.find("r1", "RS256")["kid"] == "r1"


def test_what_is_no_http_is_an_outage_too() -> None:
    site = Site(RSA_JWK)
    keys = site.keys()
    keys.find("r1", "RS256")

    def broken(url: str) -> bytes:
        raise BadStatusLine("SSH-2.0")

    keys._get = broken
    site.now += jwks.FRESH_SECONDS + 1
    assert keys.find("r1", "RS256")["kid"] == "r1"


def test_a_slow_site_holds_up_no_token_of_a_known_key() -> None:
    site = Site(RSA_JWK)
    keys = site.keys()
    keys.find("r1", "RS256")
    asked, answered = threading.Event(), threading.Event()

    def slow(url: str) -> bytes:
        asked.set()
        assert answered.wait(30)
        return site.get(url)

    keys._get = slow
    site.now += jwks.FRESH_SECONDS + 1
    waiting = threading.Thread(target=keys.find, args=("r1", "RS256"))
    waiting.start()
    assert asked.wait(30)
    assert keys.find("r1", "RS256")["kid"] == "r1"
    answered.set()
    waiting.join(30)
    assert site.asked == 2


@pytest.mark.parametrize("der", ["MAYCAQACAQA=", "MAA=", ""])
@pytest.mark.parametrize("raw", [bytes(64), b"", bytes(63), bytes(31) + b"\1" + bytes(32)])
def test_a_signature_of_zeros_is_no_signature(
    rules: token_rules.Rules, raw: bytes, der: str
) -> None:
    """CVE-2022-21449: r and s of an ECDSA signature can't be 0, in whatever form they come."""
    signed, _, _ = token(EC_KEY, "ES256", "e1").rpartition(".")
    for signature in (raw, base64.b64decode(der)):
        text = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
        with pytest.raises(AuthInvalidTokenError):
            tokens.verified(f"{signed}.{text}", rules)


def test_without_any_keys_it_is_our_failure_not_the_callers() -> None:
    site = Site()
    site.body = b""
    with pytest.raises(AuthKeysUnavailable) as caught:
        site.keys().find("r1", "RS256")
    assert caught.value.status == 503


def test_keys_are_not_taken_over_plain_http() -> None:
    with pytest.raises(ConfigError, match="https"):
        fetch("http://id.example.com/keys")


@pytest.mark.parametrize(
    ("algorithms", "told"),
    [
        (["none"], "must be a list of some of"),
        ([], "must be a list of some of"),
        (["RS256"], "set jwt_public_key or jwt_jwks_url"),
    ],
)
def test_algorithms_that_cannot_be_used_are_told(
    jwt_config: PyMacaronConfig, algorithms: list[str], told: str
) -> None:
    jwt_config.jwt_algorithms = algorithms
    with pytest.raises(ConfigError, match=told):
        token_rules.rules(jwt_config)


def test_a_service_that_only_checks_tokens_needs_no_secret(jwt_config: PyMacaronConfig) -> None:
    jwt_config.jwt_secret = None
    jwt_config.jwt_algorithms = "RS256"
    jwt_config.jwt_jwks_url = URL
    rules = token_rules.rules(jwt_config)
    with pytest.raises(ConfigError, match="can be checked here, but not made"):
        tokens.signed({"sub": "ada"}, rules)
