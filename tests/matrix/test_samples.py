"""A sample of the matrix; `python -m tests.matrix` runs all of it."""

from __future__ import annotations

import pytest

from tests.matrix import beanstalk, cloud_run, gke
from tests.matrix.__main__ import BEDS
from tests.matrix.cells import Wound, beside_live, from_nothing

# Deployments to Cloud Run and to Elastic Beanstalk make about fifty calls, one to Kubernetes
# forty-five to look and sixty more. Each wound starts at another one, so that together they hit
# most of them.


@pytest.mark.parametrize(
    ("wound", "start"),
    [
        (Wound("401"), 2),
        (Wound("403"), 4),
        (Wound("404"), 6),
        (Wound("409"), 8),
        (Wound("429"), 10),
        (Wound("500", acted=True), 12),
        (Wound("503"), 13),
        (Wound("reset"), 14),
        (Wound("reset", acted=True), 15),
        (Wound("slow"), 16),
        (Wound("truncated"), 17),
        (Wound("SIGKILL"), 3),
        (Wound("SIGKILL", acted=True), 9),
        (Wound("SIGTERM"), 5),
    ],
    ids=str,
)
def test_no_wound_costs_a_request_to_live_on_cloud_run(wound: Wound, start: int) -> None:
    with cloud_run.bed() as bed:
        assert list(beside_live(bed, wound, start=start, every=30)) == []


@pytest.mark.parametrize(
    ("wound", "start"),
    [
        (Wound("SIGKILL", operation="CreateEnvironment"), 1),
        (Wound("SIGKILL", operation="CreateEnvironment", acted=True), 1),
        (Wound("SIGKILL", operation="SwapEnvironmentCNAMEs"), 1),
        (Wound("SIGKILL", operation="SwapEnvironmentCNAMEs", acted=True), 1),
        (Wound("SIGTERM", operation="SwapEnvironmentCNAMEs", acted=True), 1),
        (Wound("SIGKILL", acted=True), 6),
        (Wound("SIGINT"), 9),
        (Wound("expired"), 12),
        (Wound("missing"), 15),
        (Wound("truncated"), 18),
    ],
    ids=str,
)
def test_no_wound_costs_a_request_to_live_on_beanstalk(wound: Wound, start: int) -> None:
    with beanstalk.bed() as bed:
        assert list(beside_live(bed, wound, start=start, every=30)) == []


@pytest.mark.parametrize(
    ("wound", "start"),
    [
        (Wound("404", operation="deployments/hello"), 1),
        (Wound("409", operation="deployments/hello"), 2),
        (Wound("reset", acted=True), 74),
        (Wound("SIGKILL", operation="deployments/hello", acted=True), 5),
        (Wound("SIGTERM", operation="deployments/hello"), 7),
    ],
    ids=str,
)
def test_no_wound_costs_a_request_to_live_on_gke(wound: Wound, start: int) -> None:
    with gke.bed() as bed:
        assert list(beside_live(bed, wound, start=start, every=40)) == []


@pytest.mark.parametrize(
    ("wound", "start"),
    [
        (Wound("reset", acted=True), 5),
        (Wound("SIGKILL", acted=True), 12),
        (Wound("SIGINT"), 20),
    ],
    ids=str,
)
@pytest.mark.parametrize("target", BEDS)
def test_a_first_deployment_is_undone_or_finished(target: str, wound: Wound, start: int) -> None:
    make, _ = BEDS[target]
    every = 90 if target == "gke" else 30  # most of its calls only look
    assert list(from_nothing(make, wound, start=start, every=every)) == []
