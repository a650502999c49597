"""The simulator's reading of AWS's protocols, judged by botocore's own serializer and parser."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from pymacaron_ci.simulator.beanstalk import wire

OPERATIONS = [
    (service, name)
    for service, names in {
        "elasticbeanstalk": wire.service_model("elasticbeanstalk").operation_names,
        "sts": ["GetCallerIdentity", "AssumeRoleWithWebIdentity"],
        "iam": ["GetRole", "GetInstanceProfile"],
        "ec2": ["DescribeKeyPairs", "DescribeSubnets"],
        "acm": ["DescribeCertificate"],
        "ecr": ["DescribeRepositories"],
    }.items()
    for name in names
]
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
TEXT = "a <b> & 'c' \"d\" = ü\n2"


def example(shape: Any, depth: int = 0) -> Any:
    """A value with every member of a shape, two items in every list."""
    kind = shape.type_name
    if kind == "structure":
        return {} if depth > 4 else {n: example(m, depth + 1) for n, m in shape.members.items()}
    if kind == "list":
        return [example(shape.member, depth + 1)] * 2
    if kind == "map":
        return {example(shape.key, depth + 1): example(shape.value, depth + 1)}
    if kind == "string":
        if shape.enum:
            return shape.enum[0]
        return TEXT[: shape.metadata.get("max", 100)].ljust(shape.metadata.get("min", 0), "x")
    return {
        "boolean": True,
        "timestamp": MOMENT.timestamp(),
        "integer": max(shape.metadata.get("min", 7), 1),
        "long": 7,
        "float": 1.5,
        "double": 1.5,
        "blob": b"bytes",
    }[kind]


def as_botocore(value: Any, shape: Any) -> Any:
    """Our times are numbers, botocore's are datetimes."""
    if isinstance(value, dict) and shape.type_name == "structure":
        return {k: as_botocore(v, shape.members[k]) for k, v in value.items()}
    if isinstance(value, list):
        return [as_botocore(v, shape.member) for v in value]
    return MOMENT if shape.type_name == "timestamp" else value


def without_empty(value: Any) -> Any:
    """An empty structure and an absent one look alike in a form."""
    if isinstance(value, dict):
        inner = {k: without_empty(v) for k, v in value.items()}
        return {k: v for k, v in inner.items() if v not in ({}, [], [{}, {}], [{}])}
    return [without_empty(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("service", "name"), OPERATIONS)
def test_what_botocore_sends_is_read_as_it_was_meant(service: str, name: str) -> None:
    operation = wire.service_model(service).operation_model(name)
    if operation.input_shape is None:
        return
    meant = without_empty(example(operation.input_shape))
    given_ = as_botocore(meant, operation.input_shape)
    serializer = create_serializer(wire.protocol(service), include_validation=False)
    request = serializer.serialize_to_request(given_, operation)
    body = request["body"]
    if isinstance(body, dict):
        body = urlencode(body).encode()
    _, read = wire.operation_of(service, request["headers"], body)
    if wire.protocol(service) == "json":
        return  # both sides are JSON: nothing was translated
    assert read == meant


@pytest.mark.parametrize(("service", "name"), OPERATIONS)
def test_what_we_answer_is_what_botocore_reads(service: str, name: str) -> None:
    operation = wire.service_model(service).operation_model(name)
    values = without_empty(example(operation.output_shape)) if operation.output_shape else {}
    kind, body = wire.answer(operation, values, "the-request")
    parser = create_parser(wire.protocol(service))
    answer = {"body": body, "headers": {"content-type": kind}, "status_code": 200}
    parsed = parser.parse(answer, operation.output_shape)
    metadata = parsed.pop("ResponseMetadata")
    if operation.output_shape:
        assert without_empty(parsed) == as_botocore(values, operation.output_shape)
    if wire.protocol(service) != "json":
        assert metadata["RequestId"] == "the-request"


@pytest.mark.parametrize("service", ["elasticbeanstalk", "ec2", "acm", "s3"])
def test_a_refusal_is_what_botocore_reads(service: str) -> None:
    kind, body = wire.error(service, wire.AwsError("SomeCode", "a <b> & c", 403), "the-request")
    parser = create_parser(wire.protocol(service))
    shape = None
    answer = {"body": body, "headers": {"content-type": kind}, "status_code": 403}
    parsed = parser.parse(answer, shape)
    assert parsed["Error"]["Code"] == "SomeCode"
    assert parsed["Error"]["Message"] == "a <b> & c"


@pytest.mark.parametrize(
    ("form", "told"),
    [
        (b"Action=CreateEnvironment", "applicationName"),
        (b"Action=CreateEnvironment&ApplicationName=a&EnvironmentName=" + b"e" * 41, "40"),
        (b"Action=DescribeEvents&Severity=BOGUS", "enum"),
        (b"Action=DescribeEvents&MaxRecords=many", "integer"),
        (b"Action=NoSuchThing", "NoSuchThing"),
        (b"", "(none)"),
        (b"\xff\xfe&&&=", "(none)"),
    ],
)
def test_what_the_model_forbids_is_refused(form: bytes, told: str) -> None:
    with pytest.raises(wire.AwsError, match=re.escape(told)):
        wire.operation_of("elasticbeanstalk", {}, form)


@given(st.text(max_size=50))
@settings(max_examples=100, deadline=None)
def test_any_text_at_all_makes_xml_that_can_be_read(text: str) -> None:
    operation = wire.service_model("elasticbeanstalk").operation_model("DescribeEvents")
    values = {"Events": [{"Message": text}]}
    _, body = wire.answer(operation, values, "r")
    parser = create_parser("query")
    answer = {"body": body, "headers": {}, "status_code": 200}
    message = parser.parse(answer, operation.output_shape)["Events"][0]["Message"]
    assert len(message) == len(text) or "\r" in text
