"""kubectl itself works with the simulated cluster, and sees what our own verdicts see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ci.simulator.kubernetes_world import (
    NAMESPACE,
    World,
    container,
    deployment,
    env,
    ingress,
    namespace,
    secret,
    service,
)

Json = dict[str, Any]
Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def kubectl(kube: World, tmp_path: Path) -> Kubectl:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": kube.base}}],
        "users": [{"name": "u", "user": {"token": "simulated"}}],
        "contexts": [
            {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}
        ],
        "current-context": "x",
    }
    (tmp_path / "config").write_text(json.dumps(config))
    program = Path(sys.executable).parent / "kubectl"

    def run(*arguments: str, things: tuple[Json, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments, *(["-f", "-"] if things else [])],
            input="\n---\n".join(json.dumps(thing) for thing in things),
            env={
                "KUBECONFIG": str(tmp_path / "config"),
                "KUBECACHEDIR": str(tmp_path / "cache"),
                "HOME": str(tmp_path),
                "PATH": os.environ["PATH"],
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def everything(kube: World, release: str = "r1", **more: Any) -> tuple[Json, ...]:
    web = deployment(kube.image, release, replicas=2, **more)
    return namespace(), secret(A="x"), service(), web, ingress()


SERVER_SIDE = ("apply", "--server-side", "--field-manager", "pymacaron-ci")


def test_a_release_lives_its_life(kube: World, kubectl: Kubectl) -> None:
    dry = ok(kubectl(*SERVER_SIDE, "--dry-run=server", things=everything(kube)))
    assert "deployment.apps/web serverside-applied (server dry run)" in dry
    assert not kube.pods()
    ok(kubectl(*SERVER_SIDE, things=everything(kube)))
    rolled = ok(kubectl("rollout", "status", "deployment/web", "--timeout=30s"))
    assert 'deployment "web" successfully rolled out' in rolled
    ok(kubectl(*SERVER_SIDE, things=everything(kube, "r2")))
    ok(kubectl("rollout", "status", "deployment/web", "--timeout=30s"))
    assert ok(kubectl("rollout", "history", "deployment/web")).split()[-4::2] == ["1", "2"]
    assert "rolled back" in ok(kubectl("rollout", "undo", "deployment/web"))
    ok(kubectl("rollout", "status", "deployment/web", "--timeout=30s"))
    assert container(kube.get(deployment(kube.image)))["env"] == env(PYM_RELEASE="r1")
    table = ok(kubectl("get", "deployments,pods,services,ingresses"))
    assert "deployment.apps/web   2/2     2            2" in table
    assert table.count("Running") == 2
    assert "instance" in ok(kubectl("logs", "deployment/web", "--tail=5"))
    told = ok(kubectl("describe", "deployment/web"))
    assert "MinimumReplicasAvailable" in told
    assert "Scaled up replica set web-" in told
    described = ok(kubectl("describe", "pod", kube.pods()[0]["metadata"]["name"]))
    assert "Started container web" in described
    assert "Endpoints:" in ok(kubectl("describe", "service/web"))
    assert "api.example.com" in ok(kubectl("describe", "ingress/web"))
    assert "scaled" in ok(kubectl("scale", "deployment/web", "--replicas=1"))
    ok(kubectl("rollout", "status", "deployment/web", "--timeout=30s"))
    ok(kubectl("wait", "deployment/web", "--for=condition=Available", "--timeout=30s"))
    assert 'deployment.apps "web" deleted' in ok(kubectl("delete", "deployment/web"))
    assert 'namespace "shop" deleted' in ok(kubectl("delete", "namespace", NAMESPACE))


def test_client_side_apply_patches_what_changed(kube: World, kubectl: Kubectl) -> None:
    things = (secret(A="x"), deployment(kube.image, replicas=0))
    assert ok(kubectl("apply", things=things)).count("created") == 2
    assert ok(kubectl("apply", things=things)).count("unchanged") == 2
    other = deployment(kube.image, "r2", replicas=0)
    assert "deployment.apps/web configured" in ok(kubectl("apply", things=(things[0], other)))
    assert container(kube.get(other))["env"] == env(PYM_RELEASE="r2")


def test_a_broken_release_is_told_as_we_tell_it(kube: World, kubectl: Kubectl) -> None:
    ok(kubectl("apply", things=everything(kube)))
    ok(kubectl("rollout", "status", "deployment/web", "--timeout=30s"))
    ok(kubectl("apply", things=everything(kube, env=env(BROKEN="exits"))))
    kube.waiting("CrashLoopBackOff")
    late = kubectl("rollout", "status", "deployment/web", "--timeout=1s")
    assert late.returncode == 1
    assert "1 out of 2 new replicas have been updated" in late.stdout
    (name,) = (
        pod["metadata"]["name"]
        for pod in kube.pods()
        if pod["status"]["containerStatuses"][0]["restartCount"]
    )
    assert "ImportError: nothing" in ok(kubectl("logs", "--previous", name))
    assert "Back-off restarting failed container web" in ok(kubectl("describe", "pod", name))


def test_conflicts_and_unknown_fields_are_told(kube: World, kubectl: Kubectl) -> None:
    web = deployment(kube.image, replicas=0)
    ok(kubectl(*SERVER_SIDE, things=(web,)))
    web["spec"]["progressDeadlineSeconds"] = 30
    refused = kubectl("apply", "--server-side", "--field-manager=other", things=(web,))
    assert 'conflict with "pymacaron-ci": .spec.progressDeadlineSeconds' in refused.stderr
    ok(
        kubectl(
            "apply", "--server-side", "--field-manager=other", "--force-conflicts", things=(web,)
        )
    )
    web["spec"]["replica"] = 1
    refused = kubectl("apply", things=(web,))
    assert 'strict decoding error: unknown field "spec.replica"' in refused.stderr


def test_rights_are_asked_for(kube: World, kubectl: Kubectl) -> None:
    assert ok(kubectl("auth", "can-i", "patch", "deployments.apps")) == "yes\n"
    assert "[*]" in ok(kubectl("auth", "can-i", "--list"))
    kube.server.settings.change("p/europe-west1/main", denied=["patch deployments.apps"])
    assert kubectl("auth", "can-i", "patch", "deployments.apps").stdout.startswith("no")
    assert "list may be incomplete" in kubectl("auth", "can-i", "--list").stderr
    refused = kubectl(*SERVER_SIDE, things=(deployment(kube.image),))
    assert 'cannot patch resource "deployments"' in refused.stderr


def test_a_namespace_is_made_and_resources_are_listed(kube: World, kubectl: Kubectl) -> None:
    assert ok(kubectl("create", "namespace", "other")) == "namespace/other created\n"
    assert "Active" in ok(kubectl("get", "namespace", "other"))
    listed = ok(kubectl("api-resources", "--namespaced"))
    assert "managedcertificates" in listed
    assert "v1.36.1-gke" in ok(kubectl("version"))
