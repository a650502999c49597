"""Checks of single values beyond what a rule expresses: URLs, ARNs, regions, memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from pymacaron_ci.options.declare import Complaint
from pymacaron_ci.options.regions import AWS_REGIONS, GOOGLE_REGIONS
from pymacaron_ci.options.spelling import nearest
from pymacaron_ci.quoting import quoted

_HOST_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")
MEMORY = r"[0-9]+(?:\.[0-9]+)?(?:M|G|T|Ki|Mi|Gi|Ti)"
URL = r"https?://[^\s/?#@]+(?:/[^\s?#]*)?"
BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
REGION_OF_AWS = (
    r"(?:us|eu|ap|sa|ca|me|af|cn|il|mx|eusc)(?:-(?:gov|iso[a-z]?|de))?-"
    r"(?:north|south|east|west|central|northeast|northwest|southeast|southwest)-[1-9][0-9]?"
)
REGION_OF_GOOGLE = (
    r"(?:africa|asia|australia|europe|me|northamerica|southamerica|us)-"
    r"(?:north|south|east|west|central|northeast|northwest|southeast|southwest)[1-9][0-9]?"
)
CERTIFICATE = (
    rf"arn:aws(?:-cn|-us-gov)?:acm:{REGION_OF_AWS}:[0-9]{{12}}:certificate/[A-Za-z0-9-]+"
    r"|arn:aws(?:-cn|-us-gov)?:iam::[0-9]{12}:server-certificate/[A-Za-z0-9_+=,.@/-]+"
)


def memory_bytes(amount: str) -> int:
    """The bytes of a memory size: `512Mi` is 512 * 2^20, `1G` is 10^9. Raises ValueError."""
    match = _AMOUNT.fullmatch(amount)
    if not match or match[2] not in UNITS:
        raise ValueError(f"not a memory size: {amount}")
    return int(float(match[1]) * UNITS[match[2]])


def memory(amount: str) -> Complaint | None:
    match = _AMOUNT.fullmatch(amount)
    if not match:
        return Complaint(text=f"{quoted(amount)} is not a memory size", hint="write 512Mi or 1Gi")
    number, unit = match[1], match[2]
    if unit not in UNITS or unit in {"", "k"} or " " in amount:
        meant = {"k": "Ki", "m": "Mi", "g": "Gi", "t": "Ti"}.get(unit[:1].lower(), "Mi")
        reason = "has no unit" if not unit else f"has the unit {unit[:10]}, which is unknown"
        if unit == "m":
            reason = "means thousandths of a byte"
        return Complaint(
            text=f"the memory size {quoted(amount)} {reason}",
            hint=f"did you mean {number}{meant}? (Mi and Gi are 2^20 and 2^30 bytes)",
        )
    size = memory_bytes(amount)
    if size == 0:
        return Complaint(text="a container without memory can't run", hint="write 512Mi or more")
    if not unit.endswith("i"):
        return Complaint(
            text=f"{amount} is {size:,} bytes, {size / 2**20:,.0f} MiB: less than {amount}i",
            hint=f"write {amount}i if you mean powers of two",
            severity="warning",
        )
    return None


def url(value: str) -> Complaint | None:
    example = "write something like https://api.example.com"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return Complaint(text="this is not a URL", hint=example)
    if any(c.isspace() for c in value):
        return Complaint(text="a URL holds no blanks", hint=example)
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value):
        return Complaint(text="the URL does not start with https://", hint=example)
    if parts.scheme not in {"http", "https"}:
        return Complaint(text=f"the URL starts with {parts.scheme}://", hint=example)
    if parts.username is not None or parts.password is not None:
        return Complaint(text="the URL holds a user or a password", hint="remove it")
    if port == 0:
        return Complaint(text="the URL has port 0", hint=example)
    complaint = host(parts.hostname or "")
    if complaint:
        return complaint
    return _beyond_host(parts)


def _beyond_host(parts: SplitResult) -> Complaint | None:
    if parts.query or parts.fragment:
        return Complaint(
            text="the URL holds a query or a fragment",
            hint=f"write {parts.scheme}://{parts.netloc}",
        )
    if parts.path.strip("/"):
        return Complaint(
            text=f"the URL has a path: the service answers /ping and /version at the root of its "
            f"host, and is looked for at {parts.scheme}://{parts.netloc}{parts.path}",
            hint=f"write {parts.scheme}://{parts.netloc} if the path is not part of every address",
            severity="warning",
        )
    return None


def host(value: str) -> Complaint | None:
    """A host name or address; a port may follow."""
    name, _, port = value.partition(":") if value.count(":") == 1 else (value, "", "")
    if "://" in value or "/" in value:
        return Complaint(text="this is a URL, not a host", hint="write api.example.com")
    if port and not (port.isdigit() and 0 < int(port[:9]) < 65536):
        return Complaint(text="the port is not a number from 1 to 65535")
    if not name:
        return Complaint(text="there is no host in it", hint="write api.example.com")
    if re.fullmatch(r"[0-9a-f:]+", name):
        return None
    if not name.isascii():
        return Complaint(
            text="the host holds characters that need punycode", hint="write its xn--… form"
        )
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        return Complaint(
            text=f"{quoted(name)} is not a host name",
            hint="letters, digits and hyphens, parts of at most 63 characters",
        )
    if name in {"localhost", "127.0.0.1"} or name.endswith(".localhost"):
        return Complaint(
            text=f"{name} is this machine only: nobody else reaches the service there",
            hint="write the service's public host",
            severity="warning",
        )
    return None


def google_region(value: str) -> Complaint | None:
    zone = re.fullmatch(rf"({REGION_OF_GOOGLE})-[a-z]", value)
    if zone:
        return Complaint(text=f"{value} is a zone, not a region", hint=f"write {zone[1]}")
    return _region(value, "Google Cloud", REGION_OF_GOOGLE, GOOGLE_REGIONS, "europe-west1")


def aws_region(value: str) -> Complaint | None:
    zone = re.fullmatch(rf"({REGION_OF_AWS})[a-z]", value)
    if zone:
        return Complaint(
            text=f"{value} is an availability zone, not a region", hint=f"write {zone[1]}"
        )
    return _region(value, "AWS", REGION_OF_AWS, AWS_REGIONS, "eu-west-1")


def google_location(value: str) -> Complaint | None:
    """A region or a zone."""
    return google_region(re.sub(r"-[a-z]$", "", value))


def _region(
    value: str, cloud: str, shape: str, known: Sequence[str], example: str
) -> Complaint | None:
    if value in known:
        return None
    near = nearest(value, known)
    hint = f"did you mean {near}?" if near else f"write a region such as {example}"
    if re.fullmatch(shape, value):
        # Clouds open regions more often than people upgrade: the preflight asks the cloud itself.
        return Complaint(
            text=f"{value} is no region of {cloud} that this version knows",
            hint=hint,
            severity="warning",
        )
    return Complaint(text=f"{quoted(value)} is not a region of {cloud}", hint=hint)


def certificate(value: str) -> Complaint | None:
    if re.fullmatch(CERTIFICATE, value):
        return None
    hint = "write arn:aws:acm:<region>:<12 digits>:certificate/<id>, as the ACM console shows it"
    if not value.startswith("arn:"):
        return Complaint(text="this is not an ARN", hint=hint)
    service = (value.split(":") + [""] * 3)[2]
    if service not in {"acm", "iam"}:
        return Complaint(
            text=f"this is the ARN of something in {service[:20] or 'no service'}, "
            "not of a certificate",
            hint=hint,
        )
    return Complaint(text="this ARN of a certificate is malformed", hint=hint)


def registry(value: str) -> Complaint | None:
    if value == "gcr.io" or value.endswith(".gcr.io"):
        return Complaint(
            text=f"{quoted(value)} was shut down in March 2025",
            hint="use Artifact Registry: <region>-docker.pkg.dev, which is the default",
        )
    if "@" in value:
        return Complaint(
            text="a registry is a host, without a user or a password",
            hint="log-ins come from the environment or from `docker login`",
        )
    if "://" in value:
        return Complaint(text="a registry is a host, not a URL", hint="write it without https://")
    if "/" in value:
        return Complaint(
            text="a registry is a host without a path",
            hint="the path is docker_repo (Beanstalk) or docker_repository (Google)",
        )
    complaint = host(value)
    return complaint if complaint and complaint.severity == "error" else None


def steps(value: Sequence[int]) -> Complaint | None:
    """Percentages of traffic."""
    if list(value) != sorted(set(value)) or any(not 0 < v <= 100 for v in value):
        return Complaint(
            text="traffic goes up in steps from 1 to 100", hint="write [10, 50, 100], say"
        )
    if value and value[-1] != 100:
        return Complaint(text="the last step is not 100", hint="the new revision must get it all")
    return None


def cpu(value: str) -> Complaint | None:
    """What Cloud Run offers: whole numbers of CPUs, or a part of one."""
    hint = "write 1, 2, 4, 6, 8, or a fraction from 0.08 on"
    millis = re.fullmatch(r"([0-9]+)m", value)
    try:
        amount = int(millis[1]) / 1000 if millis else float(value)
    except ValueError:
        return Complaint(text=f"{quoted(value)} is not a number of CPUs", hint=hint)
    if amount in {1, 2, 4, 6, 8} or 0.08 <= amount < 1:
        return None
    return Complaint(text=f"Cloud Run has no containers with {quoted(value)} CPUs", hint=hint)


def bucket(value: str) -> Complaint | None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""
    hint = "3 to 63 lower-case letters, digits, dots and hyphens"
    if "://" in value or "/" in value:
        return Complaint(text="this is a path or a URL, not the name of a bucket", hint=hint)
    good = re.fullmatch(BUCKET, value)
    if not good or ".." in value or re.fullmatch(r"[0-9]+(\.[0-9]+){3}", value):
        return Complaint(text=f"{quoted(value)} can't be the name of an S3 bucket", hint=hint)
    return None
