"""Faults that are ordered happen once, at the call they were ordered for, and then no more."""

from __future__ import annotations

import pytest
import requests

from pymacaron_ci.simulator.faults import Fault
from tests.ci.simulator.world import PLACE, World

SERVICES = f"/v2/{PLACE}/services"


@pytest.mark.parametrize("kind", ["401", "403", "404", "409", "429", "500", "503"])
def test_an_error_is_answered_in_googles_form(google: World, kind: str) -> None:
    google.google.api.faults.add(Fault(kind=kind))  # type: ignore[arg-type]
    answer = google.try_call("GET", SERVICES)
    assert answer.status_code == int(kind)
    assert ("Retry-After" in answer.headers) == (kind == "429")
    assert google.try_call("GET", SERVICES).status_code == 200
    assert google.google.api.faults.left == ()


def test_a_fault_waits_for_its_call(google: World) -> None:
    google.google.api.faults.add(Fault(kind="500", at=2, times=2, path=r"/services$"))
    seen = [google.try_call("GET", path).status_code for path in [SERVICES] * 4]
    assert seen == [200, 500, 500, 200]


def test_a_fault_strikes_only_where_it_belongs(google: World) -> None:
    google.google.api.faults.add(Fault(kind="500", method="POST", path="services"))
    assert google.try_call("GET", SERVICES).status_code == 200
    answer = google.try_call("POST", SERVICES, google.body(), serviceId="hello")
    assert answer.status_code == 500


@pytest.mark.parametrize("acted", [False, True])
def test_a_reset_comes_before_or_after_the_server_acted(google: World, acted: bool) -> None:
    google.google.api.faults.add(Fault(kind="reset", method="POST", acted=acted))
    with pytest.raises(requests.ConnectionError):
        google.try_call("POST", SERVICES, google.body(), serviceId="hello")
    assert google.try_call("GET", f"{SERVICES}/hello").status_code == (200 if acted else 404)


def test_an_error_may_hide_that_the_server_acted(google: World) -> None:
    google.google.api.faults.add(Fault(kind="503", method="POST", acted=True))
    answer = google.try_call("POST", SERVICES, google.body(), serviceId="hello")
    assert answer.status_code == 503
    assert google.try_call("GET", f"{SERVICES}/hello").status_code == 200


def test_an_answer_may_end_in_its_middle(google: World) -> None:
    google.create()
    google.google.api.faults.add(Fault(kind="truncated"))
    with pytest.raises(requests.RequestException):
        google.try_call("GET", f"{SERVICES}/hello")


def test_calls_are_remembered_for_tests_that_count_them(google: World) -> None:
    google.try_call("GET", SERVICES)
    last = google.google.api.exchanges[-1]
    assert (last.method, last.target, last.status) == ("GET", SERVICES, 200)
