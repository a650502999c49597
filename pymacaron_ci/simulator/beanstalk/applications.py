"""The operations of the simulated Elastic Beanstalk on all that is not an environment."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from pymacaron_ci.simulator.beanstalk import catalog
from pymacaron_ci.simulator.beanstalk.bundle import valid_bundle
from pymacaron_ci.simulator.beanstalk.engine import Engine, storage_bucket
from pymacaron_ci.simulator.beanstalk.state import ACCOUNT, Store, Timings, Version
from pymacaron_ci.simulator.beanstalk.wire import AwsError

Values = dict[str, Any]


def invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValue", message)


class Applications:
    """Parameters in, the members of the answer out."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        timings: Timings,
        bundle: Callable[[Version], bytes | None],
    ) -> None:
        self.store, self.engine, self.timings = store, engine, timings
        self.state = store.state
        self.url = ""  # of this server, for the links in answers
        self.request_id = ""  # of the call being served
        self._bundle = bundle

    @property
    def region(self) -> str:
        return self.state.account.region

    def arn(self, kind: str, name: str) -> str:
        return f"arn:aws:elasticbeanstalk:{self.region}:{ACCOUNT}:{kind}/{name}"

    def CreateApplication(self, p: Values) -> Values:
        name = p["ApplicationName"]
        if name in self.state.applications:
            raise invalid(f"Application {name} already exists.")
        now = time.time()
        self.state.applications[name] = {
            "description": p.get("Description", ""),
            "created": now,
            "updated": now,
            "tags": tags_of(p),
            "lifecycle": None,
        }
        return {"Application": self._application(name)}

    def DescribeApplications(self, p: Values) -> Values:
        wanted = p.get("ApplicationNames") or list(self.state.applications)
        names = [n for n in self.state.applications if n in wanted]
        return {"Applications": [self._application(n) for n in names]}

    def _application(self, name: str) -> Values:
        data = self.state.applications[name]
        return {
            "ApplicationArn": self.arn("application", name),
            "ApplicationName": name,
            "Description": data["description"],
            "DateCreated": data["created"],
            "DateUpdated": data["updated"],
            "Versions": [v.label for v in self.state.versions if v.application == name],
            "ConfigurationTemplates": [],
            "ResourceLifecycleConfig": data["lifecycle"],
        }

    def known_application(self, name: str) -> None:
        if name not in self.state.applications:
            raise invalid(f"No Application named '{name}' found.")

    def UpdateApplicationResourceLifecycle(self, p: Values) -> Values:
        self.known_application(p["ApplicationName"])
        self.state.applications[p["ApplicationName"]]["lifecycle"] = p["ResourceLifecycleConfig"]
        return {
            "ApplicationName": p["ApplicationName"],
            "ResourceLifecycleConfig": p["ResourceLifecycleConfig"],
        }

    def CreateStorageLocation(self, _: Values) -> Values:
        return {"S3Bucket": storage_bucket(self.region)}

    def DescribeAccountAttributes(self, _: Values) -> Values:
        account = self.state.account
        return {
            "ResourceQuotas": {
                "ApplicationQuota": {"Maximum": 75},
                "ApplicationVersionQuota": {"Maximum": account.version_quota},
                "EnvironmentQuota": {"Maximum": account.environment_quota},
                "ConfigurationTemplateQuota": {"Maximum": 2000},
                "CustomPlatformQuota": {"Maximum": 50},
            }
        }

    def CreateApplicationVersion(self, p: Values) -> Values:
        name, label = p["ApplicationName"], p["VersionLabel"]
        if name not in self.state.applications and p.get("AutoCreateApplication"):
            self.CreateApplication({"ApplicationName": name})
        self.known_application(name)
        if self.state.version(name, label):
            raise invalid(f"Application Version {label} already exists.")
        if len(self.state.versions) >= self.state.account.version_quota:
            raise AwsError(
                "TooManyApplicationVersionsException",
                f"You cannot have more than {self.state.account.version_quota} "
                "Application Versions.",
            )
        source = p.get("SourceBundle") or {}
        version = Version(
            application=name,
            label=label,
            description=p.get("Description", ""),
            bucket=source.get("S3Bucket", ""),
            key=source.get("S3Key", ""),
            status="PROCESSING" if p.get("Process") else "UNPROCESSED",
            created=time.time(),
            updated=time.time(),
            tags=tags_of(p),
        )
        if source and self._bundle(version) is None:
            raise invalid(
                f"Unable to download from S3 location (Bucket: {version.bucket}  "
                f"Key: {version.key}). Reason: Not Found"
            )
        self.state.versions.append(version)
        return {"ApplicationVersion": self._version(version)}

    def DescribeApplicationVersions(self, p: Values) -> Values:
        found = [
            v
            for v in reversed(self.state.versions)
            if v.application == p.get("ApplicationName", v.application)
            and v.label in (p.get("VersionLabels") or [v.label])
        ]
        page, token = page_of(found, p)
        return {"ApplicationVersions": [self._version(v) for v in page], "NextToken": token}

    def _version(self, version: Version) -> Values:
        if version.status == "PROCESSING" and time.time() > version.created + self.timings.process:
            version.status = "FAILED" if valid_bundle(self._bundle(version)) else "PROCESSED"
            version.updated = time.time()
        return {
            "ApplicationVersionArn": self.arn(
                "applicationversion", f"{version.application}/{version.label}"
            ),
            "ApplicationName": version.application,
            "Description": version.description,
            "VersionLabel": version.label,
            "SourceBundle": {"S3Bucket": version.bucket, "S3Key": version.key},
            "DateCreated": version.created,
            "DateUpdated": version.updated,
            "Status": version.status,
        }

    def DeleteApplicationVersion(self, p: Values) -> Values:
        self.known_application(p["ApplicationName"])
        version = self.state.version(p["ApplicationName"], p["VersionLabel"])
        if version is None:
            raise invalid(f"No Application Version named '{p['VersionLabel']}' found.")
        if any(
            (e.application, e.version) == (version.application, version.label)
            for e in self.state.there()
        ):
            raise AwsError(
                "SourceBundleDeletionFailure",
                f"Unable to delete application version {version.label} because it is deployed to a "
                "running environment.",
            )
        self.state.versions.remove(version)
        return {}

    def _platforms(self) -> list[Values]:
        return [
            {
                "PlatformArn": catalog.platform_arn(self.region, branch, number),
                "PlatformOwner": "AWSElasticBeanstalk",
                "PlatformStatus": "Ready",
                "PlatformCategory": "Docker",
                "OperatingSystemName": "Amazon Linux",
                "OperatingSystemVersion": branch.rpartition("Amazon Linux ")[2],
                "SupportedTierList": ["WebServer/Standard"],
                "PlatformVersion": number,
                "PlatformBranchName": branch,
                "PlatformBranchLifecycleState": state,
                "PlatformLifecycleState": "recommended" if number == "4.11.0" else None,
            }
            for number, branch, state in catalog.PLATFORMS
        ]

    def ListPlatformVersions(self, p: Values) -> Values:
        found = [
            row
            for row in self._platforms()
            if all(row.get(f["Type"]) in f["Values"] for f in p.get("Filters", []))
        ]
        return {"PlatformSummaryList": found}

    def DescribePlatformVersion(self, p: Values) -> Values:
        for row in self._platforms():
            if row["PlatformArn"] == p.get("PlatformArn"):
                del row["SupportedTierList"]
                row["DateCreated"] = catalog.RELEASED.get(row["PlatformVersion"])
                return {"PlatformDescription": row}
        raise invalid(f"No Platform named '{p.get('PlatformArn')}' found.")

    def ListPlatformBranches(self, _: Values) -> Values:
        branches = {branch: state for _, branch, state in catalog.PLATFORMS}
        return {
            "PlatformBranchSummaryList": [
                {
                    "PlatformName": branch.partition(" running on ")[0],
                    "BranchName": branch,
                    "LifecycleState": state,
                    "BranchOrder": order,
                    "SupportedTierList": ["WebServer/Standard"],
                }
                for order, (branch, state) in enumerate(branches.items(), 1)
            ]
        }

    def ListAvailableSolutionStacks(self, _: Values) -> Values:
        return {"SolutionStacks": [name for _, name in catalog.known_platforms(self.region)]}

    def DescribeConfigurationOptions(self, p: Values) -> Values:
        wanted = p.get("Options")
        keys = [(o["Namespace"], o["OptionName"]) for o in wanted] if wanted else catalog.OPTIONS
        options = [catalog.OPTIONS[k].described() for k in keys if k in catalog.OPTIONS]
        return {
            "SolutionStackName": p.get("SolutionStackName"),
            "PlatformArn": p.get("PlatformArn"),
            "Options": options,
        }

    def ListTagsForResource(self, p: Values) -> Values:
        tags = self._tagged(p["ResourceArn"])
        return {
            "ResourceArn": p["ResourceArn"],
            "ResourceTags": [{"Key": k, "Value": v} for k, v in tags.items()],
        }

    def UpdateTagsForResource(self, p: Values) -> Values:
        tags = self._tagged(p["ResourceArn"])
        environment = next((e for e in self.state.there() if e.tags is tags), None)
        if environment and environment.status != "Ready":
            raise AwsError("OperationInProgressFailure", f"{environment.name} is being updated")
        tags.update({t["Key"]: t["Value"] for t in p.get("TagsToAdd", [])})
        for key in p.get("TagsToRemove", []):
            tags.pop(key, None)
        if environment:  # its resources are tagged too, so this is an update of the environment
            environment.status = "Updating"
            self.engine.begin(environment, "tags", self.request_id, self.timings.update)
        return {}

    def _tagged(self, arn: str) -> dict[str, str]:
        kind, _, name = arn.rpartition(":")[2].partition("/")
        if kind == "environment":
            wanted = name.rpartition("/")[2]
            for environment in self.state.there():
                if environment.name == wanted:
                    return environment.tags
        if kind == "applicationversion":
            version = self.state.version(*name.split("/", 1))
            if version:
                return version.tags
        if kind == "application" and name in self.state.applications:
            tags: dict[str, str] = self.state.applications[name]["tags"]
            return tags
        raise AwsError("ResourceNotFoundException", f"Resource not found: {arn}")


def tags_of(p: Values) -> dict[str, str]:
    tags = {t["Key"]: t.get("Value", "") for t in p.get("Tags", [])}
    for key, value in tags.items():
        if not value:
            raise invalid(f"Tag value for key '{key}' must not be empty.")
        if key.startswith(("aws:", "elasticbeanstalk:")):
            raise invalid(f"Tag key '{key}' uses a reserved prefix.")
        if not re.fullmatch(r"[\w .:/=+@-]*", f"{key}{value}"):
            raise invalid(f"Tag '{key}' holds a character that is not allowed: {value!r}")
    return tags


def page_of(found: list[Any], p: Values) -> tuple[list[Any], str | None]:
    start = int(p.get("NextToken") or 0)
    end = start + (p.get("MaxRecords") or 1000)
    return found[start:end], str(end) if end < len(found) else None
