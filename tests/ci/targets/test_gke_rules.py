"""The decisions that need no cluster: rollouts, endpoints, undo manifests, what is forwarded."""

from __future__ import annotations

import base64
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from pymacaron_ci.errors import DeployError
from pymacaron_ci.targets.gke import rollout
from pymacaron_ci.targets.gke.access import Endpoint, endpoint_of
from pymacaron_ci.targets.gke.changes import revived
from pymacaron_ci.targets.gke.forward import Server, inner_headers, inner_path
from pymacaron_ci.targets.gke.owned import applied
from pymacaron_ci.targets.gke.proof import url_of
from pymacaron_ci.targets.gke.rights import Right, granted
from pymacaron_ci.targets.gke.target import require_version

Body = dict[str, Any]


def deployment(*, generation: int = 2, replicas: int = 2, **status: Any) -> Body:
    return {
        "metadata": {"generation": generation},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": 2, **status},
    }


LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


@pytest.mark.parametrize(
    ("found", "done", "given_up", "text"),
    [
        (deployment(generation=3), False, False, "waiting for the change to be observed"),
        (deployment(conditions=[LATE]), False, True, "no progress in time"),
        (deployment(updatedReplicas=1), False, False, "1 of 2 new pods exist"),
        (
            deployment(updatedReplicas=2, conditions=[]),
            False,
            False,
            "0 of 2 new pods are available",
        ),
        (deployment(updatedReplicas=2, availableReplicas=1), False, False, "1 of 2 new pods"),
        (deployment(updatedReplicas=2, availableReplicas=2), True, False, "available"),
        ({}, False, False, "0 of 1 new pods exist"),
    ],
)
def test_a_rollout_is_where_kubectl_says_it_is(
    found: Body, done: bool, given_up: bool, text: str
) -> None:
    progress = rollout.progress(found)
    assert (progress.done, bool(progress.given_up)) == (done, given_up)
    assert text in progress.text


def test_old_pods_that_are_still_there_keep_a_rollout_from_being_done() -> None:
    found = deployment(updatedReplicas=2, availableReplicas=2)
    found["status"]["replicas"] = 3
    assert rollout.progress(found).text == "old pods that are still ending: 1"


def pod(reason: str = "", message: str = "", **status: Any) -> Body:
    waiting = {"state": {"waiting": {"reason": reason, "message": message}}, **status}
    return {"metadata": {"name": "p"}, "status": {"containerStatuses": [waiting]}}


ENDED: Body = {"lastState": {"terminated": {"reason": "Error", "exitCode": 1}}}
UNSCHEDULABLE = {
    "metadata": {"name": "p"},
    "status": {
        "conditions": [
            {"status": "False", "reason": "Unschedulable", "message": "0/3 nodes: Insufficient cpu"}
        ]
    },
}


def event(reason: str, message: str = "") -> Body:
    return {"reason": reason, "message": message, "involvedObject": {"name": "p"}}


@pytest.mark.parametrize(
    ("pods", "events", "patience", "text"),
    [
        ([pod("ErrImagePull", "manifest unknown")], [], 0, "manifest unknown"),
        ([pod("ErrImagePull", "i/o timeout")], [], 60, "i/o timeout"),
        ([pod("InvalidImageName")], [], 0, "InvalidImageName"),
        ([pod("CreateContainerConfigError", 'secret "x" not found')], [], 15, 'secret "x"'),
        ([pod("CrashLoopBackOff", restartCount=1, **ENDED)], [], 90, "exit code 1"),
        ([pod("CrashLoopBackOff", restartCount=2, **ENDED)], [], 0, "2 restarts"),
        (
            [pod(restartCount=2, **ENDED)],
            [
                event("Unhealthy", "Startup probe failed: refused"),
                event("Killing", "Container hello failed startup probe, will be restarted"),
            ],
            0,
            "Startup probe failed: refused (2 restarts)",
        ),
        (
            [pod(restartCount=2, **ENDED)],
            [event("Unhealthy", "Startup probe failed: refused")],
            0,
            "the container ended (Error, exit code 1), 2 restarts",
        ),
        ([UNSCHEDULABLE], [], 60, "Insufficient cpu"),
        ([UNSCHEDULABLE], [event("TriggeredScaleUp")], 600, "no node has room"),
    ],
)
def test_pods_that_will_not_start_are_recognised(
    pods: list[Body], events: list[Body], patience: float, text: str
) -> None:
    (found,) = rollout.troubles({}, pods, events)
    assert found.patience == patience
    assert text in found.text
    assert found.hint


def test_what_ends_anyway_or_just_starts_is_no_trouble() -> None:
    ending = pod("CrashLoopBackOff", restartCount=5, **ENDED)
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert rollout.troubles({}, [ending, pod("ContainerCreating"), {}], []) == []


def test_memory_that_ran_out_is_told_at_once() -> None:
    killed: Body = {"lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
    (found,) = rollout.troubles({}, [pod("CrashLoopBackOff", restartCount=1, **killed)], [])
    assert found.patience == 0
    assert "gcp_memory" in (found.hint or "")


def test_pods_that_a_quota_forbids_are_told() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: small"}
    (found,) = rollout.troubles({"status": {"conditions": [condition]}}, [], [])
    assert "exceeded quota: small" in found.text


# --- the way in

AUTHORITY = "-----BEGIN CERTIFICATE-----\n…\n".replace("…", "x")


def cluster(*, dns: bool = True, open_dns: bool = True, addresses: bool = True) -> Body:
    config: Body = {"ipEndpointsConfig": {"enabled": addresses}}
    if dns:
        config["dnsEndpointConfig"] = {"endpoint": "gke-1.gke.goog"}
        if open_dns:
            config["dnsEndpointConfig"]["allowExternalTraffic"] = True
    return {
        "name": "main",
        "endpoint": "34.1.2.3",
        "masterAuth": {"clusterCaCertificate": base64.b64encode(AUTHORITY.encode()).decode()},
        "controlPlaneEndpointsConfig": config,
    }


DNS = Endpoint("https://gke-1.gke.goog")
ADDRESS = Endpoint("https://34.1.2.3", AUTHORITY)


@pytest.mark.parametrize(
    ("found", "choice", "expected"),
    [
        (cluster(), "auto", DNS),
        (cluster(), "dns", DNS),
        (cluster(), "address", ADDRESS),
        (cluster(open_dns=False), "auto", ADDRESS),
        (cluster(dns=False), "auto", ADDRESS),
        (cluster(addresses=False), "auto", DNS),
    ],
)
def test_the_dns_endpoint_is_trusted_publicly_and_the_address_by_the_clusters_own_authority(
    found: Body, choice: Any, expected: Endpoint
) -> None:
    assert endpoint_of(found, choice) == expected


@pytest.mark.parametrize(
    ("found", "choice", "text"),
    [
        (cluster(open_dns=False), "dns", "no DNS endpoint"),
        (cluster(addresses=False), "address", "no address"),
        ({**cluster(), "masterAuth": {}}, "address", "no certificate"),
        ({**cluster(), "masterAuth": {"clusterCaCertificate": "§"}}, "address", "no certificate"),
    ],
)
def test_an_endpoint_that_is_not_there_is_told(found: Body, choice: Any, text: str) -> None:
    with pytest.raises(DeployError, match=text):
        endpoint_of(found, choice)


@pytest.mark.parametrize("told", ["v1.25.0", "v1.36.1-gke.1120000", "v2.0", "nonsense"])
def test_versions_from_1_25_on_will_do(told: str) -> None:
    require_version(told)


def test_an_older_version_is_refused() -> None:
    with pytest.raises(DeployError, match=r"v1\.24\.9; 1\.25 is the oldest"):
        require_version("v1.24.9")


# --- undoing

MANAGED = [
    {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:paused": {}}}},
    {
        "manager": "pymacaron-ci",
        "operation": "Apply",
        "apiVersion": "apps/v1",
        "fieldsV1": {
            "f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {
                "f:template": {
                    "f:metadata": {"f:annotations": {"f:pymacaron-ci/release": {}}},
                    "f:spec": {
                        "f:containers": {
                            'k:{"name":"hello"}': {
                                ".": {},
                                "f:name": {},
                                "f:image": {},
                                "f:env": {'k:{"name":"A"}': {"f:name": {}, "f:value": {}}},
                                "f:args": {'v:"one"': {}},
                            }
                        }
                    },
                }
            },
        },
    },
]
LIVE: Body = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "hello", "namespace": "n", "labels": {"a": "1", "b": "2"},
                 "managedFields": MANAGED, "resourceVersion": "7"},
    "spec": {
        "paused": False,
        "replicas": 3,
        "template": {
            "metadata": {"annotations": {"pymacaron-ci/release": "r1", "other": "x"}},
            "spec": {
                "dnsPolicy": "ClusterFirst",
                "containers": [
                    {"name": "sidecar", "image": "s"},
                    {"name": "hello", "image": "i", "imagePullPolicy": "Always",
                     "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                     "args": ["one", "two"]},
                ],
            },
        },
    },
}  # fmt: skip
OURS: Body = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "hello", "namespace": "n", "labels": {"a": "1"}},
    "spec": {
        "template": {
            "metadata": {"annotations": {"pymacaron-ci/release": "r1"}},
            "spec": {
                "containers": [
                    {
                        "name": "hello",
                        "image": "i",
                        "env": [{"name": "A", "value": "1"}],
                        "args": ["one"],
                    }
                ]
            },
        }
    },
}


def test_what_was_applied_is_read_back_without_what_others_and_defaults_added() -> None:
    assert applied(LIVE, "pymacaron-ci") == OURS
    assert applied(LIVE, "somebody") is None


def test_a_former_template_is_applied_as_we_had_it_or_as_the_history_has_it() -> None:
    same = revived(LIVE, LIVE["spec"]["template"])
    assert same["spec"] == OURS["spec"]
    former = {"metadata": {"annotations": {"pymacaron-ci/release": "r0"}}, "spec": {"x": 1}}
    back = revived(LIVE, former)
    assert back["spec"]["template"] == former
    assert back["metadata"]["annotations"]["pymacaron-ci/release"] == "r0"
    foreign = {**LIVE, "metadata": {"name": "hello", "namespace": "n"}}
    assert revived(foreign, former)["spec"] == {"template": former}
    assert "annotations" not in OURS["metadata"]


# --- addresses


@pytest.mark.parametrize(
    ("ingress", "expected"),
    [
        (None, None),
        ({}, "https://hello.test"),
        ([{"ip": "34.1.2.3"}], "https://hello.test"),
        ([{"ip": "127.0.0.1", "ports": [{"port": 81}]}], "http://127.0.0.1:81"),
    ],
)
def test_live_is_where_live_url_leads_unless_the_load_balancer_has_its_own_port(
    ingress: Any, expected: str | None
) -> None:
    body = None if ingress is None else {"status": {"loadBalancer": {"ingress": ingress or []}}}
    assert url_of(body, "https://hello.test") == expected


@pytest.mark.parametrize(("error", "shown"), [(BrokenPipeError(), False), (ValueError(), True)])
def test_a_test_that_hangs_up_shows_no_traceback(
    error: Exception, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(("127.0.0.1", 0), BaseHTTPRequestHandler)
    try:
        raise error
    except type(error):
        server.handle_error(None, ("127.0.0.1", 1))
    server.server_close()
    assert ("Traceback" in capsys.readouterr().err) is shown


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/v1/hello?name=a%20b", "/v1/hello?name=a%20b"),
        ("/a%2Fb", "/a%2Fb"),
        ("/../secrets", None),
        ("/a/%2e%2e/%2e%2e/secrets", None),
        ("/a/%252e%252e/x", None),
        ("/a\\..\\b", None),
        ("/./x", None),
        ("http://elsewhere/x", None),
        ("//elsewhere/x", None),
        ("*", None),
    ],
)
def test_nothing_but_the_service_can_be_reached_through_the_forwarder(
    target: str, expected: str | None
) -> None:
    assert inner_path(target) == expected


def test_the_services_own_token_goes_into_its_cookie() -> None:
    headers = inner_headers(
        [("Authorization", "Bearer a=b"), ("Cookie", "x=1"), ("Host", "h"), ("Accept", "*/*")]
    )
    assert headers == {"Cookie": "x=1; token=Bearer%20a%3Db", "Accept": "*/*"}
    assert inner_headers([("Connection", "close")]) == {}


def rule(verbs: str, groups: str, resources: str, **more: Any) -> Body:
    given = zip(("verbs", "apiGroups", "resources"), (verbs, groups, resources), strict=True)
    return {**{name: text.split(" ") for name, text in given}, **more}


@pytest.mark.parametrize(
    ("found", "yes"),
    [
        (rule("*", "*", "*"), True),
        (rule("get patch", "apps", "deployments replicasets"), True),
        (rule("get", "apps", "deployments"), False),
        (rule("patch", "", "deployments"), False),
        (rule("patch", "apps", "deployments/status"), False),
        (rule("patch", "apps", "deployments", resourceNames=["other"]), False),
        ({"verbs": ["patch"]}, False),
    ],
)
def test_a_right_is_granted_by_a_rule_that_names_it(found: Body, yes: bool) -> None:
    assert granted([found], Right("patch", "apps", "deployments")) is yes


@pytest.mark.parametrize(
    ("resources", "yes"), [("pods", False), ("pods/log", True), ("*/log", True), ("*", True)]
)
def test_a_part_of_a_resource_has_rights_of_its_own(resources: str, yes: bool) -> None:
    assert granted([rule("get", "*", resources)], Right("get", "", "pods/log")) is yes
