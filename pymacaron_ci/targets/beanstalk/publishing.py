"""The application, the source bundle in S3, and the application version that points at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Release
from pymacaron_ci.targets.aws import AwsRefused
from pymacaron_ci.targets.beanstalk import bundle, names
from pymacaron_ci.targets.beanstalk.bundle import Login
from pymacaron_ci.targets.beanstalk.cloud import Cloud
from pymacaron_ci.targets.beanstalk.patience import Waiter
from pymacaron_ci.waiting import Pending, Ready

_KEPT_VERSIONS = 50


@dataclass(frozen=True)
class Published:
    label: str
    created: bool


class Publisher:
    """Everything here may be done twice: keys and labels come from the content."""

    def __init__(self, cloud: Cloud, waiter: Waiter, service: str, application: str) -> None:
        self._cloud, self._waiter = cloud, waiter
        self._service, self._application = service, application

    def publish(
        self, release: Release, bucket: str, account: str, login: Login | None, role: str
    ) -> Published:
        self._ensure_application(role)
        made = bundle.make(self._service, release.image, login)
        self._cloud.aws.call(
            "s3",
            "put_object",
            Bucket=bucket,
            Key=made.key,
            Body=made.data,
            ChecksumAlgorithm="SHA256",
            # A predictable name may be somebody else's bucket.
            ExpectedBucketOwner=account,
        )
        label = names.version_label(self._service, release.id, made.key)
        created = self._ensure_version(label, release, {"S3Bucket": bucket, "S3Key": made.key})
        self._wait_until_processed(label)
        return Published(label, created)

    def _ensure_application(self, role: str) -> None:
        known = self._cloud.call("describe_applications", ApplicationNames=[self._application])
        if known.get("Applications"):
            return
        rule = {"Enabled": True, "MaxCount": _KEPT_VERSIONS, "DeleteSourceFromS3": False}
        lifecycle = {"ServiceRole": role, "VersionLifecycleConfig": {"MaxCountRule": rule}}
        try:
            self._cloud.call(
                "create_application",
                ApplicationName=self._application,
                Description=f"{self._service}, deployed by pymacaron-ci",
                Tags=names.tag_list({names.SERVICE: self._service}),
                ResourceLifecycleConfig=lifecycle,
            )
        except AwsRefused as refused:
            if "already exists" not in refused.message:
                raise

    def _ensure_version(self, label: str, release: Release, source: dict[str, str]) -> bool:
        """Whether it was made just now."""
        present = self._version(label)
        if present is not None:
            self._same_bundle(present, source)
            return False
        try:
            self._cloud.call(
                "create_application_version",
                ApplicationName=self._application,
                VersionLabel=label,
                Description=f"release {release.id}, version {release.version}"[:200],
                SourceBundle=source,
                Process=True,
                Tags=names.tag_list({names.SERVICE: self._service, names.RELEASE: release.id}),
            )
        except AwsRefused as refused:
            if "already exists" not in refused.message:
                raise
            # The answer to our own first attempt was lost.
            self._same_bundle(self._version(label) or {}, source)
        return True

    def _version(self, label: str) -> dict[str, Any] | None:
        answer = self._cloud.call(
            "describe_application_versions",
            ApplicationName=self._application,
            VersionLabels=[label],
        )
        versions = answer.get("ApplicationVersions", [])
        return dict(versions[0]) if versions else None

    def _same_bundle(self, version: dict[str, Any], source: dict[str, str]) -> None:
        if version.get("SourceBundle") != source:
            raise DeployError(
                f"the application version {version.get('VersionLabel')} has another source bundle",
                hint="somebody made it by hand: delete it and run this again",
            )

    def _wait_until_processed(self, label: str) -> None:
        def probe() -> Ready[None] | Pending:
            version = self._version(label) or {}
            # The model says Processed, the service PROCESSED.
            status = str(version.get("Status", "")).lower()
            if status in ("processed", "unprocessed"):
                return Ready(None)
            if status == "failed":
                answer = self._cloud.call(
                    "describe_events", ApplicationName=self._application, VersionLabel=label
                )
                raise DeployError(
                    f"Elastic Beanstalk could not process the application version {label}",
                    details=[e["Message"] for e in answer.get("Events", [])],
                )
            return Pending(f"version {label} is {status or 'not there yet'}")

        self._waiter.until(f"processing version {label}", probe, self._waiter.patience.process)

    def withdraw(self, label: str) -> None:
        """Takes back a version that no environment runs; its bundle may be another version's."""
        try:
            self._cloud.call(
                "delete_application_version",
                ApplicationName=self._application,
                VersionLabel=label,
                DeleteSourceBundle=False,
            )
        except AwsRefused as refused:
            in_use = ("SourceBundleDeletionFailure", "OperationInProgressFailure")
            if refused.code not in (*in_use, "InvalidParameterValue"):
                raise
