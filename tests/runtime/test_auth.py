"""Tokens: made, checked, remembered, renewed; and who the current user is."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import jwt
import pytest
from flask import Flask, g

from pymacaron import token_rules, tokens
from pymacaron.auth import (
    add_auth,
    authenticate_http_request,
    backend_token,
    generate_token,
    get_token_issuer,
    get_user_token,
    get_user_token_data,
    get_userid,
    load_auth_token,
    requires_auth,
)
from pymacaron.config import ConfigError, PyMacaronConfig
from pymacaron.crash import ErrorHandling
from pymacaron.exceptions import (
    AuthInvalidTokenError,
    AuthMissingHeaderError,
    AuthTokenExpiredError,
)
from tests.runtime.conftest import SECRET, WriteConfig
from tests.runtime.serving import MODULE, serve, swagger

pytestmark = pytest.mark.usefixtures("jwt_config")


@pytest.fixture
def app() -> Iterator[Flask]:
    app = Flask("auth")
    with app.test_request_context():
        yield app


def claims_of(token: str) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return claims


def test_a_generated_token_carries_the_documented_claims() -> None:
    before = int(time.time())
    token = generate_token("ada", data={"language": "en"})
    claims = claims_of(token)
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    assert {k: claims[k] for k in ("iss", "sub", "aud", "language")} == {
        "iss": "hello.example.com",
        "sub": "ada",
        "aud": "greeters",
        "language": "en",
    }
    assert before <= int(str(claims["iat"])) <= time.time()
    assert int(str(claims["exp"])) - int(str(claims["iat"])) == 86400


def test_lifetime_issuer_and_time_of_issue_can_be_given() -> None:
    claims = claims_of(generate_token("ada", expire_in=60, issuer="other", iat=1000))
    assert (claims["iss"], claims["iat"], claims["exp"]) == ("other", 1000, 1060)


def test_the_default_lifetime_is_configured(jwt_config: PyMacaronConfig) -> None:
    jwt_config.jwt_token_timeout = 5
    claims = claims_of(generate_token("ada", iat=1000))
    assert claims["exp"] == 1005


def test_generate_token_changes_none_of_its_arguments() -> None:
    data = {"sub": "mallory", "roles": ["a"]}
    token = generate_token("ada", data=data)
    assert data == {"sub": "mallory", "roles": ["a"]}
    assert claims_of(token)["sub"] == "ada"
    assert "language" not in claims_of(generate_token("ada"))


def test_a_user_id_that_is_a_number_becomes_text() -> None:
    assert load_auth_token(generate_token(7), load=False)["sub"] == "7"  # type: ignore[arg-type]


@pytest.mark.parametrize(("user", "data"), [("", {}), (None, {}), ("ada", "no dict")])
def test_a_token_needs_a_user_and_a_dict(user: str, data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"generate_token\("):
        generate_token(user, data=data)


def test_a_token_gives_its_claims_and_itself() -> None:
    token = generate_token("ada", data={"language": "en"})
    payload = load_auth_token(token, load=False)
    assert (payload["sub"], payload["language"], payload["token"]) == ("ada", "en", token)


def test_load_decides_whether_the_token_becomes_the_users(app: Flask) -> None:
    load_auth_token(generate_token("ada"), load=False)
    assert get_userid() == ""
    load_auth_token(generate_token("ada"))
    assert get_userid() == "ada"


def test_a_token_expires_after_its_time_and_the_leeway() -> None:
    now = int(time.time())
    load_auth_token(generate_token("ada", iat=now - 1000, expire_in=1000 - 290), load=False)
    with pytest.raises(AuthTokenExpiredError):
        load_auth_token(generate_token("ada", iat=now - 1000, expire_in=1000 - 310), load=False)


def test_a_token_may_come_from_a_clock_that_is_a_little_ahead() -> None:
    now = int(time.time())
    load_auth_token(generate_token("ada", iat=now + 290), load=False)
    with pytest.raises(AuthInvalidTokenError, match="issued in the future"):
        load_auth_token(generate_token("ada", iat=now + 310), load=False)


def test_a_remembered_token_still_expires(jwt_config: PyMacaronConfig) -> None:
    token = generate_token("ada", expire_in=10)
    load_auth_token(token, load=False)
    later = time.time() + 10 + tokens.LEEWAY + 1
    with pytest.raises(AuthTokenExpiredError):
        tokens.verified(token, token_rules.rules(jwt_config), clock=lambda: later)


def test_a_remembered_token_is_not_good_for_another_secret(jwt_config: PyMacaronConfig) -> None:
    token = generate_token("ada")
    load_auth_token(token, load=False)
    jwt_config.jwt_secret = "another-secret-of-the-tests-that-is-long"
    with pytest.raises(AuthInvalidTokenError, match="signature"):
        load_auth_token(token, load=False)


def test_what_a_caller_does_to_the_claims_stays_with_that_caller() -> None:
    token = generate_token("ada", data={"roles": ["reader"]})
    first = load_auth_token(token, load=False)
    first["sub"] = "mallory"
    first["roles"].append("admin")
    again = load_auth_token(token, load=False)
    assert (again["sub"], again["roles"]) == ("ada", ["reader"])


def test_the_memory_of_tokens_is_bounded() -> None:
    memory = tokens._Memory(3)
    for n in range(10):
        memory.put(b"%d" % n, tokens.Known({"exp": n}, flat=True))
    assert memory.get(b"6") is None
    assert memory.get(b"9") == ({"exp": 9}, True)


@pytest.mark.parametrize(
    "other",
    [
        {"secret": "t" * 32},
        {"issuer": "else"},
        {"audience": "else"},
        {"algorithms": ("HS384",)},
    ],
)
def test_a_remembered_token_is_good_under_its_own_rules_only(other: dict[str, Any]) -> None:
    own = token_rules.Rules(secret="s" * 32, issuer="i", audience="a")
    now = int(time.time())
    token = tokens.signed({"sub": "ada", "iat": now, "exp": now + 60}, own)
    for _ in range(2):
        assert tokens.verified(token, own)["sub"] == "ada"
        with pytest.raises(AuthInvalidTokenError):
            tokens.verified(token, replace(own, **other))


def call(header: str | None = None, cookie: str | None = None) -> dict[str, object]:
    headers = {} if header is None else {"Authorization": header}
    if cookie is not None:
        headers["Cookie"] = f"token={cookie}"
    with Flask("auth").test_request_context(headers=headers):
        return authenticate_http_request()


def test_the_token_comes_in_the_header() -> None:
    token = generate_token("ada")
    for header in (f"Bearer {token}", f"bearer {token}", f"  Bearer   {token} "):
        assert call(header)["sub"] == "ada"


def test_the_token_comes_in_a_cookie() -> None:
    token = generate_token("ada")
    assert call(cookie=quote_plus(f"Bearer {token}"))["sub"] == "ada"
    assert call("", cookie=f"Bearer%20{token}")["sub"] == "ada"


@pytest.mark.parametrize("header", [None, "", " "])
def test_no_token_is_a_missing_header(header: str | None) -> None:
    with pytest.raises(AuthMissingHeaderError):
        call(header)


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer1234567890", "bearer foo bar", "Bearer 1234567890", "Basic YTpi"],
)
def test_a_header_that_is_no_bearer_token_is_invalid(header: str) -> None:
    with pytest.raises(AuthInvalidTokenError):
        call(header)


def test_a_header_of_one_token_and_foreign_blanks_is_invalid() -> None:
    token = generate_token("ada")
    for header in (f"Bearer\xa0{token}", f"Bearer {token},Bearer {token}", f"Bearer {token} x"):
        with pytest.raises(AuthInvalidTokenError):
            call(header)


def test_requires_auth_calls_the_handler_for_a_good_token_only() -> None:
    app = Flask("auth")
    ErrorHandling().install(app)

    @app.get("/me")
    @requires_auth
    def me() -> dict[str, str]:
        return {"user": get_userid()}

    client = app.test_client()
    token = generate_token("ada")
    assert client.get("/me", headers={"Authorization": f"Bearer {token}"}).json == {"user": "ada"}
    refused = client.get("/me")
    assert refused.status_code == 401
    assert refused.json is not None
    assert refused.json["error"] == "AUTHORIZATION_HEADER_MISSING"
    assert client.get("/me", headers={"Authorization": "Bearer x"}).status_code == 401


def test_requires_auth_keeps_a_coroutine_function_one() -> None:
    @requires_auth
    async def me(name: str) -> str:
        return f"{name} {get_userid()}"

    assert asyncio.iscoroutinefunction(me)
    header = {"Authorization": f"Bearer {generate_token('ada')}"}
    with Flask("auth").test_request_context(headers=header):
        assert asyncio.run(me("hello")) == "hello ada"


def test_add_auth_passes_the_users_token_on(app: Flask) -> None:
    @add_auth
    def remote(**kwargs: object) -> object:
        return kwargs["headers"]

    token = load_auth_token(generate_token("ada"))["token"]
    given = {"X-More": "1"}
    assert remote(headers=given) == {"X-More": "1", "Authorization": f"Bearer {token}"}
    assert given == {"X-More": "1"}


def test_the_users_data_is_at_hand_in_the_request(app: Flask) -> None:
    token = generate_token("ada", data={"language": "en"})
    load_auth_token(token)
    assert get_userid() == "ada"
    assert get_user_token() == token
    assert get_user_token_data()["language"] == "en"
    assert get_token_issuer() == "hello.example.com"
    assert g.current_user["sub"] == "ada"


def test_without_a_user_or_a_request_there_is_nothing() -> None:
    assert (get_userid(), get_user_token(), get_user_token_data()) == ("", "", {})
    assert get_token_issuer() == "hello.example.com"


def test_a_request_knows_nothing_of_the_one_before() -> None:
    app = Flask("auth")
    with app.test_request_context():
        load_auth_token(generate_token("ada"))
    with app.test_request_context():
        assert get_userid() == ""


def test_a_backend_token_stands_in_for_the_users_within_its_block(app: Flask) -> None:
    own = load_auth_token(generate_token("ada"))["token"]
    with backend_token(data={"kind": "batch"}) as token:
        assert get_user_token() == token
        assert claims_of(token)["sub"] == "PYM_DEFAULT_USER_ID"
        assert claims_of(token)["kind"] == "batch"
        assert get_userid() == "ada"
    assert get_user_token() == own


def test_a_backend_token_is_taken_back_when_the_block_fails(app: Flask) -> None:
    def fail() -> None:
        with backend_token(user_id="job", issuer="elsewhere") as token:
            assert claims_of(token)["iss"] == "elsewhere"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert get_user_token() == ""
    assert "current_user" not in g


def test_a_backend_token_needs_a_request() -> None:
    with pytest.raises(RuntimeError, match="outside of request context"), backend_token():
        pass


@pytest.mark.parametrize("setting", ["jwt_secret", "jwt_issuer", "jwt_audience"])
def test_a_missing_setting_is_named(jwt_config: PyMacaronConfig, setting: str) -> None:
    token = generate_token("ada")
    setattr(jwt_config, setting, None)
    with pytest.raises(ConfigError, match=f"{setting} is not set"):
        load_auth_token(token)


def start(secret: object, jwt_config: PyMacaronConfig) -> None:
    jwt_config.jwt_secret = secret
    ErrorHandling().install(Flask("auth"))


def test_a_short_secret_is_a_warning_at_the_start(
    jwt_config: PyMacaronConfig, caplog: pytest.LogCaptureFixture
) -> None:
    start("x" * 31, jwt_config)
    assert "fewer than 32 bytes" in caplog.text
    assert "xxxx" not in caplog.text
    caplog.clear()
    start("x" * 32, jwt_config)
    assert caplog.text == ""


@pytest.mark.parametrize("secret", ["", "jwt_secret", "TEST_JWT_SECRET", 12345678])
def test_a_secret_anybody_can_guess_stops_the_start(
    jwt_config: PyMacaronConfig, secret: object
) -> None:
    with pytest.raises(ConfigError, match="jwt_secret"):
        start(secret, jwt_config)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("protected", [False, True])
def test_half_the_jwt_settings_stop_the_start_of_whoever_needs_tokens(
    asynchronous: bool,
    protected: bool,
    write_config: WriteConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_config(f"name: hello\njwt_secret: {SECRET}\n")

    def handle() -> None:
        return None

    async def handle_async() -> None:
        return None

    operation: dict[str, object] = {
        "x-bind-server": f"{MODULE}.handle",
        "responses": {"204": {"description": "x"}},
    }
    if protected:
        operation["x-decorate-server"] = "pymacaron.auth.requires_auth"
    handlers = {"handle": handle_async if asynchronous else handle}
    spec = swagger({"/a": {"get": operation}})
    if protected:
        with pytest.raises(ConfigError) as error:
            serve(tmp_path, monkeypatch, spec, handlers)
        told = str(error.value)
    else:
        serve(tmp_path, monkeypatch, spec, handlers)
        told = caplog.text
    assert "jwt_issuer is not set" in told
    assert "jwt_audience is not set" in told


def test_a_service_with_operations_for_users_but_no_jwt_settings_is_warned(
    write_config: WriteConfig, caplog: pytest.LogCaptureFixture
) -> None:
    write_config("name: hello\n")
    ErrorHandling().install(Flask("auth"), needs_tokens=True)
    for name in ("jwt_secret", "jwt_issuer", "jwt_audience"):
        assert f"{name} is not set" in caplog.text


def test_no_token_is_made_that_this_service_would_refuse(jwt_config: PyMacaronConfig) -> None:
    jwt_config.jwt_algorithms = ["RS256"]
    jwt_config.jwt_public_key = "the PEM of somebody else"
    with pytest.raises(ConfigError, match=r"would be refused here: .* add HS256 to it"):
        generate_token("ada")
    ErrorHandling().install(Flask("auth"))
    jwt_config.jwt_renew = True
    with pytest.raises(ConfigError, match="jwt_renew: tokens made here would be refused"):
        ErrorHandling().install(Flask("auth"))


def test_foreign_algorithms_without_their_keys_or_their_library_stop_the_start(
    jwt_config: PyMacaronConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    jwt_config.jwt_algorithms = ["RS256"]
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ConfigError) as error:
        ErrorHandling().install(Flask("auth"))
    assert str(error.value).splitlines() == [
        "jwt_algorithms has RS256: set jwt_public_key or jwt_jwks_url too",
        "jwt_algorithms has RS256: install 'pymacaron[jwks]' to check such tokens",
    ]


def test_no_secret_at_all_is_fine_for_an_api_without_users(write_config: WriteConfig) -> None:
    write_config("name: hello\nlive_url: https://x.example.com\n")
    ErrorHandling().install(Flask("auth"))


def renewal(jwt_config: PyMacaronConfig, *, age: int) -> str | None:
    app = Flask("auth")
    ErrorHandling().install(app)
    app.add_url_rule("/me", "me", requires_auth(lambda: "ok"))
    token = generate_token("ada", iat=int(time.time()) - age, data={"language": "en"})
    answer = app.test_client().get("/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    return answer.headers.get("X-Renewed-Token")


def test_an_old_token_is_renewed_in_the_answer(jwt_config: PyMacaronConfig) -> None:
    jwt_config.jwt_renew = True
    fresh = renewal(jwt_config, age=10900)
    assert fresh is not None
    claims = load_auth_token(fresh, load=False)
    assert (claims["sub"], claims["language"]) == ("ada", "en")
    assert time.time() - claims["iat"] < 60
    assert claims["exp"] - claims["iat"] == 86400


def test_a_young_token_is_not_renewed(jwt_config: PyMacaronConfig) -> None:
    jwt_config.jwt_renew = True
    assert renewal(jwt_config, age=10700) is None


def test_nothing_is_renewed_unless_asked_for(jwt_config: PyMacaronConfig) -> None:
    assert renewal(jwt_config, age=10900) is None


def test_no_log_line_shows_a_token_or_the_secret(
    app: Flask, jwt_config: PyMacaronConfig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    token = generate_token("ada")
    load_auth_token(token)
    with backend_token() as other, pytest.raises(AuthInvalidTokenError):
        load_auth_token(other + "x")
    for text in (SECRET, token, other):
        assert text not in caplog.text
    assert SECRET not in repr(token_rules.rules(jwt_config))
