"""Our verdict on a token and jwt.decode()'s: ours is the same, or stricter in what we say."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
from hypothesis import given, settings
from hypothesis import strategies as st

from pymacaron.exceptions import AuthInvalidTokenError, AuthTokenExpiredError
from pymacaron.token_rules import Rules
from pymacaron.tokens import LEEWAY, REQUIRED, verified

RULES = Rules(secret="s" * 64, issuer="us", audience="here", algorithms=("HS256", "HS512"))
NOW = int(time.time())
GOOD = {"exp": NOW + 60, "iat": NOW, "sub": "ada", "iss": "us", "aud": "here"}
ABSENT = "absent"
# Seconds from now: about the leeway on both sides.
TIMES = [NOW + sign * (LEEWAY + beyond) for sign in (1, -1) for beyond in (60, -60)]
ODD: list[Any] = [ABSENT, None, True, "", "1", [], {}, -1, 0, 1.5, 2**60, ["here"], "ada\n", "them"]
AUDIENCES = [["here", "there"], ["there"], ["here", 1], ["here", None], "there"]
CHANGES: dict[str, list[Any]] = {
    "exp": [*TIMES, float(TIMES[0]), float(TIMES[-1])],
    "iat": TIMES,
    "nbf": TIMES,
    "aud": AUDIENCES,
    "jti": ["1"],
    "role": ["any"],
    "sub": ["bob"],
    "iss": ["them"],
}
A_CHANGE = st.sampled_from(
    [(name, value) for name, values in CHANGES.items() for value in [*values, *ODD]]
)


def verdict_of_pyjwt(token: str) -> str:
    try:
        jwt.decode(
            token,
            RULES.secret or "",
            algorithms=list(RULES.algorithms),
            audience=RULES.audience,
            issuer=RULES.issuer,
            leeway=LEEWAY,
            options={"require": list(REQUIRED)},
        )
    except jwt.ExpiredSignatureError:
        return "expired"
    except (jwt.PyJWTError, TypeError):  # TypeError: of PyJWT 2.10
        return "invalid"
    return "good"


def our_verdict(token: str) -> str:
    try:
        verified(token, RULES)
    except AuthTokenExpiredError:
        return "expired"
    except AuthInvalidTokenError:
        return "invalid"
    return "good"


def stricter(claims: Mapping[str, Any]) -> bool:
    """Claims of a type that RFC 7519 does not have, or with text that would forge a line of a log:
    PyJWT lets some of them pass."""
    times = [claims[name] for name in ("exp", "iat", "nbf") if name in claims]
    texts = [claims.get("sub"), claims.get("iss")]
    return not (
        all(type(t) in (int, float) and abs(t) <= 2**53 for t in times)
        and all(isinstance(t, str) and t and t.isprintable() for t in texts)
    )


@settings(max_examples=500, deadline=None)
@given(
    changes=st.lists(A_CHANGE, max_size=2),
    secret=st.sampled_from(["s" * 64] * 9 + ["t" * 64]),
    algorithm=st.sampled_from(["HS256"] * 8 + ["HS512", "HS384"]),
)
def test_a_token_is_judged_as_pyjwt_judges_it(
    changes: list[tuple[str, Any]], secret: str, algorithm: str
) -> None:
    claims = {k: v for k, v in {**GOOD, **dict(changes)}.items() if v != ABSENT}
    token = jwt.api_jws.encode(json.dumps(claims).encode(), secret, algorithm=algorithm)
    ours, theirs = our_verdict(token), verdict_of_pyjwt(token)
    assert ours == theirs or (stricter(claims) and ours == "invalid")
