"""Services and their revisions: naming, generations, etags, masks, operations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests

from tests.ci.simulator.world import LATEST, PLACE, World, changed, pinned, world


def test_a_new_service_answers_at_its_url_once_its_operation_is_done(google: World) -> None:
    done = google.create()
    assert "error" not in done
    assert done["response"]["@type"] == "type.googleapis.com/google.cloud.run.v2.Service"
    service = google.service()
    assert service["generation"] == service["observedGeneration"] == "1"
    assert service["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
    assert "reconciling" not in service
    google.publish()
    assert requests.get(service["uri"] + "/version", timeout=5).json()["release"] == "r1"


def test_an_operation_takes_its_time_and_the_service_is_reconciling(tmp_path: Path) -> None:
    with world(tmp_path / "state", latency=0.3) as google:
        started = google.call("POST", f"/v2/{PLACE}/services", google.body(), serviceId="hello")
        assert "done" not in started
        service = google.service()
        assert service["reconciling"] is True
        assert service["terminalCondition"]["state"] == "CONDITION_RECONCILING"
        assert "error" not in google.finished(started)
        google.judge()


def test_a_missing_service_is_not_found_in_the_words_of_cloud_run(google: World) -> None:
    error = google.error("GET", f"/v2/{PLACE}/services/nobody")
    assert error["status"] == "NOT_FOUND"
    assert error["message"] == (
        "Resource 'nobody' of kind 'SERVICE' in region 'europe-west1' in project 'p' does not "
        "exist."
    )


def test_a_service_is_made_once(google: World) -> None:
    google.create()
    error = google.error("POST", f"/v2/{PLACE}/services", google.body(), serviceId="hello")
    assert error["status"] == "ALREADY_EXISTS"


def test_an_unknown_region_is_not_found(google: World) -> None:
    error = google.error("GET", "/v2/projects/p/locations/europe-west99/services")
    assert error["status"] == "NOT_FOUND"


def test_defaults_are_shown_as_the_service_shows_them(google: World) -> None:
    google.create()
    service = google.service()
    assert service["traffic"] == [{"type": LATEST, "percent": 100}]
    assert service["ingress"] == "INGRESS_TRAFFIC_ALL"
    template = service["template"]
    assert template["timeout"] == "300s"
    assert template["maxInstanceRequestConcurrency"] == 80
    assert template["scaling"] == {"maxInstanceCount": 100}
    container = template["containers"][0]
    assert container["resources"]["cpuIdle"] is True
    assert container["resources"]["limits"] == {"cpu": "1000m", "memory": "512Mi"}
    assert container["startupProbe"]["tcpSocket"] == {"port": 8080}


def test_resources_without_cpu_idle_mean_cpu_is_always_allocated(google: World) -> None:
    resources = {"limits": {"memory": "1Gi"}}
    google.create(body=changed(google.body(), resources=resources))
    assert "cpuIdle" not in google.service()["template"]["containers"][0]["resources"]


def test_an_instance_gets_the_environment_and_what_cloud_run_adds(google: World) -> None:
    google.create(body=changed(google.body(), ports=[{"containerPort": 9000}]))
    instance = google.runner.instances[0]
    revision = google.service()["latestReadyRevision"].rpartition("/")[2]
    assert instance.environment == {
        "PYM_RELEASE": "r1",
        "PORT": "9000",
        "K_SERVICE": "hello",
        "K_REVISION": revision,
        "K_CONFIGURATION": "hello",
    }
    assert instance.limits.memory == 512 * 2**20


def test_revisions_are_named_and_numbered_by_the_service(google: World) -> None:
    google.create()
    google.patch(google.body("r2"))
    revisions = google.call("GET", f"/v2/{PLACE}/services/hello/revisions")["revisions"]
    names = [r["name"].rpartition("/")[2] for r in revisions]
    assert re.fullmatch(r"hello-00002-[a-z0-9]{3}", names[0])
    assert re.fullmatch(r"hello-00001-[a-z0-9]{3}", names[1])


def test_the_same_template_makes_no_revision_unless_forced(google: World) -> None:
    google.create()
    first = google.service()["latestCreatedRevision"]
    google.patch(google.body())
    assert google.service()["latestCreatedRevision"] == first
    google.patch(google.body(), forceNewRevision="true")
    assert google.service()["latestCreatedRevision"] != first


def test_a_change_of_labels_or_traffic_makes_no_revision(google: World) -> None:
    google.create()
    first = google.service()["latestCreatedRevision"]
    google.patch({"labels": {"a": "b"}}, updateMask="labels")
    service = google.service()
    assert service["latestCreatedRevision"] == first
    assert service["labels"] == {"a": "b"}
    assert service["generation"] == "2"


def test_a_revision_name_is_used_once(google: World) -> None:
    google.create(body=google.candidate("r1"))
    same = google.patch(google.candidate("r1"))
    assert "error" not in same
    error = google.error(
        "PATCH", f"/v2/{PLACE}/services/hello", google.candidate("r1", OTHER="value")
    )
    assert error["status"] == "ALREADY_EXISTS"
    assert error["message"] == (
        "Revision named 'hello-r1' with different configuration already exists."
    )


def test_a_revision_tells_the_digest_of_its_image(google: World) -> None:
    google.create(body=google.candidate("r1"))
    revision = google.revision("hello-r1")
    assert revision["containerStatuses"] == [{"imageDigest": google.image}]
    assert revision["service"] == "hello"


def test_without_a_mask_the_whole_service_is_replaced(google: World) -> None:
    google.create(body={**google.body(), "labels": {"a": "b"}, "description": "old"})
    google.patch(google.body("r2"))
    service = google.service()
    assert "labels" not in service
    assert "description" not in service


def test_what_leaves_the_environment_leaves_the_service(google: World) -> None:
    google.create(body=google.body("r1", GONE="x"))
    google.patch(google.body("r2"), updateMask="template")
    env = google.service()["template"]["containers"][0]["env"]
    assert env == [{"name": "PYM_RELEASE", "value": "r2"}]


def test_a_mask_changes_what_it_names_and_nothing_else(google: World) -> None:
    google.create(body={**google.body(), "labels": {"a": "b"}, "description": "old"})
    google.patch({"description": "new"}, updateMask="description")
    service = google.service()
    assert service["description"] == "new"
    assert service["labels"] == {"a": "b"}


def test_a_mask_of_an_unknown_field_is_refused(google: World) -> None:
    answer = requests.patch(
        f"{google.run}/v2/{PLACE}/services/hello?updateMask=templat", json={}, timeout=5
    )
    assert answer.status_code == 404
    google.create()
    answer = requests.patch(
        f"{google.run}/v2/{PLACE}/services/hello?updateMask=templat", json={}, timeout=5
    )
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_an_old_etag_is_a_conflict_that_names_both_versions(google: World) -> None:
    google.create()
    old = google.service()["etag"]
    google.patch({"description": "moved"}, updateMask="description")
    error = google.error(
        "PATCH",
        f"/v2/{PLACE}/services/hello",
        {"description": "mine", "etag": old},
        updateMask="description",
    )
    assert error["status"] == "ABORTED"
    assert re.fullmatch(
        r"Conflict for resource 'hello': version '\d+' was specified but current version is "
        r"'\d+'\.",
        error["message"],
    )
    assert google.service()["description"] == "moved"


def test_the_current_etag_is_no_conflict(google: World) -> None:
    google.create()
    etag = google.service()["etag"]
    assert "error" not in google.patch({**google.body("r2"), "etag": etag})


def test_validate_only_changes_nothing(google: World) -> None:
    answer = google.call(
        "POST", f"/v2/{PLACE}/services", google.body(), serviceId="hello", validateOnly="true"
    )
    assert answer["done"] is True
    assert google.error("GET", f"/v2/{PLACE}/services/hello")["code"] == 404
    google.create()
    before = google.service()
    google.call("PATCH", f"/v2/{PLACE}/services/hello", google.body("r2"), validateOnly="true")
    assert google.service() == before


def test_validate_only_finds_a_missing_image(google: World) -> None:
    body = google.body()
    body["template"]["containers"][0]["image"] = google.image.partition("@")[0] + ":nothing"
    error = google.error(
        "POST", f"/v2/{PLACE}/services", body, serviceId="hello", validateOnly="true"
    )
    assert error["status"] == "NOT_FOUND"
    assert "Image '" in error["message"]


def test_allow_missing_makes_the_service(google: World) -> None:
    error = google.error("PATCH", f"/v2/{PLACE}/services/hello", google.body())
    assert error["status"] == "NOT_FOUND"
    assert "error" not in google.patch(google.body(), allowMissing="true")
    assert google.service()["generation"] == "1"


def test_a_deleted_service_is_gone_with_its_revisions_and_instances(google: World) -> None:
    google.create()
    uri = google.service()["uri"]
    google.finished(google.call("DELETE", f"/v2/{PLACE}/services/hello"))
    assert google.error("GET", f"/v2/{PLACE}/services/hello")["code"] == 404
    with pytest.raises(requests.ConnectionError):
        requests.get(uri, timeout=5)


def test_a_serving_revision_can_not_be_deleted_and_another_can(google: World) -> None:
    google.create(body=google.candidate("r1"))
    google.patch(google.candidate("r2"))
    path = f"/v2/{PLACE}/services/hello/revisions"
    error = google.error("DELETE", f"{path}/hello-r2")
    assert error["status"] == "FAILED_PRECONDITION"
    google.call("DELETE", f"{path}/hello-r1")
    assert google.error("GET", f"{path}/hello-r1")["code"] == 404
    back = google.error(
        "PATCH",
        f"/v2/{PLACE}/services/hello",
        {"traffic": [pinned("hello-r1", 100)]},
        updateMask="traffic",
    )
    assert "does not exist or is deleted" in back["message"]


def test_lists_come_in_pages(google: World) -> None:
    google.create(body=google.candidate("r1"))
    for release in ("r2", "r3"):
        google.patch(google.candidate(release))
    path = f"/v2/{PLACE}/services/hello/revisions"
    first = google.call("GET", path, pageSize="2")
    assert len(first["revisions"]) == 2
    rest = google.call("GET", path, pageSize="2", pageToken=first["nextPageToken"])
    assert [r["name"].rpartition("/")[2] for r in rest["revisions"]] == ["hello-r1"]
    assert "nextPageToken" not in rest


def test_regions_and_operations_are_listed(google: World) -> None:
    google.create()
    places = google.call("GET", "/v1/projects/p/locations")["locations"]
    assert "europe-west1" in {place["locationId"] for place in places}
    assert len(google.call("GET", f"/v2/{PLACE}/operations")["operations"]) == 1


def test_the_real_host_may_lead_the_path(google: World) -> None:
    answer = requests.get(f"{google.run}/run.googleapis.com/v2/{PLACE}/services", timeout=5)
    assert answer.json() == {}
