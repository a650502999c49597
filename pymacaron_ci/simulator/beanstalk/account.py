"""The parts of a simulated AWS account that a deployment looks at: STS, IAM, EC2, ACM, ECR, S3."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pymacaron_ci.simulator.beanstalk.state import ACCOUNT, Account
from pymacaron_ci.simulator.beanstalk.wire import AwsError, error
from pymacaron_ci.simulator.files import write_atomic
from pymacaron_ci.simulator.web import Request, Response

Values = dict[str, Any]
DEFAULT_VPC = "vpc-0123456789abcdef0"
_YEAR = 365 * 24 * 3600.0


class AccountApi:
    """Operations of the small services: `<service>_<Operation>`."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def sts_GetCallerIdentity(self, _: Values) -> Values:
        return {
            "UserId": "AIDASIMULATED",
            "Account": ACCOUNT,
            "Arn": f"arn:aws:iam::{ACCOUNT}:user/simulated",
        }

    def ec2_DescribeKeyPairs(self, p: Values) -> Values:
        names = p.get("KeyNames") or []
        known = self._account.key_pairs
        for name in names:
            if known is not None and name not in known:
                raise AwsError("InvalidKeyPair.NotFound", f"The key pair '{name}' does not exist")
        return {"KeyPairs": [{"KeyName": n, "KeyPairId": "key-0123456789abcdef0"} for n in names]}

    def ec2_DescribeVpcs(self, p: Values) -> Values:
        known = self._account.networks
        vpcs = [
            {"VpcId": name, "State": "available", "IsDefault": known is None}
            for name in ([DEFAULT_VPC] if known is None else known)
        ]
        tests = {
            "vpc-id": lambda v: v["VpcId"],
            "is-default": lambda v: str(v["IsDefault"]).lower(),
        }
        return {"Vpcs": _filtered(vpcs, p, tests)}

    def ec2_DescribeSubnets(self, p: Values) -> Values:
        subnets = [
            {
                "SubnetId": name,
                "VpcId": vpc,
                "AvailabilityZone": zone,
                "AvailableIpAddressCount": 250,
                "State": "available",
            }
            for vpc, zones in (self._account.networks or {}).items()
            for name, zone in zones.items()
        ]
        tests = {"subnet-id": lambda s: s["SubnetId"], "vpc-id": lambda s: s["VpcId"]}
        return {"Subnets": _filtered(subnets, p, tests)}

    def iam_GetInstanceProfile(self, p: Values) -> Values:
        name = p["InstanceProfileName"]
        known = self._account.instance_profiles
        if known is not None and name not in known:
            raise AwsError("NoSuchEntity", f"Instance Profile {name} cannot be found.", 404)
        return {
            "InstanceProfile": {
                "Path": "/",
                "InstanceProfileName": name,
                "InstanceProfileId": "AIPASIMULATED0000000",
                "Arn": f"arn:aws:iam::{ACCOUNT}:instance-profile/{name}",
                "CreateDate": 0.0,
                "Roles": [self._role(name, "ec2.amazonaws.com")],
            }
        }

    def iam_GetRole(self, p: Values) -> Values:
        name = p["RoleName"]
        if self._account.roles is not None and name not in self._account.roles:
            raise AwsError("NoSuchEntity", f"The role with name {name} cannot be found.", 404)
        return {"Role": self._role(name, "elasticbeanstalk.amazonaws.com")}

    def _role(self, name: str, service: str) -> Values:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sts:AssumeRole",
        }
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        return {
            "Path": "/",
            "RoleName": name,
            "RoleId": "AROASIMULATED0000000",
            "Arn": f"arn:aws:iam::{ACCOUNT}:role/{name}",
            "CreateDate": 0.0,
            "AssumeRolePolicyDocument": quote(trust),
        }

    def acm_DescribeCertificate(self, p: Values) -> Values:
        arn = p["CertificateArn"]
        known = self._account.certificates
        if known is None:
            data: Values = {}
        elif arn in known:
            data = known[arn]
        else:
            raise AwsError(
                "ResourceNotFoundException",
                f"Could not find certificate {arn} in account {ACCOUNT}.",
            )
        hosts = data.get("hosts", ["*"])
        return {
            "Certificate": {
                "CertificateArn": arn,
                "DomainName": hosts[0],
                "SubjectAlternativeNames": hosts,
                "Status": data.get("status", "ISSUED"),
                "NotAfter": data.get("not_after", time.time() + _YEAR),
            }
        }

    def ecr_DescribeRepositories(self, p: Values) -> Values:
        found = []
        for name in p.get("repositoryNames") or []:
            known = self._account.repositories
            if known is not None and name not in known:
                raise AwsError(
                    "RepositoryNotFoundException",
                    f"The repository with name '{name}' does not exist in the registry with id "
                    f"'{ACCOUNT}'",
                )
            host = f"{ACCOUNT}.dkr.ecr.{self._account.region}.amazonaws.com"
            found.append({"repositoryName": name, "repositoryUri": f"{host}/{name}"})
        return {"repositories": found}


def _filtered(
    things: list[Values], p: Values, tests: Mapping[str, Callable[[Values], str]]
) -> list[Values]:
    """Those that every filter of EC2's takes; a filter of another kind is refused."""
    for wanted in p.get("Filters") or []:
        if wanted["Name"] not in tests:
            raise AwsError("InvalidParameterValue", f"The filter '{wanted['Name']}' is invalid")
        value = tests[wanted["Name"]]
        things = [t for t in things if value(t) in wanted["Values"]]
    return things


class Buckets:
    """S3, path style: what is needed to keep source bundles and hand out logs."""

    def __init__(self, folder: Path, account: Account) -> None:
        self._folder, self._account = folder, account

    def get(self, bucket: str, key: str) -> bytes | None:
        path = self._path(bucket, key)
        return path.read_bytes() if path.is_file() else None

    def put(self, bucket: str, key: str, data: bytes) -> None:
        write_atomic(self._path(bucket, key), data)

    def _path(self, bucket: str, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self._folder / quote(bucket, safe="") / name

    def serve(self, request: Request, request_id: str) -> Response:
        try:
            return self._serve(request)
        except AwsError as problem:
            kind, body = error("s3", problem, request_id)
            if request.method == "HEAD":
                body = b""
            headers = [("Content-Type", kind)]
            region = (self._account.buckets or {}).get(request.path.split("/")[1])
            if region:
                headers.append(("x-amz-bucket-region", region))
            return Response(problem.status, body, tuple(headers))

    def operation(self, request: Request) -> str:
        """The name botocore gives to a request of this form."""
        noun = "Object" if request.path.strip("/").count("/") else "Bucket"
        verbs = {"HEAD": "Head", "PUT": "Put" if noun == "Object" else "Create", "DELETE": "Delete"}
        if request.method == "GET":
            return "GetBucketLocation" if "location" in request.queries else f"Get{noun}"
        return verbs.get(request.method, "Post") + noun

    def _serve(self, request: Request) -> Response:
        bucket, _, key = request.path.lstrip("/").partition("/")
        body = request.body.read()
        operation = self.operation(request)
        self._check_owner(bucket, request, operation)
        if operation == "CreateBucket":
            if self._account.buckets is not None:
                self._account.buckets[bucket] = self._account.region
            return Response(200, headers=(("Location", f"/{bucket}"),))
        if operation == "HeadBucket":
            return Response(200, headers=(("x-amz-bucket-region", self._account.region),))
        if operation == "GetBucketLocation":
            namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
            name = "LocationConstraint"
            text = f'<{name} xmlns="{namespace}">{self._account.region}</{name}>'
            return Response(200, text.encode(), (("Content-Type", "application/xml"),))
        if operation == "PutObject":
            data = (
                _unchunked(body)
                if "aws-chunked" in request.headers.get("Content-Encoding", "")
                else body
            )
            _check_sum(data, request.headers.get("x-amz-checksum-sha256"))
            self.put(bucket, key, data)
            return Response(200, headers=(("ETag", _etag(data)),))
        if operation == "DeleteObject":
            self._path(bucket, key).unlink(missing_ok=True)
            return Response(204)
        data_or_none = self.get(bucket, key)
        if data_or_none is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        headers = (
            ("ETag", _etag(data_or_none)),
            ("Last-Modified", formatdate(usegmt=True)),
            ("Content-Type", "binary/octet-stream"),
        )
        return Response(200, data_or_none, headers)

    def _check_owner(self, bucket: str, request: Request, operation: str) -> None:
        owner = request.headers.get("x-amz-expected-bucket-owner")
        if bucket in self._account.foreign_buckets or owner not in (None, ACCOUNT):
            raise AwsError("AccessDenied", "Access Denied", 403)
        known = self._account.buckets
        if known is None or operation == "CreateBucket" or bucket.startswith("elasticbeanstalk-"):
            return
        if bucket not in known:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
        if known[bucket] != self._account.region:
            raise AwsError(
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified "
                "endpoint.",
                301,
            )


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _check_sum(data: bytes, wanted: str | None) -> None:
    if wanted and base64.b64encode(hashlib.sha256(data).digest()).decode() != wanted:
        raise AwsError("BadDigest", "The SHA256 you specified did not match what we received.")


def _unchunked(body: bytes) -> bytes:
    """The payload of `aws-chunked` framing: hexadecimal size, optional signature, data."""
    data, rest = b"", body
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line.split(b";")[0] or b"0", 16)
        if size == 0:
            break
        data, rest = data + rest[:size], rest[size + 2 :]
    return data
