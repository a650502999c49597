"""Traffic: weights that really split, tags with a URL of their own, no request lost on the way."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import requests

from tests.ci.simulator.world import LATEST, PLACE, World, pinned, world


def released(url: str) -> str:
    answer = requests.get(f"{url}/version", timeout=10)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["release"])


def deployed(google: World, *releases: str) -> None:
    google.create(body=google.candidate(releases[0]))
    google.publish()
    for release in releases[1:]:
        google.patch(google.candidate(release, [pinned(f"hello-{releases[0]}", 100)]))


def test_the_latest_revision_gets_all_traffic_by_default(google: World) -> None:
    google.create()
    google.publish()
    google.patch(google.body("r2"))
    assert released(google.service()["uri"]) == "r2"


def test_requests_are_split_by_the_weights(google: World) -> None:
    deployed(google, "r1", "r2")
    google.patch(
        {"traffic": [pinned("hello-r1", 80), pinned("hello-r2", 20)]}, updateMask="traffic"
    )
    url = google.service()["uri"]
    seen = Counter(released(url) for _ in range(300))
    # for a share of 20 % of 300 the standard deviation is 7: six of them on either side
    assert 18 <= seen["r2"] <= 102
    assert seen["r1"] + seen["r2"] == 300


def test_a_candidate_without_traffic_answers_at_its_tag_only(google: World) -> None:
    deployed(google, "r1")
    targets = [pinned("hello-r1", 100), pinned("hello-r2", 0, "c-2")]
    google.patch(google.candidate("r2", targets))
    service = google.service()
    assert {released(service["uri"]) for _ in range(30)} == {"r1"}
    status = service["trafficStatuses"][1]
    assert "percent" not in status
    assert "percent" not in service["traffic"][1]
    assert status["tag"] == "c-2"
    assert released(status["uri"]) == "r2"


def test_a_tag_that_is_taken_away_no_longer_answers(google: World) -> None:
    deployed(google, "r1")
    google.patch(google.candidate("r2", [pinned("hello-r1", 100), pinned("hello-r2", 0, "c-2")]))
    url = google.service()["trafficStatuses"][1]["uri"]
    google.patch({"traffic": [pinned("hello-r1", 100)]}, updateMask="traffic")
    try:
        requests.get(url, timeout=5)
        raise AssertionError("the tag still answers")
    except requests.ConnectionError:
        pass


def test_traffic_to_a_revision_that_never_was_is_refused(google: World) -> None:
    google.create()
    error = google.error(
        "PATCH",
        f"/v2/{PLACE}/services/hello",
        {"traffic": [pinned("hello-nobody", 100)]},
        updateMask="traffic",
    )
    assert error["status"] == "INVALID_ARGUMENT"
    assert "Revision 'hello-nobody' does not exist or is deleted" in error["message"]


def test_revisions_without_traffic_or_tag_are_scaled_to_zero_and_come_back(google: World) -> None:
    deployed(google, "r1", "r2")
    google.patch({"traffic": [pinned("hello-r2", 100)]}, updateMask="traffic")
    assert released(google.service()["uri"]) == "r2"
    for _ in range(100):
        if google.runner.running == ["hello-r2"]:
            break
        threading.Event().wait(0.02)
    assert google.runner.running == ["hello-r2"]
    google.patch({"traffic": [pinned("hello-r1", 100)]}, updateMask="traffic")
    assert released(google.service()["uri"]) == "r1"


def test_an_instance_that_ended_is_started_again_by_the_next_request(google: World) -> None:
    deployed(google, "r1")
    url = google.service()["uri"]
    assert requests.get(f"{url}/crash", timeout=5).status_code == 500
    assert released(url) == "r1"
    assert len(google.runner.instances) == 2


def test_no_request_fails_while_traffic_moves(google: World) -> None:
    deployed(google, "r1", "r2")
    url = google.service()["uri"]
    stop, wrong, count = threading.Event(), [], Counter[str]()

    def probe() -> None:
        session = requests.Session()
        while not stop.is_set():
            try:
                answer = session.get(f"{url}/version", timeout=10)
                count[str(answer.json()["release"])] += 1
                if answer.status_code != 200:
                    wrong.append(answer.text)
            except requests.RequestException as error:
                wrong.append(repr(error))

    probers = [threading.Thread(target=probe) for _ in range(4)]
    for prober in probers:
        prober.start()
    for percent in (10, 50, 100, 50, 0, 100):
        targets = [pinned("hello-r2", percent), pinned("hello-r1", 100 - percent)]
        body = {"traffic": [t for t in targets if t.get("percent")]}
        assert "error" not in google.patch(body, updateMask="traffic")
    stop.set()
    for prober in probers:
        prober.join()
    assert wrong == []
    assert count["r1"] > 0
    assert count["r2"] > 0


def test_a_request_travels_whole(google: World) -> None:
    deployed(google, "r1")
    url = google.service()["uri"]

    def pieces() -> Iterator[bytes]:
        yield b"a" * 70000
        yield b"b" * 10

    for body in (b"x" * 200_000, pieces()):
        answer = requests.post(
            f"{url}/a/b%2Fc?d=%20e", data=body, headers={"X-Own": "ö".encode()}, timeout=10
        ).json()
        assert answer["path"] == "/a/b%2Fc?d=%20e"
        assert len(answer["body"]) in (200_000, 70010)
        assert answer["headers"]["X-Forwarded-For"] == "127.0.0.1"
        assert answer["headers"]["Host"] == url.removeprefix("http://")
    head = requests.head(f"{url}/x", timeout=5)
    assert head.status_code == 200
    assert int(head.headers["Content-Length"]) > 0
    assert head.content == b""


def test_urls_and_traffic_are_the_same_after_a_restart(tmp_path: Path) -> None:
    targets = [pinned("hello-r1", 100), pinned("hello-r2", 0, "c-2")]
    with world(tmp_path / "state") as google:
        deployed(google, "r1")
        google.patch(google.candidate("r2", targets))
        before = google.service()
    with world(tmp_path / "state") as google:
        assert google.service() == before
        assert released(before["uri"]) == "r1"
        assert released(before["trafficStatuses"][1]["uri"]) == "r2"
        assert sorted(google.runner.running) == ["hello-r1", "hello-r2"]


def test_what_a_killed_simulator_left_undone_is_finished_by_the_next(tmp_path: Path) -> None:
    with world(tmp_path / "state", latency=0.3) as google:
        started = google.call(
            "POST", f"/v2/{PLACE}/services", google.candidate("r1"), serviceId="hello"
        )
        state = (tmp_path / "state/google/cloud_run.json").read_bytes()
        google.finished(started)
    # as a SIGKILL during the operation would have left it
    (tmp_path / "state/google/cloud_run.json").write_bytes(state)
    with world(tmp_path / "state") as google:
        assert "error" not in google.finished(started)
        assert google.service()["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"


def test_latest_follows_a_new_revision_only_once_it_is_ready(google: World) -> None:
    google.create(body=google.candidate("r1"))
    google.publish()
    google.patch(google.candidate("r2", BROKEN="exits"))
    service = google.service()
    assert service["latestReadyRevision"].endswith("hello-r1")
    assert service["latestCreatedRevision"].endswith("hello-r2")
    assert service["traffic"] == [{"type": LATEST, "percent": 100}]
    assert released(service["uri"]) == "r1"


def test_a_simulator_ends_at_once_though_a_container_is_still_starting(tmp_path: Path) -> None:
    with world(tmp_path / "state", startup=600) as google:
        started = google.call(
            "POST",
            f"/v2/{PLACE}/services",
            google.candidate("r1", BROKEN="deaf"),
            serviceId="hello",
        )
        while not google.runner.instances:
            threading.Event().wait(0.02)
    with world(tmp_path / "state") as google:
        assert "error" in google.finished(started)
