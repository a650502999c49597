"""What the simulated Elastic Beanstalk tells of an environment: events, health, settings, logs."""

from __future__ import annotations

import time

from pymacaron_ci.simulator.beanstalk import catalog
from pymacaron_ci.simulator.beanstalk.applications import Applications, Values, invalid, page_of
from pymacaron_ci.simulator.beanstalk.state import Environment
from pymacaron_ci.simulator.beanstalk.wire import AwsError


class Reports(Applications):
    """Operations that change nothing."""

    def one(self, p: Values, prefix: str = "") -> Environment:
        name, number = p.get(f"{prefix}EnvironmentName"), p.get(f"{prefix}EnvironmentId")
        if not name and not number:
            raise invalid("You must specify either EnvironmentName or EnvironmentId.")
        for environment in self.state.there():
            if (name or environment.name) == environment.name and (
                number or environment.id
            ) == environment.id:
                return environment
        what = f"EnvironmentName = '{name}'" if name else f"EnvironmentId = '{number}'"
        raise invalid(f"No Environment found for {what}.")

    def DescribeEvents(self, p: Values) -> Values:
        severities = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
        least = severities.index(p.get("Severity", "TRACE"))
        start, end = p.get("StartTime", 0), p.get("EndTime", float("inf"))
        wanted = {
            "application": p.get("ApplicationName"),
            "environment": p.get("EnvironmentName"),
            "environment_id": p.get("EnvironmentId"),
            "version": p.get("VersionLabel"),
            "request_id": p.get("RequestId"),
        }
        seen = time.time() - self.timings.event
        found = [
            e
            for e in reversed(self.state.events)
            if start <= e.date <= min(end, seen)
            and severities.index(e.severity) >= least
            and all(v is None or getattr(e, k) == v for k, v in wanted.items())
        ]
        page, token = page_of(found, p)
        events = [
            {
                "EventDate": e.date,
                "Message": e.message,
                "Severity": e.severity,
                "RequestId": e.request_id or None,
                "ApplicationName": e.application,
                "EnvironmentName": e.environment,
                "VersionLabel": e.version,
            }
            for e in page
        ]
        return {"Events": events, "NextToken": token}

    def DescribeEnvironmentHealth(self, p: Values) -> Values:
        environment = self.one(p)
        self._enhanced(environment)
        wanted = p.get("AttributeNames") or []
        counts = {
            name: len(environment.instances) if environment.health == name else 0
            for name in (
                "NoData",
                "Unknown",
                "Pending",
                "Ok",
                "Info",
                "Warning",
                "Degraded",
                "Severe",
            )
        }
        values = {
            "HealthStatus": environment.health,
            "Status": environment.status,
            "Color": environment.color,
            "Causes": environment.causes,
            "ApplicationMetrics": {"RequestCount": 0},
            "InstancesHealth": counts,
            "RefreshedAt": time.time(),
        }
        if "All" not in wanted:
            values = {k: v for k, v in values.items() if k in wanted}
        # The model types Status as a health colour; the service answers the environment's status.
        return {"EnvironmentName": environment.name, **values}

    def _enhanced(self, environment: Environment) -> None:
        if not environment.enhanced:
            raise AwsError(
                "InvalidRequestException",
                "DescribeEnvironmentHealth is not supported for environments without enhanced "
                "health.",
            )

    def DescribeInstancesHealth(self, p: Values) -> Values:
        environment = self.one(p)
        self._enhanced(environment)
        return {
            "InstanceHealthList": [
                {
                    "InstanceId": number,
                    "HealthStatus": environment.health,
                    "Color": environment.color,
                    "Causes": environment.causes,
                    "LaunchedAt": launched,
                    "Deployment": {
                        "VersionLabel": environment.version,
                        "DeploymentId": 1,
                        "Status": "Deployed",
                        "DeploymentTime": launched,
                    },
                    "InstanceType": environment.option("aws:ec2:instances", "InstanceTypes"),
                    "AvailabilityZone": f"{self.region}a",
                }
                for number, launched in environment.instances.items()
            ],
            "RefreshedAt": time.time(),
        }

    def DescribeEnvironmentResources(self, p: Values) -> Values:
        environment = self.one(p)
        return {
            "EnvironmentResources": {
                "EnvironmentName": environment.name,
                "AutoScalingGroups": [{"Name": f"awseb-{environment.id}-stack"}],
                "Instances": [{"Id": number} for number in environment.instances],
                "LoadBalancers": [{"Name": f"awseb-{environment.id}"}],
                "LaunchTemplates": [],
                "LaunchConfigurations": [],
                "Triggers": [],
                "Queues": [],
            }
        }

    def DescribeConfigurationSettings(self, p: Values) -> Values:
        environment = self.one(p)
        options = [
            {
                "Namespace": key.partition("|")[0],
                "OptionName": key.partition("|")[2],
                "Value": value,
            }
            for key, value in environment.options.items()
        ]
        return {
            "ConfigurationSettings": [
                {
                    "ApplicationName": environment.application,
                    "EnvironmentName": environment.name,
                    "PlatformArn": environment.platform,
                    "SolutionStackName": catalog.stack_of(environment.platform),
                    "Tier": catalog.TIER,
                    "DeploymentStatus": "deployed",
                    "DateCreated": environment.created,
                    "DateUpdated": environment.updated,
                    "OptionSettings": options,
                }
            ]
        }

    def ValidateConfigurationSettings(self, p: Values) -> Values:
        settings = {
            (o["Namespace"], o["OptionName"]): o.get("Value", "")
            for o in p.get("OptionSettings", [])
        }
        return {
            "Messages": [
                {"Message": text, "Severity": "error"} for text in catalog.complaints(settings)
            ]
        }

    def RequestEnvironmentInfo(self, p: Values) -> Values:
        self.one(p)
        return {}

    def RetrieveEnvironmentInfo(self, p: Values) -> Values:
        environment = self.one(p)
        return {
            "EnvironmentInfo": [
                {
                    "InfoType": p["InfoType"],
                    "Ec2InstanceId": number,
                    "SampleTimestamp": time.time(),
                    "Message": f"{self.url}/_simulator/logs/{environment.id}",
                }
                for number in (environment.instances or {"i-00000000000000000": 0})
            ]
        }
