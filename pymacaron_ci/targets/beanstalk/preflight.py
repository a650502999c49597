"""Everything a deployment needs, looked at before anything is touched: all problems at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from pymacaron_ci.config import Config
from pymacaron_ci.model import Release
from pymacaron_ci.targets.aws import Aws
from pymacaron_ci.targets.beanstalk import judging, option_settings, secrets
from pymacaron_ci.targets.beanstalk.bundle import Login
from pymacaron_ci.targets.beanstalk.cloud import EB
from pymacaron_ci.targets.beanstalk.notebook import Notebook
from pymacaron_ci.targets.beanstalk.surroundings import Surroundings


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
    secrets: Mapping[str, str]
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
        self._notebook = Notebook()

    def run(self, release: Release) -> Found:
        identity = self._aws.call("sts", "get_caller_identity")
        account, caller = str(identity["Account"]), str(identity["Arn"])
        around = Surroundings(
            self._settings,
            self._aws,
            self._notebook,
            account=account,
            caller=caller,
            host=self._host,
        )
        ask = self._notebook.ask
        self._notebook.problems += option_settings.complaints(self._settings, release)
        name = ask(self._name) or {}
        platform = ask(self._platform) or ""
        login = ask(lambda: around.login(release.image.repository))
        secret_arns = ask(around.secrets) or {}
        for check in (
            around.bucket,
            around.key_pair,
            around.instance_profile,
            around.service_role,
            around.certificate,
            around.network,
            lambda: around.repository(release.image.repository),
            self._quotas,
            lambda: self._options(release, platform),
        ):
            ask(check)
        self._notebook.close()
        date = identity["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        return Found(
            account=account,
            caller=caller,
            region=self._aws.region,
            cname=str(name.get("FullyQualifiedCNAME", "")).lower(),
            cname_free=bool(name.get("Available")),
            platform=platform,
            login=login,
            secrets=secret_arns,
            notes=tuple(self._notebook.notes),
            now=_http_date(date),
        )

    def _name(self) -> Mapping[str, Any]:
        return self._aws.call(EB, "check_dns_availability", CNAMEPrefix=self._prefix)

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
            self._notebook.wrong(
                f"there is no version {pinned} of the platform {branch}: there are {versions}"
                if pinned
                else f"there is no platform branch '{branch}' (aws_platform_branch)",
                "aws elasticbeanstalk list-platform-branches",
            )
            return ""
        state = chosen.get("PlatformBranchLifecycleState", "").lower()
        if state in ("deprecated", "retired"):
            self._notebook.note(f"the platform branch '{branch}' is {state}: move to a newer one")
        if pinned and self._settings.aws_secrets:
            self._know_secrets(str(chosen["PlatformArn"]))
        return str(chosen["PlatformArn"])

    def _know_secrets(self, arn: str) -> None:
        answer = self._aws.call(EB, "describe_platform_version", PlatformArn=arn)
        made = answer.get("PlatformDescription", {}).get("DateCreated")
        if made and f"{made:%Y-%m-%d}" < secrets.SINCE:
            self._notebook.wrong(
                f"aws_platform_version {self._settings.aws_platform_version} is of {made:%Y-%m-%d}"
                f" and does not know aws_secrets, as those since {secrets.SINCE} do",
                "name a newer version, or take aws_platform_version out",
            )

    def _quotas(self) -> None:
        quotas = self._aws.call(EB, "describe_account_attributes").get("ResourceQuotas", {})
        most = quotas.get("EnvironmentQuota", {}).get("Maximum")
        if most is None:
            return
        answer = self._aws.call(EB, "describe_environments", IncludeDeleted=False)
        used = len([e for e in answer.get("Environments", []) if e.get("Status") != "Terminated"])
        if used >= most:
            self._notebook.wrong(
                f"all {most} environments that this account may have in {self._aws.region} exist",
                "end one, or ask AWS for more (Service Quotas, Elastic Beanstalk, Environments)",
            )

    def _options(self, release: Release, platform: str) -> None:
        """Elastic Beanstalk's own judgement of what we would set."""
        if not platform:
            return
        wanted = [
            o
            for o in option_settings.options(self._settings, release, {})
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
                self._notebook.wrong(f"the platform has no option setting {where}", "report this")
                continue
            problem = judging.option_problem(described, option.value)
            if problem:
                self._notebook.wrong(
                    f"{where} = {option.value}: {problem}", "see the aws_ settings"
                )


def _http_date(text: str) -> datetime:
    try:
        moment = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S %Z")
    except ValueError:
        return datetime.now(timezone.utc)
    return moment.replace(tzinfo=timezone.utc)
