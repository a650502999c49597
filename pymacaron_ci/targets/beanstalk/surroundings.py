"""What an environment needs around it: bucket, keys, roles, certificate, network, secrets."""

from __future__ import annotations

import json
from typing import Any

from pymacaron_ci.options import Settings
from pymacaron_ci.targets.aws import Aws, AwsRefused
from pymacaron_ci.targets.beanstalk import judging, network, secrets
from pymacaron_ci.targets.beanstalk.bundle import Login
from pymacaron_ci.targets.beanstalk.notebook import Notebook
from pymacaron_ci.targets.beanstalk.secrets import Reference

LOGIN_KEY = "docker/dockercfg"
_ECR = ".dkr.ecr."


class Surroundings:
    """Reads only; what is wrong goes into the notebook. `caller` is the deployer's ARN."""

    def __init__(
        self,
        settings: Settings,
        aws: Aws,
        notebook: Notebook,
        *,
        account: str,
        caller: str,
        host: str,
    ) -> None:
        self._settings, self._aws, self._notebook = settings, aws, notebook
        self._account, self._partition = account, caller.split(":")[1]
        self._host = host

    def _found(self, operation: tuple[str, str], *absent: str, **parameters: Any) -> Any:
        """The answer, or None when AWS says with a code in `absent` that there is no such thing."""
        try:
            return self._aws.call(*operation, **parameters)
        except AwsRefused as refused:
            if refused.code in absent:
                return None
            raise

    def bucket(self) -> None:
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
            self._notebook.wrong(f"the bucket {bucket} (docker_bucket) {told[0]}", told[1])
            return
        region = answer.get("BucketRegion") or self._aws.region
        if region != self._aws.region:
            self._notebook.wrong(
                f"the bucket {bucket} (docker_bucket) is in {region}, the environment in "
                f"{self._aws.region}",
                "Elastic Beanstalk needs a bucket in its own region",
            )

    def key_pair(self) -> None:
        name = self._settings.aws_keypair
        operation = ("ec2", "describe_key_pairs")
        if not self._found(operation, "InvalidKeyPair.NotFound", KeyNames=[name]):
            self._notebook.wrong(
                f"there is no key pair {name} (aws_keypair) in {self._aws.region}",
                f"aws ec2 create-key-pair --key-name {name}",
            )

    def instance_profile(self) -> None:
        name = self._settings.aws_instance_profile.rpartition("/")[2]
        operation = ("iam", "get_instance_profile")
        answer = self._found(operation, "NoSuchEntity", InstanceProfileName=name)
        if answer is None:
            self._notebook.wrong(
                f"there is no instance profile {name} (aws_instance_profile)",
                "docs/targets/aws-beanstalk.md has the commands that make it",
            )
        elif not answer["InstanceProfile"]["Roles"]:
            self._notebook.wrong(
                f"the instance profile {name} (aws_instance_profile) has no role",
                f"aws iam add-role-to-instance-profile --instance-profile-name {name} --role-name "
                f"{name}",
            )

    def service_role(self) -> None:
        name = self._settings.aws_service_role.rpartition("/")[2]
        answer = self._found(("iam", "get_role"), "NoSuchEntity", RoleName=name)
        if answer is None:
            self._notebook.wrong(
                f"there is no role {name} (aws_service_role)",
                "docs/targets/aws-beanstalk.md has the commands that make it",
            )
        elif "elasticbeanstalk.amazonaws.com" not in json.dumps(
            answer["Role"].get("AssumeRolePolicyDocument", {})
        ):
            self._notebook.wrong(
                f"the role {name} (aws_service_role) does not let Elastic Beanstalk use it",
                "its trust policy must name the service elasticbeanstalk.amazonaws.com",
            )

    def certificate(self) -> None:
        arn = self._settings.aws_cert_arn
        if not arn:
            return
        region = arn.split(":")[3]
        if region != self._aws.region:
            self._notebook.wrong(
                f"the certificate (aws_cert_arn) is in {region}, the environment in "
                f"{self._aws.region}",
                "request one in that region: a load balancer takes no other",
            )
            return
        operation = ("acm", "describe_certificate")
        answer = self._found(operation, "ResourceNotFoundException", CertificateArn=arn)
        if answer is None:
            self._notebook.wrong(
                f"there is no certificate {arn} (aws_cert_arn)", "see: aws acm list-certificates"
            )
            return
        self._notebook.problems += judging.certificate_problems(answer["Certificate"], self._host)

    def network(self) -> None:
        name = self._settings.aws_vpc
        wanted = ("vpc-id", name) if name else ("is-default", "true")
        if not self._listed("describe_vpcs", "Vpcs", wanted[0], [wanted[1]]):
            self._notebook.problems.append(network.no_vpc(self._settings, self._aws.region))
        elif name:
            asked = network.asked(self._settings)
            found = self._listed("describe_subnets", "Subnets", "subnet-id", asked)
            subnets = [network.subnet(raw) for raw in found]
            self._notebook.problems += network.problems(self._settings, subnets)

    def _listed(self, operation: str, of: str, name: str, values: list[str]) -> list[Any]:
        """What EC2 has of those; a filter, unlike a list of IDs, leaves out what is not there."""
        filters = [{"Name": name, "Values": values}]
        return list(self._aws.call("ec2", operation, Filters=filters)[of]) if values else []

    def secrets(self) -> dict[str, str]:
        """Variable → where its value is; never what it is."""
        arns: dict[str, str] = {}
        for variable, wanted in secrets.references(self._settings.aws_secrets).items():
            by_service = {"ssm": self._parameter, "secretsmanager": self._secret}
            arn = by_service[wanted.service](variable, wanted)
            if arn:
                arns[variable] = wanted.option(arn)
        return arns

    def _secret(self, variable: str, wanted: Reference) -> str | None:
        operation = ("secretsmanager", "describe_secret")
        found = self._found(operation, "ResourceNotFoundException", SecretId=wanted.name)
        if found is None or found.get("DeletedDate"):
            state = "is being deleted" if found else f"does not exist in {self._aws.region}"
            self._notebook.wrong(
                f"aws_secrets: {variable}: the secret {wanted.name} {state}",
                "aws secretsmanager list-secrets",
            )
            return None
        return str(found["ARN"])

    def _parameter(self, variable: str, wanted: Reference) -> str | None:
        names = secrets.parameter_names(wanted)
        filters = [{"Key": "Name", "Option": "Equals", "Values": names}]
        answer = self._aws.call("ssm", "describe_parameters", ParameterFilters=filters)
        if not answer.get("Parameters"):
            self._notebook.wrong(
                f"aws_secrets: {variable}: there is no parameter {wanted.name} in "
                f"{self._aws.region}",
                "aws ssm describe-parameters",
            )
            return None
        return secrets.parameter_arn(
            answer["Parameters"][0]["Name"],
            partition=self._partition,
            region=self._aws.region,
            account=self._account,
        )

    def login(self, repository: str) -> Login | None:
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
            self._notebook.note(f"no log-in for {registry} in {where}: the image must be public")
            return None
        problem = judging.login_problem(answer["Body"].read(), registry)
        if problem:
            self._notebook.wrong(f"{where} {problem}", "make it with: docker login")
        return Login(bucket=bucket, key=LOGIN_KEY)

    def repository(self, repository: str) -> None:
        registry, _, path = repository.partition("/")
        if _ECR not in registry:
            return
        operation = ("ecr", "describe_repositories")
        parameters = {"registryId": registry.partition(".")[0], "repositoryNames": [path]}
        if self._found(operation, "RepositoryNotFoundException", **parameters) is None:
            self._notebook.wrong(
                f"there is no repository {path} in {registry}",
                f"aws ecr create-repository --repository-name {path}",
            )
