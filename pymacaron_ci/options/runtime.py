"""Settings that only the running service reads: known here, so that a misspelt one is noticed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pymacaron_ci.options import urls, values
from pymacaron_ci.options.declare import option


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Runtime:
    """Read where the service runs; the name of a secret may stand for each value."""

    jwt_secret: str | None = option(
        default=None,
        help="secret that signs and verifies JWT tokens, or its variable's name",
        container=True,
        sensitive=True,
        example="PYM_JWT_SECRET",
    )
    jwt_audience: str | None = option(
        default=None,
        help="audience of JWT tokens",
        container=True,
        example="helloworldaudience",
    )
    jwt_issuer: str | None = option(
        default=None, help="issuer of JWT tokens", container=True, example="api.example.com"
    )
    jwt_token_timeout: int = option(
        default=86400,
        help="seconds that a new token lives",
        container=True,
        rule={"min": 1},
        example=3600,
    )
    jwt_token_renew_after: int = option(
        default=10800,
        help="seconds after which a token is renewed",
        container=True,
        rule={"min": 0},
        example=1800,
    )
    jwt_renew: bool = option(
        default=False,
        help="send a fresh token in a response header when the caller's is older than "
        "jwt_token_renew_after",
        container=True,
        example=True,
    )
    jwt_algorithms: tuple[str, ...] = option(
        default=("HS256",),
        help="algorithms accepted in tokens; more than HS256 for tokens made elsewhere",
        container=True,
        rule={
            "schema": {
                "type": "string",
                "allowed": [
                    *("HS256", "HS384", "HS512", "RS256", "RS384", "RS512"),
                    *("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"),
                ],
            },
            "minlength": 1,
        },
        example=["HS256", "RS256"],
    )
    jwt_public_key: str | None = option(
        default=None,
        help="public key (PEM) of tokens made elsewhere",
        container=True,
        rule={"minlength": 1},
        example="PYM_JWT_PUBLIC_KEY",
    )
    jwt_jwks_url: str | None = option(
        default=None,
        help="URL of the public keys of tokens made elsewhere",
        container=True,
        form="an https URL: keys over http can be forged",
        rule={"regex": r"(https://|http://(localhost|127\.0\.0\.1)[:/])\S+"},
        example="https://id.example.com/.well-known/jwks.json",
    )
    env_jwt_secret: str | None = option(
        default=None,
        help="name of the variable with the JWT secret, as PyMacaron 1 had it; use jwt_secret",
        container=True,
        example="PYM_JWT_SECRET",
    )
    env_jwt_audience: str | None = option(
        default=None,
        help="name of the variable with the JWT audience, as PyMacaron 1 had it; use jwt_audience",
        container=True,
        example="PYM_JWT_AUDIENCE",
    )
    default_user_id: str = option(
        default="PYM_DEFAULT_USER_ID",
        help="user of tokens that name none",
        container=True,
        example="nobody",
    )

    report_call_exceeding_ms: int = option(
        default=1000,
        help="milliseconds after which a call is reported as slow",
        container=True,
        rule={"min": 0},
        example=500,
    )
    apis_path: str | None = option(
        default=None,
        help="folder of the OpenAPI files; by default `apis/` beside this file",
        container=True,
        rule={"minlength": 1},
        example="apis",
    )
    strict_required: bool = option(
        default=True,
        help="answer 400 when a request body lacks a required property",
        container=True,
        example=False,
    )
    strict_models: bool = option(
        default=False,
        help="refuse unknown properties, and check assignments to models",
        container=True,
        example=True,
    )
    use_base_path: bool = option(
        default=False,
        help="put basePath, or the path of `servers`, in front of all routes",
        container=True,
        example=True,
    )
    validate_responses: bool = option(
        default=False,
        help="check every answer against its schema",
        container=True,
        example=True,
    )
    max_body_size: int = option(
        default=16 * 2**20,
        help="largest request body, in bytes",
        container=True,
        rule={"min": 1},
        example=1048576,
    )
    fast_path: bool = option(
        default=True,
        help="route the API's own operations before Flask does",
        container=True,
        example=False,
    )
    server: Literal["pymacaron", "gunicorn"] = option(
        default="pymacaron",
        help="what speaks HTTP in the container",
        container=True,
        example="gunicorn",
    )
    log_probes: bool = option(
        default=False,
        help="log the calls of /ping and its like, too",
        container=True,
        example=True,
    )
    prometheus: bool = option(
        default=False,
        help="count calls, and answer /metrics",
        container=True,
        example=True,
    )
    opentelemetry: bool | None = option(
        default=None,
        help="send traces; by default when OTEL_EXPORTER_OTLP_ENDPOINT is set",
        container=True,
        example=True,
    )

    broker_url: str = option(
        default="redis://localhost:6379/0",
        help="Celery's broker, or its variable's name",
        container=True,
        sensitive=True,
        rule={"minlength": 1},
        check=urls.broker,
        example="redis://redis:6379/0",
    )
    max_task_size: int = option(
        default=16 * 2**20,
        help="largest arguments of a task, in bytes as JSON",
        container=True,
        rule={"min": 1},
        example=1048576,
    )
    async_fallback: Literal["error", "inline"] = option(
        default="error",
        help="what a call of a task does when the broker is down",
        container=True,
        example="inline",
    )
    persist_url: str | None = option(
        default=None,
        help="store of persistent objects, in the place of DynamoDB",
        container=True,
        sensitive=True,
        rule={"minlength": 1},
        check=urls.persist,
        example="sqlite:///dev.db",
    )
    aws_region: str | None = option(
        default=None,
        help="AWS region; by default aws_default_region, or AWS's own settings",
        check=values.aws_region,
        shape=values.REGION_OF_AWS,
        example="eu-west-1",
    )
    aws_default_region: str | None = option(
        default=None,
        help="AWS region when aws_region is not given",
        check=values.aws_region,
        shape=values.REGION_OF_AWS,
        example="eu-west-1",
    )
    aws_access_key_id: str | None = option(
        default=None,
        help="AWS access key of the running service",
        container=True,
        rule={"minlength": 1},
        example="MY_AWS_KEY_ID",
    )
    aws_secret_access_key: str | None = option(
        default=None,
        help="secret of aws_access_key_id, or its variable's name",
        container=True,
        sensitive=True,
        rule={"minlength": 1},
        example="MY_AWS_SECRET",
    )

    scout_key: str | None = option(
        default=None,
        help="key of Scout APM: monitoring is on with it",
        container=True,
        sensitive=True,
        example="PYM_SCOUT_KEY",
    )
    scout_app_name: str | None = option(
        default=None,
        help="name of the application in Scout",
        container=True,
        example="hello",
    )
    app_name_live: str | None = option(
        default=None,
        help="name of the application in monitoring, live",
        container=True,
        example="hello",
    )
    app_name_dev: str | None = option(
        default=None,
        help="name of the application in monitoring, elsewhere",
        container=True,
        example="hello-dev",
    )
