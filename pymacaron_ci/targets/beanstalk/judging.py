"""Judgements of what AWS told about an account's parts. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from pymacaron_ci.model import Problem


def choose_platform(
    platforms: list[dict[str, Any]], pinned: str | None
) -> Mapping[str, Any] | None:
    """The pinned version, else the recommended one, else the newest; compared as numbers."""
    if pinned:
        return next((p for p in platforms if p["PlatformVersion"] == pinned), None)
    ordered = sorted(
        platforms, key=lambda p: [int(n) for n in p["PlatformVersion"].split(".") if n.isdigit()]
    )
    best = [p for p in ordered if p.get("PlatformLifecycleState", "").lower() == "recommended"]
    return next(reversed(best or ordered), None)


def certificate_problems(certificate: Mapping[str, Any], host: str) -> Iterator[Problem]:
    status = certificate.get("Status")
    if status != "ISSUED":
        yield Problem(
            text=f"the certificate (aws_cert_arn) is {status}, not ISSUED",
            hint="add the DNS record that ACM asks for"
            if status == "PENDING_VALIDATION"
            else "request another one",
        )
        return
    until = certificate.get("NotAfter")
    if until and until <= datetime.now(until.tzinfo):
        yield Problem(text=f"the certificate (aws_cert_arn) expired on {until:%Y-%m-%d}")
    covered = certificate.get("SubjectAlternativeNames") or [certificate.get("DomainName", "")]
    if host and not any(covers(name, host) for name in covered):
        yield Problem(
            text=f"the certificate (aws_cert_arn) covers {', '.join(covered)}, not {host} of "
            "live_url",
            hint="request one for that host, or correct live_url",
        )


def covers(name: str, host: str) -> bool:
    """RFC 6125: a star stands for exactly one label, the first."""
    name, host = name.lower(), host.lower()
    return name == host or (name.startswith("*.") and host.partition(".")[2] == name[2:])


def login_problem(data: bytes, registry: str) -> str | None:
    """What is wrong with a Docker log-in file; its content is never repeated."""
    try:
        value = json.loads(data)
        auths = value.get("auths", value)
        hosts = [urlsplit(h if "//" in h else f"//{h}").hostname or "" for h in auths]
    except (ValueError, AttributeError, TypeError):
        return "is not a Docker log-in file (JSON)"
    wanted = registry.partition(":")[0]
    aliases = {wanted, "index.docker.io"} if wanted == "docker.io" else {wanted}
    if not aliases & set(hosts):
        return (
            f"has no log-in for {registry}, but for {', '.join(filter(None, hosts)) or 'nothing'}"
        )
    return None


def option_problem(described: Mapping[str, Any], value: str) -> str | None:
    allowed = described.get("ValueOptions")
    if allowed and described.get("ValueType", "Scalar") == "Scalar" and value not in allowed:
        return f"it must be one of {', '.join(allowed)}"
    least, most = described.get("MinValue"), described.get("MaxValue")
    if value.isdigit():
        if least is not None and int(value) < least:
            return f"it must be {least} at least"
        if most is not None and int(value) > most:
            return f"it must be {most} at most"
    length = described.get("MaxLength")
    if length and len(value) > length:
        return f"it has {len(value)} characters, {length} are allowed"
    return None


def missing_rights(denied: list[str]) -> Problem:
    actions = sorted({_IAM_ACTIONS.get(d, d) for d in denied})
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return Problem(
        text=f"the credentials lack rights: {', '.join(actions)}",
        hint=f"add this policy to them: {policy}",
    )


_IAM_ACTIONS = {"s3:HeadBucket": "s3:ListBucket", "s3:HeadObject": "s3:GetObject"}
