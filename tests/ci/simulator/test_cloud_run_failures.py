"""Containers that do not come up: the operation's error, the conditions, the log; traffic stays."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import requests

from pymacaron_ci.simulator.instances import LogLine
from tests.ci.simulator.world import PLACE, World, changed, pinned

NOT_LISTENING = (
    "The user-provided container failed to start and listen on the port defined provided by the "
    "PORT=8080 environment variable within the allocated timeout."
)


def conditions(resource: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {condition["type"]: condition for condition in resource["conditions"]}


@pytest.mark.parametrize("broken", ["exits", "deaf"])
def test_a_container_that_does_not_listen_fails_its_revision(google: World, broken: str) -> None:
    done = google.create(body=google.candidate("r1", BROKEN=broken))
    assert done["error"]["code"] == 9
    assert done["error"]["message"].startswith(
        f"Revision 'hello-r1' is not ready and cannot serve traffic. {NOT_LISTENING}"
    )
    ready = conditions(google.revision("hello-r1"))["Ready"]
    assert ready["state"] == "CONDITION_FAILED"
    assert ready["revisionReason"] == "HEALTH_CHECK_CONTAINER_ERROR"
    service = google.service()
    assert service["terminalCondition"]["state"] == "CONDITION_FAILED"
    assert "reconciling" not in service
    assert "trafficStatuses" not in service


def test_a_failed_candidate_never_touches_live_traffic(google: World) -> None:
    google.create(body=google.candidate("r1"))
    google.publish()
    targets = [pinned("hello-r1", 100), pinned("hello-r2", 0, "c-2")]
    done = google.patch(google.candidate("r2", targets, BROKEN="exits"))
    assert done["error"]["code"] == 9
    service = google.service()
    assert [t["revision"] for t in service["trafficStatuses"]] == ["hello-r1"]
    assert requests.get(service["uri"], timeout=5).json()["release"] == "r1"
    repaired = google.patch({"traffic": [pinned("hello-r1", 100)]}, updateMask="traffic")
    assert repaired["error"]["message"].startswith("Revision 'hello-r2' is not ready")


def test_the_log_of_a_failed_revision_tells_why(google: World) -> None:
    google.create(body=google.candidate("r1", BROKEN="exits"))
    query = {
        "resourceNames": ["projects/p"],
        "filter": 'resource.type="cloud_run_revision" AND resource.labels.revision_name="hello-r1"',
        "orderBy": "timestamp desc",
        "pageSize": 50,
    }
    entries = google.call("POST", "/v2/entries:list", query)["entries"]
    assert [entry["textPayload"] for entry in entries] == [
        "ImportError: nothing",
        "instance 1 starts",
    ]


@pytest.mark.parametrize(
    ("filter_", "count"),
    [
        ('resource.labels.service_name="hello"', 2),
        ('resource.labels.service_name="other"', 0),
        ('resource.labels.service_name="hello"\nseverity>=ERROR', 0),
        ('textPayload:"ImportError"', 1),
        ('timestamp>="2026-01-01T00:00:30Z"', 1),
        ("", 2),
    ],
)
def test_log_entries_are_filtered(google: World, filter_: str, count: int) -> None:
    google.create(body=google.candidate("r1", BROKEN="exits"))
    query = {"resourceNames": ["projects/p"], "filter": filter_}
    found = google.call("POST", "/v2/entries:list", query)
    assert len(found.get("entries", [])) == count


def test_a_line_that_is_json_is_a_structured_entry_with_its_severity(google: World) -> None:
    google.create(body=google.candidate("r1", BROKEN="exits"))
    line = '{"severity": "error", "time": "2026-01-01T00:02:00Z", "message": "no database"}'
    google.runner.instances[0].lines.append(LogLine("2026-01-01T00:02:00Z", line))
    query = {"resourceNames": ["projects/p"], "filter": "severity>=ERROR"}
    (entry,) = google.call("POST", "/v2/entries:list", query)["entries"]
    assert entry["jsonPayload"] == {"message": "no database"}
    assert entry["severity"] == "ERROR"
    assert "textPayload" not in entry


def test_a_filter_that_is_not_understood_is_refused(google: World) -> None:
    query = {"resourceNames": ["projects/p"], "filter": "(what is this"}
    error = google.error("POST", "/v2/entries:list", query)
    assert "Unparseable filter" in error["message"]


def test_a_missing_image_fails_the_revision(google: World) -> None:
    missing = google.image.partition("@")[0] + "@sha256:" + "0" * 64
    done = google.create(body=changed(google.candidate("r1"), image=missing))
    assert done["error"]["message"] == (
        f"Revision 'hello-r1' is not ready and cannot serve traffic. Image '{missing}' not found."
    )
    found = conditions(google.revision("hello-r1"))
    assert found["Ready"]["reason"] == "CONTAINER_MISSING"
    assert found["ContainerReady"]["state"] == "CONDITION_FAILED"


def test_a_startup_probe_that_fails_is_told(google: World) -> None:
    probe = {"httpGet": {"path": "/crash"}, "periodSeconds": 1, "failureThreshold": 1}
    done = google.create(body=changed(google.candidate("r1"), startupProbe=probe))
    assert "failed the configured startup probe checks" in done["error"]["message"]


def test_a_startup_probe_that_passes_makes_the_revision_ready(
    google: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # is not for loopback
    google.session.trust_env = False
    probe = {"httpGet": {"path": "/ping"}, "periodSeconds": 1, "failureThreshold": 3}
    done = google.create(body=changed(google.candidate("r1"), startupProbe=probe))
    assert "error" not in done


def secret_env(secret: str, version: str = "latest") -> list[dict[str, Any]]:
    reference = {"secret": secret, "version": version}
    return [{"name": "TOKEN", "valueSource": {"secretKeyRef": reference}}]


def add_secret(google: World, value: bytes) -> None:
    google.try_call(
        "POST", "/v1/projects/p/secrets", {"replication": {"automatic": {}}}, secretId="token"
    )
    data = {"payload": {"data": base64.b64encode(value).decode()}}
    google.call("POST", "/v1/projects/p/secrets/token:addVersion", data)


def test_instances_get_the_values_of_secrets(google: World) -> None:
    add_secret(google, "välue\n=1".encode())
    add_secret(google, b"second")
    for version, value in (("1", "välue\n=1"), ("latest", "second")):
        body = changed(google.candidate(f"v{version}"), env=secret_env("token", version))
        done = google.patch(body, allowMissing="true")
        assert "error" not in done
        assert google.runner.instances[-1].environment["TOKEN"] == value


@pytest.mark.parametrize(
    ("secret", "version", "text"),
    [("nothing", "latest", "was not found"), ("token", "7", "was not found")],
)
def test_a_missing_secret_fails_the_revision(
    google: World, secret: str, version: str, text: str
) -> None:
    add_secret(google, b"x")
    body = changed(google.candidate("r1"), env=secret_env(secret, version))
    done = google.create(body=body)
    assert text in done["error"]["message"]
    ready = conditions(google.revision("hello-r1"))["Ready"]
    assert ready["reason"] == "SECRETS_ACCESS_CHECK_FAILED"


def test_a_runtime_account_without_access_to_secrets_is_told(google: World) -> None:
    add_secret(google, b"x")
    account = google.google.projects.get("p").default_account
    google.google.projects.change("p", secret_access_denied=[account])
    done = google.create(body=changed(google.candidate("r1"), env=secret_env("token")))
    assert "roles/secretmanager.secretAccessor" in done["error"]["message"]


def test_a_disabled_version_of_a_secret_is_told(google: World) -> None:
    add_secret(google, b"x")
    google.call("POST", "/v1/projects/p/secrets/token/versions/1:disable", {})
    done = google.create(body=changed(google.candidate("r1"), env=secret_env("token")))
    assert "is disabled" in done["error"]["message"]
    assert google.call("GET", "/v1/projects/p/secrets/token/versions/latest")["state"] == (
        "DISABLED"
    )


def test_a_good_revision_after_a_bad_one_repairs_the_service(google: World) -> None:
    google.create(body=google.candidate("r1", BROKEN="exits"))
    assert "error" not in google.patch(google.candidate("r2"))
    assert google.service()["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
    operations = google.call("GET", f"/v2/{PLACE}/operations")["operations"]
    assert [("error" in operation) for operation in operations] == [True, False]
