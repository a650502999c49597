"""Secrets Manager and Parameter Store: the tool asks where secrets are, servers get the values."""

from __future__ import annotations

import json
import zlib
from typing import Any

from pymacaron_ci.simulator.beanstalk.state import ACCOUNT, Account
from pymacaron_ci.simulator.beanstalk.wire import AwsError

Values = dict[str, Any]


class SecretStores:
    """Operations (`<service>_<Operation>`), and `value` for what an environment refers to."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def secretsmanager_DescribeSecret(self, p: Values) -> Values:
        name = self._secret_name(p["SecretId"])
        known = self._account.secrets
        if known is not None and name not in known:
            raise AwsError(
                "ResourceNotFoundException", "Secrets Manager can't find the specified secret."
            )
        return {"ARN": self._secret_arn(name), "Name": name}

    def ssm_DescribeParameters(self, p: Values) -> Values:
        (wanted,) = p["ParameterFilters"]
        known = self._account.parameters
        found = [n for n in wanted["Values"] if known is None or n in known]
        return {"Parameters": [{"Name": n, "Type": "SecureString"} for n in found[:1]]}

    def value(self, reference: str) -> str:
        """What a server finds in its environment. Raises LookupError in the platform's words."""
        service, path = reference.split(":")[2], reference.split(":", 5)[5]
        if service == "ssm":
            return self._parameter(path.removeprefix("parameter/"), reference)
        full, _, key = path.removeprefix("secret:").partition(":")
        name = full.rpartition("-")[0]
        known = self._account.secrets
        if known is not None and name not in known:
            raise LookupError(
                f"Failed to retrieve secret {reference}: ResourceNotFoundException: Secrets "
                "Manager can't find the specified secret."
            )
        text = known[name] if known is not None else f"simulated {name}"
        if not key or known is None:
            return text
        try:
            return str(json.loads(text)[key])
        except (ValueError, KeyError, TypeError):
            raise LookupError(f"Failed to retrieve secret {reference}: it has no {key}") from None

    def _parameter(self, path: str, reference: str) -> str:
        known = self._account.parameters
        if known is None:
            return f"simulated {path}"
        for name in (path, f"/{path}"):
            if name in known:
                return known[name]
        raise LookupError(f"Failed to retrieve secret {reference}: ParameterNotFound")

    def _secret_arn(self, name: str) -> str:
        suffix = f"{zlib.crc32(name.encode()):08x}"[:6]
        return f"arn:aws:secretsmanager:{self._account.region}:{ACCOUNT}:secret:{name}-{suffix}"

    def _secret_name(self, given: str) -> str:
        if not given.startswith("arn:"):
            return given
        return given.split(":", 6)[6].rpartition("-")[0]
