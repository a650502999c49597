"""The simulated Kubernetes Engine API; Google's own description judges calls and answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from pymacaron_ci.simulator.faults import Fault
from tests.ci.simulator.kubernetes_world import World
from tests.contracts.discovery_check import Recorder

Json = dict[str, Any]
CLUSTERS = "/v1/projects/p/locations/europe-west1/clusters"
MAIN = "p/europe-west1/main"


class Container:
    def __init__(self, kube: World) -> None:
        self.kube = kube
        self.recorder = Recorder()
        self.session = requests.Session()
        self.session.hooks["response"].append(self.recorder.hook)

    def get(self, path: str) -> requests.Response:
        return self.session.get(self.kube.server.url + path, timeout=10)


@pytest.fixture
def container(kube: World) -> Iterator[Container]:
    made = Container(kube)
    yield made
    assert not made.recorder.errors, "\n".join(made.recorder.errors)


def test_a_cluster_that_nobody_spoke_of_runs(container: Container) -> None:
    found = container.get(f"{CLUSTERS}/any").json()
    assert (found["name"], found["location"], found["status"]) == ("any", "europe-west1", "RUNNING")
    assert found["currentMasterVersion"].startswith("1.36.")
    names = found["controlPlaneEndpointsConfig"]["dnsEndpointConfig"]
    assert names["allowExternalTraffic"] is True
    listed = container.get(CLUSTERS).json()["clusters"]
    assert {"any", "main"} == {cluster["name"] for cluster in listed}


@pytest.mark.parametrize("status", ["PROVISIONING", "DEGRADED", "STOPPING"])
def test_its_state_can_be_set(container: Container, status: str) -> None:
    url = f"{container.kube.server.url}/_simulator/clusters/{MAIN}"
    requests.put(url, json={"status": status, "public": False, "dns": False}, timeout=5)
    found = container.get(f"{CLUSTERS}/main").json()
    assert found["status"] == status
    endpoints = found["controlPlaneEndpointsConfig"]
    assert "enablePublicEndpoint" not in endpoints["ipEndpointsConfig"]
    assert found["endpoint"] == endpoints["ipEndpointsConfig"]["privateEndpoint"]
    assert requests.put(url, json={"colour": "red"}, timeout=5).status_code == 400


def test_a_private_cluster_is_not_reached(container: Container) -> None:
    container.kube.server.settings.change(MAIN, public=False, dns=False)
    with pytest.raises(requests.Timeout):
        requests.get(f"{container.kube.base}/version", timeout=0.3)


def test_a_missing_cluster_is_told(container: Container) -> None:
    container.kube.server.settings.change(MAIN, exists=False)
    answer = container.get(f"{CLUSTERS}/main")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == (
        "Not found: projects/p/locations/europe-west1/clusters/main.\nNo cluster named 'main' in p."
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"disabled_apis": ["container.googleapis.com"]},
            "Kubernetes Engine API has not been",
        ),
        ({"denied_permissions": ["container.clusters.get"]}, "Permission 'container.clusters.get'"),
        ({"exists": False}, "Permission denied on resource project p."),
    ],
)
def test_the_project_decides(container: Container, change: Json, text: str) -> None:
    container.kube.server.projects.change("p", **change)
    answer = container.get(f"{CLUSTERS}/main")
    assert answer.status_code == 403
    assert answer.json()["error"]["message"].startswith(text)


def test_faults_are_answered_in_googles_form(container: Container) -> None:
    container.kube.server.faults.add(Fault(kind="503", path="clusters/main$"))
    answer = container.get(f"{CLUSTERS}/main")
    assert (answer.status_code, answer.json()["error"]["status"]) == (503, "UNAVAILABLE")
    assert container.get(f"{CLUSTERS}/main").ok
