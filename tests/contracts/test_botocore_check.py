"""The judge of AWS calls finds what botocore lets pass, and nothing in what is right."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tests.contracts import botocore_check


@pytest.mark.parametrize(
    ("operation", "parameters", "problems"),
    [
        ("create_environment", {"ApplicationName": "a", "EnvironmentName": "e" * 60}, 1),
        ("create_environment", {"ApplicationName": "a", "EnvironmentName": "-bad_name!"}, 1),
        ("create_environment", {"ApplicationName": "a", "EnvironmentName": "good-name-1"}, 0),
        (
            "create_environment",
            {"ApplicationName": "a", "Tags": [{"Key": "aws:x", "Value": "a;b"}]},
            2,
        ),
        ("describe_events", {"Severity": "BOGUS", "MaxRecords": 5000}, 2),
        (
            "create_application_version",
            {"ApplicationName": "a", "VersionLabel": "v" * 101, "Description": "d" * 201},
            2,
        ),
        ("request_environment_info", {"InfoType": "bogus"}, 1),
    ],
)
def test_what_the_model_forbids_is_found(
    operation: str, parameters: dict[str, Any], problems: int
) -> None:
    session = boto3.Session("x", "x", region_name="eu-west-1")
    log = botocore_check.attach(session, botocore_check.Log())
    client = session.client("elasticbeanstalk")
    with Stubber(client) as stub:
        stub.add_client_error(operation, "Stub")
        with pytest.raises(client.exceptions.ClientError):
            getattr(client, operation)(**parameters)
    assert len(log.problems) == problems, log.problems
    assert len(log.calls) == 1
