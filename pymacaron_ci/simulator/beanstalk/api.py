"""The operations of the simulated Elastic Beanstalk on environments."""

from __future__ import annotations

import re
import time

from pymacaron_ci.simulator.beanstalk import catalog
from pymacaron_ci.simulator.beanstalk.applications import (
    Values,
    invalid,
    page_of,
    tags_of,
)
from pymacaron_ci.simulator.beanstalk.engine import storage_bucket
from pymacaron_ci.simulator.beanstalk.reports import Reports
from pymacaron_ci.simulator.beanstalk.state import Environment, new_id
from pymacaron_ci.simulator.beanstalk.wire import AwsError

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")


class ElasticBeanstalk(Reports):
    """Everything about environments; the rest is inherited."""

    def cname(self, prefix: str) -> str:
        return f"{prefix.lower()}.{self.region}.elasticbeanstalk.com"

    def CheckDNSAvailability(self, p: Values) -> Values:
        cname = self.cname(p["CNAMEPrefix"])
        taken = p["CNAMEPrefix"] in self.state.account.foreign_names or self.state.holder(cname)
        return {"Available": not taken, "FullyQualifiedCNAME": cname}

    def CreateEnvironment(self, p: Values) -> Values:
        self.known_application(p["ApplicationName"])
        name = p.get("EnvironmentName") or new_id("env-")
        prefix = p.get("CNAMEPrefix") or new_id(f"{name}.eba-", 8)
        if not _NAME.fullmatch(name):
            raise invalid(
                f"Value {name} at 'EnvironmentName' failed to satisfy constraint: Member must "
                "contain only letters, digits, and the dash character and may not start or end "
                "with a dash"
            )
        if any(e.name == name for e in self.state.there()):
            raise invalid(f"Environment {name} already exists.")
        if not self.CheckDNSAvailability({"CNAMEPrefix": prefix})["Available"]:
            raise invalid(f"DNS name ({self.cname(prefix)}) is not available.")
        if len(list(self.state.there())) >= self.state.account.environment_quota:
            raise AwsError(
                "TooManyEnvironmentsException",
                f"The maximum number of Environments for this account "
                f"({self.state.account.environment_quota}) has been exceeded.",
            )
        label = p.get("VersionLabel")
        if label and not self.state.version(p["ApplicationName"], label):
            raise invalid(f"No Application Version named '{label}' found.")
        tags = tags_of(p)
        now = time.time()
        environment = Environment(
            id=new_id("e-"),
            name=name,
            application=p["ApplicationName"],
            cname=self.cname(prefix),
            platform=self._platform(p),
            version=label or "",
            description=p.get("Description", ""),
            options=self._options(p),
            tags=tags,
            created=now,
            updated=now,
        )
        self.state.environments[environment.id] = environment
        self.engine.routes.open(environment)
        self.engine.begin(environment, "launch", self.request_id, self.timings.launch)
        self.store.event(environment, "createEnvironment is starting.")
        self.store.event(
            environment,
            f"Using {storage_bucket(self.region)} as Amazon S3 storage bucket for environment "
            "data.",
        )
        return self._described(environment)

    def _platform(self, p: Values) -> str:
        given = [k for k in ("PlatformArn", "SolutionStackName", "TemplateName") if p.get(k)]
        if len(given) != 1:
            raise invalid("You must specify one of PlatformArn, SolutionStackName, TemplateName.")
        for arn, stack in catalog.known_platforms(self.region):
            if p.get("PlatformArn") == arn or p.get("SolutionStackName") == stack:
                return arn
        if "PlatformArn" in p:
            raise invalid(f"No Platform named '{p['PlatformArn']}' found.")
        raise invalid(f"No Solution Stack named '{p.get('SolutionStackName')}' found.")

    def _options(self, p: Values) -> dict[str, str]:
        settings = {
            (o["Namespace"], o["OptionName"]): o.get("Value", "")
            for o in p.get("OptionSettings", [])
        }
        problems = list(catalog.complaints(settings))
        if problems:
            raise AwsError(
                "ConfigurationValidationException",
                f"Configuration validation exception: {'; '.join(problems)}",
            )
        return {f"{namespace}|{name}": value for (namespace, name), value in settings.items()}

    def DescribeEnvironments(self, p: Values) -> Values:
        names, numbers = p.get("EnvironmentNames"), p.get("EnvironmentIds")
        back_to = p.get("IncludedDeletedBackTo", 0)
        found = [
            e
            for e in self.state.environments.values()
            if e.application == p.get("ApplicationName", e.application)
            and (not names or e.name in names)
            and (not numbers or e.id in numbers)
            and e.version == p.get("VersionLabel", e.version)
            and (
                e.status != "Terminated"
                or (p.get("IncludeDeleted", True) and e.updated >= max(back_to, time.time() - 3600))
            )
        ]
        page, token = page_of(found, p)
        return {"Environments": [self._described(e) for e in page], "NextToken": token}

    def _described(self, e: Environment) -> Values:
        single = e.option("aws:elasticbeanstalk:environment", "EnvironmentType") == "SingleInstance"
        return {
            "EnvironmentName": e.name,
            "EnvironmentId": e.id,
            "ApplicationName": e.application,
            "VersionLabel": e.version or None,
            "SolutionStackName": catalog.stack_of(e.platform),
            "PlatformArn": e.platform,
            "Description": e.description or None,
            "EndpointURL": None if e.status == "Terminated" else f"127.0.0.1:{e.port}",
            "CNAME": None if e.status == "Terminated" else e.cname,
            "DateCreated": e.created,
            "DateUpdated": e.updated,
            "Status": e.status,
            "AbortableOperationInProgress": False,
            "Health": e.color,
            "HealthStatus": (e.health or None) if e.enhanced else None,
            "Tier": catalog.TIER,
            "EnvironmentLinks": [],
            "EnvironmentArn": self.arn("environment", f"{e.application}/{e.name}"),
            "Resources": None
            if single or e.status == "Launching"
            else {"LoadBalancer": {"LoadBalancerName": f"awseb-{e.id}"}},
        }

    def _ready(self, environment: Environment) -> None:
        if environment.status != "Ready":
            raise invalid(
                f"Environment named {environment.name} is in an invalid state for this operation. "
                "Must be Ready."
            )

    def UpdateEnvironment(self, p: Values) -> Values:
        environment = self.one(p)
        self._ready(environment)
        if p.get("VersionLabel"):
            if not self.state.version(environment.application, p["VersionLabel"]):
                raise invalid(f"No Application Version named '{p['VersionLabel']}' found.")
            environment.version = p["VersionLabel"]
        environment.options.update(self._options(p))
        environment.status = "Updating"
        self.engine.begin(environment, "update", self.request_id, self.timings.update)
        self.store.event(environment, "Environment update is starting.")
        return self._described(environment)

    def SwapEnvironmentCNAMEs(self, p: Values) -> Values:
        source, destination = self.one(p, "Source"), self.one(p, "Destination")
        if source is destination:
            raise invalid("Source and destination environment must be different.")
        for environment in (source, destination):
            self._ready(environment)
        for environment in (source, destination):
            environment.status = "Updating"
            environment.updated = time.time()
        self.engine.begin(source, "swap", self.request_id, self.timings.swap, destination.id)
        destination.operation = None
        for environment in (source, destination):
            self.store.event(
                environment, "swapEnvironmentCNAMEs is starting.", request_id=self.request_id
            )
        return {}

    def TerminateEnvironment(self, p: Values) -> Values:
        environment = self.one(p)
        if environment.status == "Updating":
            self._ready(environment)
        if environment.status != "Terminating":
            environment.status = "Terminating"
            self.engine.begin(environment, "terminate", self.request_id, self.timings.terminate)
            self.store.event(environment, "terminateEnvironment is starting.")
        return self._described(environment)
