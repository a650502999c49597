"""AWS as this tool calls it: sessions, time-outs, retries, and refusals as sentences."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from botocore.config import Config as BotoConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError

from pymacaron_ci import __version__
from pymacaron_ci.errors import DeployError, NoCredentials

EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "InsufficientPrivilegesException",
    "403",
}
HOW_TO_LOG_IN = (
    "in a workflow: aws-role-to-assume (docs/oidc.md); on a laptop: aws configure, with a profile "
    "named like aws_user, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)
_LOGIN = {"InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException"}


# A client is made with a method for each operation of its service: with only these, in a tenth of
# the time. A service that is not listed has all of its own.
OPERATIONS = {
    "acm": {"DescribeCertificate"},
    "ec2": {"DescribeKeyPairs", "DescribeSubnets", "DescribeVpcs"},
    "ecr": {"DescribeRepositories"},
    "iam": {"GetInstanceProfile", "GetRole"},
    "s3": {"GetObject", "HeadBucket", "PutObject"},
    "secretsmanager": {"DescribeSecret"},
    "ssm": {"DescribeParameters"},
}


class _Models:
    """botocore's loader of service models, without the operations that nobody here calls."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def load_service_model(self, service: str, kind: str, api_version: str | None = None) -> Any:
        model = self._loader.load_service_model(service, kind, api_version)
        if kind != "service-2" or service not in OPERATIONS:
            return model
        operations = {n: o for n, o in model["operations"].items() if n in OPERATIONS[service]}
        return {**model, "operations": operations}


class AwsRefused(DeployError):
    """AWS said no; `code` and `message` are its own words."""

    def __init__(self, service: str, operation: str, code: str, message: str) -> None:
        self.service, self.operation, self.code, self.message = service, operation, code, message
        super().__init__(
            f"AWS refused {service}:{operation}: {message or code} ({code})", hint=_hint(code)
        )

    @property
    def denied(self) -> bool:
        return self.code in DENIED


class AwsUnreachable(DeployError):
    """No answer, or none that makes sense: nobody knows whether AWS did what it was asked to."""


class Aws:
    """Calls by service and operation. When credentials expire, the session is made anew, once."""

    def __init__(
        self,
        make_session: Callable[[], Any],
        *,
        endpoint: str | None = None,
        endpoints: Mapping[str, str] | None = None,
        attempts: int = 6,
        read_timeout: float = 60,
    ) -> None:
        self._make_session = make_session
        self._endpoint, self._endpoints = endpoint, dict(endpoints or {})
        self._attempts, self._read_timeout = attempts, read_timeout
        self._session: Any = None
        self._clients: dict[tuple[str, int], Any] = {}
        self._lock = threading.Lock()

    @property
    def region(self) -> str:
        name = self._current().region_name
        if not name:
            raise DeployError(
                "the AWS region is not known", hint="add `aws_region: <region>` to pym-config.yaml"
            )
        return str(name)

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """The answer to an operation in snake case. Repeats what failed on the way, so it is for
        calls that may be made twice."""
        return self._renewing(service, operation, self._attempts, parameters)

    def call_once(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """The same without repeating: for a call that, made twice, would undo itself."""
        return self._renewing(service, operation, 1, parameters)

    def _renewing(
        self, service: str, operation: str, attempts: int, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        try:
            return self._readable(service, operation, attempts, parameters)
        except AwsRefused as refused:
            if refused.code not in EXPIRED:
                raise
        with self._lock:
            self._session, self._clients = None, {}
        return self._readable(service, operation, attempts, parameters)

    def _readable(
        self, service: str, operation: str, attempts: int, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """botocore repeats no call whose answer broke off."""
        for _ in range(attempts):
            try:
                return self._call(service, operation, attempts, parameters)
            except ResponseParserError as error:
                broken = error
        raise AwsUnreachable(f"AWS's answer to {service} {operation} broke off") from broken

    def _call(
        self, service: str, operation: str, attempts: int, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        client = self._client(service, attempts)
        try:
            answer: dict[str, Any] = getattr(client, operation)(**parameters)
        except ClientError as error:
            detail = error.response.get("Error", {})
            name = client.meta.method_to_api_mapping[operation]
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code, message = str(detail.get("Code", "")), str(detail.get("Message", ""))
            if status >= 500:
                raise AwsUnreachable(
                    f"AWS failed to serve {service}:{name}: {message or code}",
                    hint="see https://health.aws.amazon.com and run the same command again",
                ) from error
            raise AwsRefused(service, name, code, message) from error
        except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
            raise NoCredentials(
                f"no usable AWS credentials: {error}", hint=HOW_TO_LOG_IN
            ) from error
        except BotoCoreError as error:
            name = client.meta.method_to_api_mapping[operation]
            raise AwsUnreachable(
                f"AWS did not answer {service}:{name}: {error}",
                hint="check the network and the region, and run the same command again",
            ) from error
        return answer

    def _current(self) -> Any:
        with self._lock:
            if self._session is None:
                self._session = self._make_session()
                core = self._session._session
                core.register_component("data_loader", _Models(core.get_component("data_loader")))
            return self._session

    def _client(self, service: str, attempts: int) -> Any:
        session = self._current()
        key = (service, attempts)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = session.client(
                    service,
                    region_name=session.region_name,
                    endpoint_url=self._endpoints.get(service, self._endpoint),
                    config=BotoConfig(
                        retries={"mode": "standard", "total_max_attempts": attempts},
                        connect_timeout=10,
                        read_timeout=self._read_timeout,
                        user_agent_extra=f"pymacaron-ci/{__version__}",
                    ),
                )
            return self._clients[key]


def _hint(code: str) -> str | None:
    if code in EXPIRED:
        return (
            "the credentials expired: run the same command again, it goes on where this one stopped"
        )
    if code in DENIED:
        return "docs/targets/aws-beanstalk.md has the policy that deploying needs"
    if code in _LOGIN:
        return "the AWS credentials are wrong: check the key, or the role and its trust policy"
    if code.startswith("Throttling"):
        return "AWS is busy with this account's calls: run the same command again in a minute"
    return None
