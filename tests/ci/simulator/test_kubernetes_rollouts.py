"""Deployments roll out and back by Kubernetes' rules, over pods that really run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.ci.simulator.kubernetes_world import (
    NAMESPACE,
    World,
    changed,
    cluster,
    container,
    deployment,
    env,
    ingress,
    namespace,
    secret,
    service,
)

Json = dict[str, Any]
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/web"
PROXY = f"/api/v1/namespaces/{NAMESPACE}/services/web:http/proxy"
MERGE = {"Content-Type": "application/merge-patch+json"}


def sets(kube: World) -> dict[str, Json]:
    """Replica sets by the release they run."""
    found: list[Json] = kube.call("GET", SETS)["items"]
    return {container(rs)["env"][0]["value"]: rs for rs in found}


def revision(thing: Json) -> str:
    return str(thing["metadata"]["annotations"]["deployment.kubernetes.io/revision"])


def test_a_deployment_comes_up(kube: World) -> None:
    kube.apply(service(), deployment(kube.image, replicas=2))
    found = kube.rolled_out(deployment(kube.image))
    progressing = kube.condition(found, "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("True", "NewReplicaSetAvailable")
    name = sets(kube)["r1"]["metadata"]["name"]
    assert progressing["message"] == f'ReplicaSet "{name}" has successfully progressed.'
    assert kube.condition(found, "Available")["reason"] == "MinimumReplicasAvailable"
    assert kube.events("ScalingReplicaSet") == [f"Scaled up replica set {name} from 0 to 2"]
    assert len(kube.events("SuccessfulCreate")) == 2
    (pod, _) = kube.pods()
    assert pod["metadata"]["labels"]["pod-template-hash"] in pod["metadata"]["name"]
    assert pod["status"]["phase"] == "Running"
    assert kube.call("GET", f"{PROXY}/version?x=1")["path"] == "/version?x=1"


def test_a_rollout_loses_no_request_and_keeps_its_bounds(kube: World) -> None:
    kube.apply(service(), ingress(), deployment(kube.image, replicas=2))
    kube.rolled_out(deployment(kube.image))
    status = kube.until(lambda: kube.get(ingress()).get("status"))
    port = status["loadBalancer"]["ingress"][0]["ports"][0]["port"]
    url = f"http://127.0.0.1:{port}/version"
    answers: list[tuple[int, str]] = []
    most: list[int] = []
    over = threading.Event()

    def probe() -> None:
        while not over.wait(0.05):
            answer = requests.get(url, headers={"Host": "api.example.com"}, timeout=5)
            release = answer.json()["release"] if answer.ok else answer.text
            answers.append((answer.status_code, release))
            alive = [p for p in kube.pods() if "deletionTimestamp" not in p["metadata"]]
            most.append(len(alive))

    prober = threading.Thread(target=probe)
    prober.start()
    kube.until(lambda: answers)
    kube.apply(deployment(kube.image, "r2", replicas=2))
    kube.rolled_out(deployment(kube.image))
    kube.until(lambda: (200, "r2") in answers)
    scaled = kube.events("ScalingReplicaSet")
    kube.apply(deployment(kube.image, "r1", replicas=2))
    kube.rolled_out(deployment(kube.image))
    over.set()
    prober.join()
    assert {code for code, _ in answers} == {200}
    assert {release for _, release in answers} == {"r1", "r2"}
    assert max(most) <= 3
    wanted: dict[str, int] = {}
    totals = []
    for message in scaled:
        *_, name, _, _, _, number = message.split()  # … set NAME from 1 to 2
        wanted[name] = int(number)
        totals.append(sum(wanted.values()))
    assert totals == [2, 3, 2, 3, 2]  # maxSurge 1, maxUnavailable 0


def test_a_former_template_brings_its_replica_set_back(kube: World) -> None:
    for release in ("r1", "r2", "r1"):
        kube.apply(deployment(kube.image, release))
        kube.rolled_out(deployment(kube.image))
    seen = {name: (revision(rs), rs["spec"]["replicas"]) for name, rs in sets(kube).items()}
    assert seen == {"r1": ("3", 1), "r2": ("2", 0)}
    assert revision(kube.get(deployment(kube.image))) == "3"


def test_a_rollout_that_does_not_come_up_leaves_the_former_pods(kube: World) -> None:
    kube.apply(service(), deployment(kube.image, replicas=2))
    kube.rolled_out(deployment(kube.image))
    broken = changed(deployment(kube.image, "r2", replicas=2), progressDeadlineSeconds=1)
    container(broken)["readinessProbe"] = {"tcpSocket": {"port": 9999}, "periodSeconds": 1}
    kube.apply(broken)

    def late() -> Json | None:
        found = kube.condition(broken, "Progressing")
        return found if found["status"] == "False" else None

    condition = kube.until(late)
    assert condition["reason"] == "ProgressDeadlineExceeded"
    assert condition["message"].endswith('" has timed out progressing.')
    found = kube.get(broken)["status"]
    assert (found["availableReplicas"], found["updatedReplicas"]) == (2, 1)
    assert kube.call("GET", f"{PROXY}/version")["release"] == "r1"
    (text, *_) = kube.until(lambda: kube.events("Unhealthy"))
    assert text.startswith("Readiness probe failed: dial tcp 10.")
    assert text.endswith(":9999: connect: connection refused")


def test_a_crash_loop_backs_off_and_keeps_its_last_words(kube: World) -> None:
    kube.apply(deployment(kube.image, env=env(BROKEN="exits")))
    message = kube.waiting("CrashLoopBackOff")
    (pod,) = kube.pods()
    name = pod["metadata"]["name"]
    assert message.startswith("back-off 1s restarting failed container=web pod=" + name)
    (status,) = pod["status"]["containerStatuses"]
    assert status["restartCount"] >= 1
    assert status["lastState"]["terminated"]["exitCode"] == 1
    answer = kube.try_call("GET", f"{PODS}/{name}/log", previous="true", container="web")
    assert "ImportError: nothing" in answer.text
    assert any("Back-off restarting failed container web" in e for e in kube.events("BackOff"))


def test_an_image_that_was_never_pushed_is_told(kube: World) -> None:
    missing = f"{kube.registry}/demo/nothing:v1"
    kube.apply(deployment(missing))
    assert f'failed to resolve reference "{missing}"' in kube.waiting("ErrImagePull")
    assert kube.waiting("ImagePullBackOff").startswith(f'Back-off pulling image "{missing}"')
    (pod,) = kube.pods()
    assert pod["status"]["phase"] == "Pending"
    error = kube.error("GET", f"{PODS}/{pod['metadata']['name']}/log")
    assert error["message"].endswith("is waiting to start: trying and failing to pull image")


def test_an_image_name_that_is_none_is_told(kube: World) -> None:
    kube.apply(deployment("Not An Image"))
    assert 'couldn\'t parse image name "Not An Image"' in kube.waiting("InvalidImageName")


def test_a_container_waits_for_the_secret_it_needs(kube: World) -> None:
    reference = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "KEY"}}}
    other = {"name": "OTHER", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "OTHER"}}}
    wanted = deployment(kube.image, env=[reference, {**other}])
    kube.apply(wanted)
    assert kube.waiting("CreateContainerConfigError") == 'secret "keys" not found'
    kube.apply(secret(KEY="s3cret"))
    kube.until(lambda: "couldn't find key OTHER" in kube.waiting("CreateContainerConfigError"))
    kube.apply(secret(KEY="s3cret", OTHER="byte=for\nbyte"))
    kube.rolled_out(wanted)
    seen = kube.runner.instances[-1].environment
    assert (seen["KEY"], seen["OTHER"]) == ("s3cret", "byte=for\nbyte")


def test_a_pod_that_no_node_has_room_for_stays_pending(kube: World) -> None:
    kube.apply(deployment(kube.image, resources={"requests": {"cpu": "100"}}))

    def unschedulable() -> Json | None:
        found = [c for pod in kube.pods() for c in pod.get("status", {}).get("conditions", ())]
        return next((c for c in found if c.get("reason") == "Unschedulable"), None)

    text = kube.until(unschedulable)["message"]
    assert text.startswith("0/3 nodes are available: 3 Insufficient cpu. preemption:")
    assert kube.events("FailedScheduling") == [text]


def test_a_failed_liveness_probe_starts_a_container_anew(kube: World) -> None:
    probe = {"tcpSocket": {"port": 9999}, "periodSeconds": 1, "failureThreshold": 1}
    kube.apply(deployment(kube.image, livenessProbe=probe))
    kube.until(lambda: kube.events("Killing"))
    assert kube.events("Killing")[0] == "Container web failed liveness probe, will be restarted"
    kube.until(lambda: kube.pods()[0]["status"]["containerStatuses"][0]["restartCount"])


def test_a_container_that_ends_is_started_again(kube: World) -> None:
    kube.apply(service(), deployment(kube.image))
    kube.rolled_out(deployment(kube.image))
    kube.try_call("GET", f"{PROXY}/crash")
    kube.until(lambda: len(kube.runner.instances) == 2)
    kube.rolled_out(deployment(kube.image))
    (status,) = kube.pods()[0]["status"]["containerStatuses"]
    assert (status["restartCount"], status["lastState"]["terminated"]["exitCode"]) == (1, 3)


@pytest.mark.parametrize(
    "words", [["/bin/sh", "-c", "sleep 60"], ["python3", "-c", "import time; time.sleep(60)"]]
)
def test_a_pod_that_ends_takes_no_requests_before_it_is_stopped(
    kube: World, words: list[str]
) -> None:
    pause = {"preStop": {"exec": {"command": words}}}
    wanted = deployment(kube.image, lifecycle=pause)
    wanted["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 90
    kube.apply(service(), wanted)
    kube.rolled_out(deployment(kube.image))
    (pod,) = kube.pods()
    (instance,) = kube.runner.instances
    kube.delete({**pod, "kind": "Pod"})
    answer = kube.try_call("GET", f"{PROXY}/version").json()  # the next one may be ready already
    if "number" not in answer:
        assert answer["message"] == 'no endpoints available for service "web"'
    assert answer.get("number") != instance.number
    assert requests.get(instance.url, timeout=5).ok
    kube.until(lambda: "Stopping container web" in kube.events("Killing"))
    kube.delete({**pod, "kind": "Pod"}, gracePeriodSeconds=0)
    kube.until(lambda: instance.stopped)


def test_an_autoscaler_keeps_replicas_within_its_bounds(kube: World) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    wanted = deployment(kube.image)
    del wanted["spec"]["replicas"]
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 3},
    }
    kube.apply(wanted, scaler)
    kube.until(lambda: kube.get(wanted)["spec"]["replicas"] == 2)
    kube.rolled_out(wanted)
    again = kube.apply(wanted)  # whoever leaves replicas out doesn't take them back
    assert again["spec"]["replicas"] == 2


def test_a_scale_is_set_by_itself(kube: World) -> None:
    kube.apply(deployment(kube.image))
    scale = kube.call("PATCH", f"{DEPLOYMENT}/scale", {"spec": {"replicas": 2}}, headers=MERGE)
    assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 2)
    assert kube.get(deployment(kube.image))["metadata"]["generation"] == 2
    for wrong, code in ((-1, 422), ("x", 400)):
        body = {"spec": {"replicas": wrong}}
        assert kube.error("PATCH", f"{DEPLOYMENT}/scale", body, headers=MERGE)["code"] == code
    found = kube.rolled_out(deployment(kube.image))
    assert found["status"]["readyReplicas"] == 2


def test_recreate_ends_the_former_pods_first(kube: World) -> None:
    def recreated(release: str) -> Json:
        return changed(deployment(kube.image, release), strategy={"type": "Recreate"})

    kube.apply(recreated("r1"))
    kube.rolled_out(recreated("r1"))
    kube.apply(recreated("r2"))
    kube.rolled_out(recreated("r2"))
    first, second = kube.runner.instances
    assert first.environment["PYM_RELEASE"] == "r1"
    assert second.environment["PYM_RELEASE"] == "r2"
    texts = kube.events("ScalingReplicaSet")
    assert [t.rpartition(" from ")[2] for t in texts] == ["0 to 1", "1 to 0", "0 to 1"]


def test_an_ingress_answers_for_its_host_only(kube: World) -> None:
    kube.apply(service(), ingress(), deployment(kube.image))
    kube.rolled_out(deployment(kube.image))
    status = kube.until(lambda: kube.get(ingress()).get("status"))
    url = f"http://127.0.0.1:{status['loadBalancer']['ingress'][0]['ports'][0]['port']}/ping"

    def code(host: str) -> int:
        return requests.get(url, headers={"Host": host}, timeout=5).status_code

    assert [code(host) for host in ("api.example.com", "127.0.0.1", "else.example.com")] == [
        200,
        200,
        404,
    ]
    kube.call("PATCH", f"{DEPLOYMENT}/scale", {"spec": {"replicas": 0}}, headers=MERGE)
    kube.until(lambda: code("api.example.com") == 502)


def test_a_restarted_simulator_brings_pods_back(tmp_path: Path) -> None:
    with cluster(tmp_path) as kube:
        wanted = deployment(kube.image)
        kube.apply(namespace(), service(), ingress(), wanted)
        before = kube.rolled_out(wanted)
        address = kube.until(lambda: kube.get(ingress()).get("status"))
        (pod,) = kube.pods()
    with cluster(tmp_path) as kube:
        kube.until(lambda: kube.runner.instances)
        after = kube.rolled_out(wanted)
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert [p["metadata"]["name"] for p in kube.pods()] == [pod["metadata"]["name"]]
        assert kube.until(lambda: kube.get(ingress()).get("status")) == address
        kube.until(lambda: kube.try_call("GET", f"{PROXY}/version").ok)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, "instance 1 starts\n"),
        ({"tailLines": 0}, ""),
        ({"timestamps": "true"}, "2026-01-01T00:00:01Z instance 1 starts\n"),
        ({"sinceSeconds": 60}, ""),
        ({"limitBytes": 8}, "instance"),
    ],
)
def test_logs_are_cut_as_asked(kube: World, query: Json, text: str) -> None:
    kube.apply(deployment(kube.image))
    kube.rolled_out(deployment(kube.image))
    (pod,) = kube.pods()
    answer = kube.try_call("GET", f"{PODS}/{pod['metadata']['name']}/log", **query)
    assert answer.text == text
