"""What a good token looks like here: the settings jwt_*, and what is wrong with them."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

from pymacaron.config import ConfigError, PyMacaronConfig, changes_of

DEFAULT_ALGORITHM = "HS256"
SYMMETRIC = ("HS256", "HS384", "HS512")
ASYMMETRIC = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
NOT_SIGNING = (
    "tokens made here would be refused here: jwt_algorithms has none of"
    f" {', '.join(SYMMETRIC)}, which jwt_secret signs with; add {DEFAULT_ALGORITHM} to it"
)
SHORT_SECRET = 32
_Settings = tuple[Any, Any, Any, tuple[str, ...], Any, Any, tuple[str, ...]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Rules:
    """What a good token looks like here."""

    secret: str | None = field(repr=False)
    issuer: str
    audience: str
    algorithms: tuple[str, ...] = (DEFAULT_ALGORITHM,)
    public_key: str | None = None
    jwks_url: str | None = None

    @functools.cached_property
    def digest(self) -> bytes:
        """Of all of them: what was found out about a token holds under no others."""
        return hashlib.sha256(repr(astuple(self)).encode("utf-8", "surrogatepass")).digest()


def rules(conf: PyMacaronConfig) -> Rules:
    """The configured rules. Raises ConfigError for settings that no token can be checked with."""
    return _rules(conf, changes_of(conf))


def problems(conf: PyMacaronConfig) -> list[str]:
    """Everything for which no token could be checked, or renewed where `jwt_renew` asks for it."""
    settings = _settings(conf)
    found = _problems(*settings)
    if conf.get("jwt_renew") and not any(a in SYMMETRIC for a in settings[3]):
        found.append(f"jwt_renew: {NOT_SIGNING}")
    return found


def _settings(conf: PyMacaronConfig) -> _Settings:
    algorithms = conf.get("jwt_algorithms")
    if algorithms is None:
        algorithms = DEFAULT_ALGORITHM
    listed = algorithms if isinstance(algorithms, list | tuple) else [algorithms]
    return (
        conf.get("jwt_secret"),
        conf.get("jwt_issuer"),
        conf.get("jwt_audience"),
        tuple(str(a) for a in listed),
        conf.get("jwt_public_key"),
        conf.get("jwt_jwks_url"),
        tuple(conf.get("env_secrets") or ()),
    )


@functools.lru_cache(maxsize=8)
def _rules(conf: PyMacaronConfig, changes: int) -> Rules:
    del changes  # with others these rules are not asked for any more
    settings = _settings(conf)
    found = _problems(*settings)
    if found:
        raise ConfigError("\n".join(found))
    secret, issuer, audience, algorithms, public_key, jwks_url, _ = settings
    return Rules(
        secret=None if secret is None else str(secret),
        issuer=issuer,
        audience=audience,
        algorithms=algorithms,
        public_key=public_key,
        jwks_url=jwks_url,
    )


def _problems(
    secret: object,
    issuer: object,
    audience: object,
    algorithms: tuple[str, ...],
    public_key: str | None,
    jwks_url: str | None,
    names: tuple[str, ...],
) -> list[str]:
    found = []
    for name, value in (("jwt_issuer", issuer), ("jwt_audience", audience)):
        if not value or not isinstance(value, str):
            found.append(f"{name} is not set: add it to pym-config.yaml to use tokens")
    if not algorithms or any(a not in SYMMETRIC + ASYMMETRIC for a in algorithms):
        known = ", ".join(SYMMETRIC + ASYMMETRIC)
        found.append(f"jwt_algorithms must be a list of some of {known}; got {list(algorithms)}")
    if secret is not None or any(a in SYMMETRIC for a in algorithms):
        problem = secret_problem(secret, names)
        if problem:
            found.append(problem)
    foreign = ", ".join(a for a in algorithms if a in ASYMMETRIC)
    if foreign and not (public_key or jwks_url):
        found.append(f"jwt_algorithms has {foreign}: set jwt_public_key or jwt_jwks_url too")
    if foreign and importlib.util.find_spec("cryptography") is None:
        found.append(
            f"jwt_algorithms has {foreign}: install 'pymacaron[jwks]' to check such tokens"
        )
    return found


def secret_problem(secret: object, names: Sequence[str]) -> str | None:
    """Why a secret can't sign tokens, or None. `names` are those of env_secrets."""
    if not secret:
        return "jwt_secret is not set: add it to pym-config.yaml to use tokens"
    if not isinstance(secret, str):
        return f"jwt_secret must be text, not {type(secret).__name__}: put it in quotes"
    if secret in ("jwt_secret", "PYM_JWT_SECRET", *names):
        return "jwt_secret is its own key's name, which anybody can guess: choose a random one"
    return None
