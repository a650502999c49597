"""Everything a deployment needs, looked at before anything is touched: all problems at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from pymacaron_ci.config import Config
from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Problem, Release
from pymacaron_ci.targets.aws import Aws, AwsRefused
from pymacaron_ci.targets.beanstalk import judging, network, option_settings
from pymacaron_ci.targets.beanstalk.bundle import Login
from pymacaron_ci.targets.beanstalk.cloud import EB

LOGIN_KEY = "docker/dockercfg"
_ECR = ".dkr.ecr."


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the account holds."""

    account: str
    caller: str
    region: str
    cname: str
    cname_free: bool
    platform: str
    login: Login | None
    notes: tuple[str, ...]
    now: datetime

    def role_arn(self, name: str) -> str:
        """A role's ARN, which stands in the caller's partition (aws, aws-cn, aws-us-gov)."""
        partition = self.caller.split(":")[1]
        return (
            name if name.startswith("arn:") else f"arn:{partition}:iam::{self.account}:role/{name}"
        )


class Preflight:
    """Reads only. `run` raises DeployError with every problem."""

    def __init__(self, config: Config, aws: Aws, application: str, prefix: str) -> None:
        self._settings, self._aws = config.settings, aws
        self._application, self._prefix = application, prefix
        self._host = urlsplit(config.live_url).hostname or ""
        self._problems: list[Problem] = []
        self._denied: list[str] = []
        self._notes: list[str] = []

    def run(self, release: Release) -> Found:
        identity = self._aws.call("sts", "get_caller_identity")
        self._account = str(identity["Account"])
        self._problems += option_settings.complaints(self._settings, release)
        name = self._ask(self._name) or {}
        platform = self._ask(self._platform) or ""
        login = self._ask(lambda: self._login(release.image.repository))
        for check in (
            self._bucket,
            self._key_pair,
            self._instance_profile,
            self._service_role,
            self._certificate,
            self._network,
            lambda: self._repository(release.image.repository),
            self._quotas,
            lambda: self._options(release, platform),
        ):
            self._ask(check)
        if self._denied:
            self._problems.append(judging.missing_rights(self._denied))
        if self._problems:
            raise DeployError(problems=self._problems)
        date = identity["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        return Found(
            account=self._account,
            caller=str(identity["Arn"]),
            region=self._aws.region,
            cname=str(name.get("FullyQualifiedCNAME", "")).lower(),
            cname_free=bool(name.get("Available")),
            platform=platform,
            login=login,
            notes=tuple(self._notes),
            now=_http_date(date),
        )

    def _ask(self, check: Callable[[], Any]) -> Any:
        """A check's answer; a right that is missing does not keep the others from being checked."""
        try:
            return check()
        except AwsRefused as refused:
            if not refused.denied:
                raise
            self._denied.append(f"{refused.service}:{refused.operation}")
            return None

    def _wrong(self, text: str, hint: str | None = None) -> None:
        self._problems.append(Problem(text=text, hint=hint))

    def _found(self, operation: tuple[str, str], *absent: str, **parameters: Any) -> Any:
        """The answer, or None when AWS says with a code in `absent` that there is no such thing."""
        try:
            return self._aws.call(*operation, **parameters)
        except AwsRefused as refused:
            if refused.code in absent:
                return None
            raise

    def _name(self) -> Mapping[str, Any]:
        return self._aws.call(EB, "check_dns_availability", CNAMEPrefix=self._prefix)

    def _bucket(self) -> None:
        bucket = self._settings.docker_bucket
        try:
            answer = self._aws.call(
                "s3", "head_bucket", Bucket=bucket, ExpectedBucketOwner=self._account
            )
        except AwsRefused as refused:
            # HEAD has no body, so the status is all that S3 says.
            told = {
                "404": ("does not exist", f"aws s3 mb s3://{bucket}"),
                "301": ("is in another region", f"use a bucket in {self._aws.region}"),
                "403": (
                    f"is not open to account {self._account}",
                    "it may be somebody else's: choose another name; or s3:ListBucket is missing",
                ),
            }.get(refused.code)
            if told is None:
                raise
            self._wrong(f"the bucket {bucket} (docker_bucket) {told[0]}", told[1])
            return
        region = answer.get("BucketRegion") or self._aws.region
        if region != self._aws.region:
            self._wrong(
                f"the bucket {bucket} (docker_bucket) is in {region}, the environment in "
                f"{self._aws.region}",
                "Elastic Beanstalk needs a bucket in its own region",
            )

    def _key_pair(self) -> None:
        name = self._settings.aws_keypair
        operation = ("ec2", "describe_key_pairs")
        if not self._found(operation, "InvalidKeyPair.NotFound", KeyNames=[name]):
            self._wrong(
                f"there is no key pair {name} (aws_keypair) in {self._aws.region}",
                f"aws ec2 create-key-pair --key-name {name}",
            )

    def _instance_profile(self) -> None:
        name = self._settings.aws_instance_profile.rpartition("/")[2]
        operation = ("iam", "get_instance_profile")
        answer = self._found(operation, "NoSuchEntity", InstanceProfileName=name)
        if answer is None:
            self._wrong(
                f"there is no instance profile {name} (aws_instance_profile)",
                "docs/targets/aws-beanstalk.md has the commands that make it",
            )
        elif not answer["InstanceProfile"]["Roles"]:
            self._wrong(
                f"the instance profile {name} (aws_instance_profile) has no role",
                f"aws iam add-role-to-instance-profile --instance-profile-name {name} --role-name "
                f"{name}",
            )

    def _service_role(self) -> None:
        name = self._settings.aws_service_role.rpartition("/")[2]
        answer = self._found(("iam", "get_role"), "NoSuchEntity", RoleName=name)
        if answer is None:
            self._wrong(
                f"there is no role {name} (aws_service_role)",
                "docs/targets/aws-beanstalk.md has the commands that make it",
            )
        elif "elasticbeanstalk.amazonaws.com" not in json.dumps(
            answer["Role"].get("AssumeRolePolicyDocument", {})
        ):
            self._wrong(
                f"the role {name} (aws_service_role) does not let Elastic Beanstalk use it",
                "its trust policy must name the service elasticbeanstalk.amazonaws.com",
            )

    def _certificate(self) -> None:
        arn = self._settings.aws_cert_arn
        if not arn:
            return
        region = arn.split(":")[3]
        if region != self._aws.region:
            self._wrong(
                f"the certificate (aws_cert_arn) is in {region}, the environment in "
                f"{self._aws.region}",
                "request one in that region: a load balancer takes no other",
            )
            return
        operation = ("acm", "describe_certificate")
        answer = self._found(operation, "ResourceNotFoundException", CertificateArn=arn)
        if answer is None:
            self._wrong(
                f"there is no certificate {arn} (aws_cert_arn)", "see: aws acm list-certificates"
            )
            return
        self._problems += judging.certificate_problems(answer["Certificate"], self._host)

    def _network(self) -> None:
        name = self._settings.aws_vpc
        wanted = ("vpc-id", name) if name else ("is-default", "true")
        if not self._listed("describe_vpcs", "Vpcs", wanted[0], [wanted[1]]):
            self._problems.append(network.no_vpc(self._settings, self._aws.region))
        elif name:
            asked = network.asked(self._settings)
            found = self._listed("describe_subnets", "Subnets", "subnet-id", asked)
            self._problems += network.problems(self._settings, [network.subnet(s) for s in found])

    def _listed(self, operation: str, of: str, name: str, values: list[str]) -> list[Any]:
        """What EC2 has of those; a filter, unlike a list of IDs, leaves out what is not there."""
        filters = [{"Name": name, "Values": values}]
        return list(self._aws.call("ec2", operation, Filters=filters)[of]) if values else []

    def _platform(self) -> str:
        branch, pinned = self._settings.aws_platform_branch, self._settings.aws_platform_version
        filters = [
            {"Type": "PlatformBranchName", "Operator": "=", "Values": [branch]},
            {"Type": "PlatformStatus", "Operator": "=", "Values": ["Ready"]},
        ]
        found: list[dict[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            answer = self._aws.call(EB, "list_platform_versions", Filters=filters, **token)
            found += answer.get("PlatformSummaryList", [])
            if not answer.get("NextToken"):
                break
            token = {"NextToken": answer["NextToken"]}
        chosen = judging.choose_platform(found, pinned)
        if chosen is None:
            versions = ", ".join(sorted(p["PlatformVersion"] for p in found)) or "none"
            self._wrong(
                f"there is no version {pinned} of the platform {branch}: there are {versions}"
                if pinned
                else f"there is no platform branch '{branch}' (aws_platform_branch)",
                "aws elasticbeanstalk list-platform-branches",
            )
            return ""
        state = chosen.get("PlatformBranchLifecycleState", "").lower()
        if state in ("deprecated", "retired"):
            self._notes.append(f"the platform branch '{branch}' is {state}: move to a newer one")
        return str(chosen["PlatformArn"])

    def _login(self, repository: str) -> Login | None:
        """The registry's log-in, as 2.x kept it: an object in docker_bucket. ECR needs none."""
        registry = repository.partition("/")[0]
        if _ECR in registry:
            return None
        bucket = self._settings.docker_bucket
        where = f"s3://{bucket}/{LOGIN_KEY}"
        # What is wrong with the bucket itself is found by its own check.
        absent = ("NoSuchKey", "NoSuchBucket", "AccessDenied", "PermanentRedirect", "404", "403")
        answer = self._found(("s3", "get_object"), *absent, Bucket=bucket, Key=LOGIN_KEY)
        if answer is None:
            self._notes.append(f"no log-in for {registry} in {where}: the image must be public")
            return None
        problem = judging.login_problem(answer["Body"].read(), registry)
        if problem:
            self._wrong(f"{where} {problem}", "make it with: docker login")
        return Login(bucket=bucket, key=LOGIN_KEY)

    def _repository(self, repository: str) -> None:
        registry, _, path = repository.partition("/")
        if _ECR not in registry:
            return
        operation = ("ecr", "describe_repositories")
        parameters = {"registryId": registry.partition(".")[0], "repositoryNames": [path]}
        if self._found(operation, "RepositoryNotFoundException", **parameters) is None:
            self._wrong(
                f"there is no repository {path} in {registry}",
                f"aws ecr create-repository --repository-name {path}",
            )

    def _quotas(self) -> None:
        quotas = self._aws.call(EB, "describe_account_attributes").get("ResourceQuotas", {})
        most = quotas.get("EnvironmentQuota", {}).get("Maximum")
        if most is None:
            return
        answer = self._aws.call(EB, "describe_environments", IncludeDeleted=False)
        used = len([e for e in answer.get("Environments", []) if e.get("Status") != "Terminated"])
        if used >= most:
            self._wrong(
                f"all {most} environments that this account may have in {self._aws.region} exist",
                "end one, or ask AWS for more (Service Quotas, Elastic Beanstalk, Environments)",
            )

    def _options(self, release: Release, platform: str) -> None:
        """Elastic Beanstalk's own judgement of what we would set."""
        if not platform:
            return
        wanted = [
            o
            for o in option_settings.options(self._settings, release)
            if o.namespace != option_settings.PROPERTIES
        ]
        answer = self._aws.call(
            EB,
            "describe_configuration_options",
            PlatformArn=platform,
            Options=[{"Namespace": o.namespace, "OptionName": o.name} for o in wanted],
        )
        known = {(o["Namespace"], o["Name"]): o for o in answer.get("Options", [])}
        for option in wanted:
            described = known.get((option.namespace, option.name))
            where = f"{option.namespace} {option.name}"
            if described is None:
                self._wrong(f"the platform has no option setting {where}", "report this")
                continue
            problem = judging.option_problem(described, option.value)
            if problem:
                self._wrong(f"{where} = {option.value}: {problem}", "see the aws_ settings")


def _http_date(text: str) -> datetime:
    try:
        moment = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S %Z")
    except ValueError:
        return datetime.now(timezone.utc)
    return moment.replace(tzinfo=timezone.utc)
