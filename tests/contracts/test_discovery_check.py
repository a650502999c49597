"""The checker itself: what it must find in a request and in an answer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.contracts.discovery_check import Checker, Problem, check_request, document_for, error

BASE = "/v2/projects/p-1/locations/europe-west1/services"
CREATE, PATCH = f"{BASE}?serviceId=svc", f"{BASE}/svc"
TRAFFIC = [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]
GOOD: dict[str, Any] = {
    "labels": {"managed-by": "pymacaron-ci"},
    "client": "pymacaron-ci",
    "ingress": "INGRESS_TRAFFIC_ALL",
    "template": {
        "revision": "svc-abc1234-1",
        "timeout": "60s",
        "maxInstanceRequestConcurrency": 80,
        "scaling": {"minInstanceCount": 0, "maxInstanceCount": 5},
        "containers": [
            {
                "image": "europe-docker.pkg.dev/p-1/r/i@sha256:" + "a" * 64,
                "ports": [{"containerPort": 8080}],
                "env": [
                    {"name": "A", "value": "1"},
                    {
                        "name": "S",
                        "valueSource": {"secretKeyRef": {"secret": "s", "version": "latest"}},
                    },
                ],
                "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "cpuIdle": True},
                "startupProbe": {"httpGet": {"path": "/ping"}, "periodSeconds": 5},
            }
        ],
    },
    "traffic": TRAFFIC,
}


@pytest.fixture(scope="module")
def run() -> Checker:
    return Checker("run.v2")


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    body = copy.deepcopy(GOOD)
    change(body)
    return body


def container(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["template"]["containers"][0]
    return found


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", CREATE, GOOD),
        ("POST", f"{CREATE}&validateOnly=true", GOOD),
        ("PATCH", f"{PATCH}?updateMask=traffic", {"traffic": TRAFFIC, "etag": '"x"'}),
        ("GET", PATCH, None),
        ("GET", "/v2/projects/p-1/locations/europe-west1/operations/abc", None),
        (
            "POST",
            "/v2/projects/p-1/locations/europe-west1/operations/abc:wait",
            {"timeout": "30s"},
        ),
        ("POST", f"{PATCH}:setIamPolicy", {"policy": {"etag": "BwX=", "bindings": []}}),
    ],
)
def test_a_right_request_passes(run: Checker, method: str, url: str, body: Any) -> None:
    assert run.request(method, url, body) == []


@pytest.mark.parametrize(
    ("method", "url", "body", "problem"),
    [
        ("POST", CREATE, changed(lambda b: container(b).update(x={})), "containers[0].x: unknown"),
        ("POST", CREATE, changed(lambda b: container(b).update(imag="x")), "did you mean 'image'"),
        ("POST", CREATE, changed(lambda b: container(b).pop("image")), "required field missing"),
        (
            "POST",
            CREATE,
            changed(lambda b: b["template"].update(service_account="x")),
            "JSON name: 'serviceAccount'",
        ),
        ("PATCH", PATCH, {"traffic": [{"percent": "100"}]}, "expected an integer"),
        ("PATCH", PATCH, {"ingress": "all"}, "body.ingress: 'all' is not one of"),
        ("PATCH", PATCH, {"template": {"timeout": "60"}}, "not a duration"),
        ("PATCH", PATCH, {"template": {"timeout": 60}}, "expected a string"),
        ("PATCH", PATCH, {"template": {"containers": {}}}, "expected an array"),
        ("PATCH", PATCH, {"uri": "https://x", "template": {}}, "body.uri: output-only"),
        ("PATCH", f"{PATCH}?updateMask=traffic,templat", {}, "no field 'templat'"),
        ("PATCH", f"{PATCH}?updateMask=uri", {}, "'uri' is output-only"),
        ("PATCH", f"{PATCH}?updateMask=template.containers.image", {}, "reaches into a repeated"),
        ("PATCH", f"{PATCH}?updateMask=template.service_account", {}, "snake_case"),
        ("POST", f"{BASE}?service_id=svc", GOOD, "query.service_id: unknown parameter"),
        ("PATCH", f"{PATCH}?validateOnly=True", {}, "boolean must be true or false"),
        ("PUT", PATCH, GOOD, "this path answers to DELETE, GET, PATCH"),
        ("GET", "/v2/projects/p-1/regions/r/services/s", None, "no run.v2 method"),
        ("GET", PATCH, {"a": 1}, "takes no request body"),
        ("POST", CREATE, None, "none sent"),
        (
            "PATCH",
            PATCH,
            {"template": {"maxInstanceRequestConcurrency": 2**40}},
            "out of range",
        ),
    ],
)
def test_a_wrong_request_is_told(
    run: Checker, method: str, url: str, body: Any, problem: str
) -> None:
    assert problem in "; ".join(map(str, run.request(method, url, body)))


@pytest.mark.parametrize(
    ("method", "url", "answer", "problem"),
    [
        ("GET", PATCH, {"generation": 3}, "JSON string"),
        ("GET", PATCH, {"conditions": [{"state": "FINE"}]}, "'FINE' is not one of"),
        (
            "POST",
            CREATE,
            {
                "name": "o",
                "done": True,
                "response": {
                    "@type": "type.googleapis.com/google.cloud.run.v2.Service",
                    "urii": "x",
                },
            },
            "response.response.urii: unknown field",
        ),
    ],
)
def test_a_wrong_answer_is_told(
    run: Checker, method: str, url: str, answer: Any, problem: str
) -> None:
    assert problem in "; ".join(map(str, run.response(method, url, answer)))


def test_an_error_must_agree_with_its_own_status() -> None:
    assert error({"error": {"code": 409, "message": "m", "status": "ABORTED"}}, 409) == []
    wrong = error({"error": {"code": 404, "message": "m", "status": "ABORTED"}}, 404)
    assert wrong == [Problem("error", "error.code", "ABORTED goes with 409, not 404")]


@pytest.mark.parametrize("host", ["https://run.googleapis.com", "http://127.0.0.1:1234"])
def test_the_document_is_found_by_host_or_by_path(host: str) -> None:
    assert document_for(f"{host}{PATCH}") == "run.v2"
    assert document_for("https://container.googleapis.com/v1/projects/p/zones/z") is None


def test_a_form_is_judged_by_its_json_names() -> None:
    url = "https://sts.googleapis.com/v1/token"
    form = "grant_type=x&requested_token_type=x&subject_token=x&subject_token_type=x&audience=y"
    assert check_request("POST", url, form.encode()) == []
    found = check_request("POST", url, b"grant_typ=x")
    assert "did you mean 'grantType'" in "; ".join(map(str, found))
